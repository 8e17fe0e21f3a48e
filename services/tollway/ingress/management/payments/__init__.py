"""Buying credit. `interface` (what a payment provider is to us), `stripe_payments`, `dev_payments` (a page that says
"pay" and takes no money, refused unless enabled), `routes` (checkout, webhook, page), `booking` (payments to credit).
"""

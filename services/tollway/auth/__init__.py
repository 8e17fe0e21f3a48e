"""auth: who may ask for what.

Read in this order: `events` (what is remembered), `state` (all of it, in memory), `domain` (commands to events, pure),
`rules` (the field rules that need more than a type), `principal` (the verdict on a good key, pure), `peppers` (keyed
hashes), `store` (the log and its projection), `journal` (one writer at a time, and telling the others), `mint` (where
ids and secrets are drawn), `handlers` (the commands on the bus), `service` (its life), `bootstrap` (the first account).
"""

"""A checkout that takes no money: a page with one button, for development. Refused unless TOLLWAY_DEV_PAYMENTS=1.

Nothing is stored: the session id carries account, amount and a nonce, signed by this process. The nonce makes the
payment bookable once.
"""

import base64
import hashlib
import hmac
import json
import secrets
from binascii import Error as Base64Error
from typing import Final

from tollway import clock
from tollway.ingress.management.payments.interface import Checkout, Paid
from tollway.wire.refusals import Refusal, refuse

SOURCE: Final = "dev"
LIFE_S: Final = 3600
MAC_BYTES: Final = 16


class DevPayments:
    """Sessions of this process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    async def open_checkout(self, account_id: str, amount_cents: int, *, return_url: str) -> Checkout | Refusal:
        """See Payments."""
        nonce, until_s = secrets.token_hex(16), clock.now_ms() // 1000 + LIFE_S
        session_id = self._sign(json.dumps([account_id, amount_cents, nonce, until_s]).encode())
        return Checkout(session_id, f"{return_url}/dev-payments/{session_id}")

    def read(self, session_id: str) -> Paid | Refusal:
        """What a session is about. Refusals: `not_found` for anything forged or too old."""
        try:
            raw = base64.urlsafe_b64decode(session_id.removeprefix("dev_"))
        except (Base64Error, ValueError):
            return refuse("not_found")
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return refuse("not_found")
        account_id, amount_cents, nonce, until_s = json.loads(body)
        if until_s < clock.now_ms() // 1000:
            return refuse("not_found", "The payment session has expired.")
        return Paid(SOURCE, nonce, account_id, amount_cents)

    def _sign(self, body: bytes) -> str:
        return "dev_" + base64.urlsafe_b64encode(self._mac(body) + body).decode()

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:MAC_BYTES]

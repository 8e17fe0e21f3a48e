"""Signatures of reasoning in a client that is not of the dialect that issued them.

A provider's signature is opaque and is worth something only to it. A client of another dialect gets it marked with its
origin, gives it back like any of its own, and the mark is read again; a signature of elsewhere is never sent upstream.
"""

from typing import Final

from tollway.wire.chat import Signature
from tollway.wire.plan import DialectName

_MARK: Final = "tw."
_LETTERS: Final[dict[DialectName, str]] = {
    "openai_chat": "c",
    "openai_responses": "r",
    "anthropic_messages": "a",
    "gemini": "g",
}
_ORIGINS: Final[dict[str, DialectName]] = {letter: name for name, letter in _LETTERS.items()}


def write_signature(signature: Signature, client: DialectName) -> str:
    """For a client of this dialect."""
    if signature.origin == client:
        return signature.value
    return f"{_MARK}{_LETTERS[signature.origin]}.{signature.value}"


def read_signature(value: str, client: DialectName) -> Signature:
    """From a client of this dialect."""
    if value.startswith(_MARK):
        letter, dot, rest = value.removeprefix(_MARK).partition(".")
        if dot and letter in _ORIGINS:
            return Signature(_ORIGINS[letter], rest)
    return Signature(client, value)


def own_value(signature: Signature | None, provider: DialectName) -> str:
    """The signature as this provider issued it; "" if it is another's."""
    return signature.value if signature is not None and signature.origin == provider else ""

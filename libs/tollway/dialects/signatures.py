"""Signatures of reasoning in a client that is not of the dialect that issued them.

A provider's signature is opaque and is worth something only to it. A client of another dialect gets it marked with its
origin, gives it back like any of its own, and the mark is read again; a signature of elsewhere is never sent upstream.
"""

from base64 import b64decode, b64encode
from typing import Final

from tollway.wire import chat
from tollway.wire.plan import DialectName

_MARK: Final = "tw."
_LETTERS: Final[dict[DialectName, str]] = {
    "openai_chat": "c",
    "openai_responses": "r",
    "anthropic_messages": "a",
    "gemini": "g",
}
_ORIGINS: Final[dict[str, DialectName]] = {letter: name for name, letter in _LETTERS.items()}


def write_token(thought: chat.Thinking, client: DialectName) -> str:
    """The signature for a client of this dialect; "" if there is none. A capital marks what the issuer redacted."""
    signature = thought.signature
    if signature is None:
        return ""
    if signature.origin == client:
        return signature.value
    letter = _LETTERS[signature.origin]
    marked = f"{_MARK}{letter.upper() if thought.is_redacted else letter}.{signature.value}"
    return b64encode(marked.encode()).decode() if client == "gemini" else marked  # its clients decode every signature


def read_thought(text: str, token: str, client: DialectName, *, is_redacted: bool = False) -> chat.Thinking:
    """Reasoning as a client or provider of this dialect has it."""
    if not token:
        return chat.Thinking(text)
    marked = _decoded(token) if client == "gemini" else token
    letter, dot, rest = marked.removeprefix(_MARK).partition(".") if marked.startswith(_MARK) else ("", "", "")
    if dot and letter.lower() in _ORIGINS:
        return chat.Thinking(text, chat.Signature(_ORIGINS[letter.lower()], rest), letter.isupper())
    return chat.Thinking(text, chat.Signature(client, token), is_redacted)


def _decoded(token: str) -> str:
    """Gemini's clients may give it back in the other alphabet of base64."""
    try:
        return b64decode(token.replace("-", "+").replace("_", "/")).decode("utf-8", "replace")
    except ValueError:
        return ""


def own_value(signature: chat.Signature | None, provider: DialectName) -> str:
    """The signature as this provider issued it; "" if it is another's."""
    return signature.value if signature is not None and signature.origin == provider else ""

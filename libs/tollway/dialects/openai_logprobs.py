"""Log probabilities in OpenAI's shape, on every surface."""

from collections.abc import Iterable
from typing import Final

import msgspec

from tollway.wire import chat


class _Top(msgspec.Struct):
    token: str
    logprob: float


class _Token(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Top] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None
    refusal: list[_Token] | None = None


_LOGPROBS: Final = msgspec.json.Decoder(_Logprobs | None)
_TOKENS: Final = msgspec.json.Decoder(list[_Token] | None)


def read(raw: msgspec.Raw) -> tuple[chat.TokenLogprob, ...]:
    """A choice's `logprobs`."""
    found = _LOGPROBS.decode(raw)
    return _read_all((*(found.content or ()), *(found.refusal or ()))) if found is not None else ()


def read_tokens(raw: msgspec.Raw) -> tuple[chat.TokenLogprob, ...]:
    """A bare list of tokens, as the responses dialect has it."""
    return _read_all(_TOKENS.decode(raw) or ())


def _read_all(tokens: Iterable[_Token]) -> tuple[chat.TokenLogprob, ...]:
    return tuple(
        chat.TokenLogprob(
            token.token,
            token.logprob,
            tuple(chat.Alternative(top.token, top.logprob) for top in token.top_logprobs or ()),
        )
        for token in tokens
    )


def write(tokens: Iterable[chat.TokenLogprob]) -> dict[str, object] | None:
    """For a choice; None if there are none."""
    written = write_tokens(tokens)
    return {"content": written, "refusal": None} if written else None


def write_tokens(tokens: Iterable[chat.TokenLogprob]) -> list[dict[str, object]]:
    """A bare list."""
    return [
        {
            **_write_one(token.token, token.logprob),
            "top_logprobs": [_write_one(top.token, top.logprob) for top in token.top],
        }
        for token in tokens
    ]


def _write_one(token: str, logprob: float) -> dict[str, object]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

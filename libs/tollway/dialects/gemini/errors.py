"""Errors as Gemini clients know them: `{"error": {"code", "message", "status"}}`."""

from typing import Final

import msgspec

from tollway.dialects.bodies import fits
from tollway.dialects.classify import Said
from tollway.dialects.reading import present

_BY_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Error(msgspec.Struct):
    code: int
    message: str
    status: str


class _Body(msgspec.Struct):
    error: _Error


_bodies: Final = msgspec.json.Decoder(_Body)


def is_own_error(body: bytes) -> bool:
    """Whether a client reads this body as it is."""
    return fits(_bodies, body)


def write_error(status: int, said: Said, request_id: str) -> bytes:
    """An error body. The stable code and the request id are details."""
    info = present(reason=said.code or None, requestId=request_id or None, param=said.param)
    kind = _BY_STATUS.get(status, "INTERNAL")
    return msgspec.json.encode({"error": {"code": status, "message": said.message, "status": kind, "details": [info]}})


def write_error_event(status: int, said: Said, request_id: str) -> bytes:
    """The in-band error of a begun stream. No finish reason follows."""
    return b"data: %b\n\n" % write_error(status, said, request_id)

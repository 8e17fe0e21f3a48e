"""HTTP/1.1 on the way out, and a request as it came in. Pure."""

from http import HTTPStatus
from urllib.parse import parse_qs, unquote

from msgspec import Struct

LAST_CHUNK = b"0\r\n\r\n"
JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"

Headers = tuple[tuple[str, str], ...]


class Request(Struct, frozen=True):
    """A whole request. Header names are lower case; the path is without its percent signs."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, str] = {}


def request(method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
    """A request from what stood in its first line, its headers and its body."""
    path, _, query = target.partition("?")
    return Request(method, unquote(path), headers, body, _query(query) if query else {})


def _query(text: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(text).items()}


_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Site is overloaded"}


def head(status: int, content_type: str, headers: Headers = (), *, length: int | None) -> bytes:
    """The status line and headers. Without a length the body comes in chunks."""
    framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", f"content-type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in (framing, *headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body; an empty one would end it and becomes nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""

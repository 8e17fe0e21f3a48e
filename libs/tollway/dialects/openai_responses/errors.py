"""Errors inside a stream of OpenAI responses. Error bodies are those of every OpenAI surface: `openai_errors`."""

import msgspec

from tollway.dialects import openai_errors
from tollway.dialects.classify import Said


def write_error_event(status: int, said: Said, request_id: str) -> bytes:
    """The `error` event, and the same under `error`, by which the official clients raise. No end event follows."""
    nested = msgspec.Raw(openai_errors.write_error(status, said, request_id)[len(b'{"error":') : -1])
    flat = {"type": "error", "code": said.code or said.kind, "message": said.message, "param": said.param}
    body = msgspec.json.encode({**flat, "sequence_number": 0, "error": nested})
    return b"event: error\ndata: %b\n\n" % body

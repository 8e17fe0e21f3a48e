"""OpenAI chat completions, `POST /v1/chat/completions`.

Read in this order: schema (the shapes), request, stream, errors.
"""

from typing import Final

from tollway.dialects.dialect import Dialect
from tollway.dialects.openai_chat import errors, request, stream

DIALECT: Final = Dialect(
    name="openai_chat",
    intake=request.intake,
    own=request.own,
    path=request.path,
    headers=request.headers,
    tap_answer=stream.tap_answer,
    tap_frame=stream.tap_frame,
    terminator=stream.TERMINATOR,
    is_own_error=errors.is_own_error,
    write_error=errors.write_error,
    write_error_event=errors.write_error_event,
)

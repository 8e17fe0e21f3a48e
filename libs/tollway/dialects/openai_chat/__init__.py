"""OpenAI chat completions, `POST /v1/chat/completions`.

Read in this order: schema (the shapes), intake, request_reader and request_writer, answer, stream; `thoughts` is
reasoning, in all of them.
"""

from typing import Final

from tollway.dialects import openai_errors
from tollway.dialects.dialect import Dialect
from tollway.dialects.openai_chat import answer, intake, request_reader, request_writer, stream

DIALECT: Final = Dialect(
    name="openai_chat",
    intake=intake.intake,
    own=intake.own,
    path=intake.path,
    headers=intake.headers,
    carries=request_writer.CARRIES,
    read_request=request_reader.read_request,
    write_request=request_writer.write_request,
    tap_answer=answer.tap_answer,
    read_answer=answer.read_answer,
    write_answer=answer.write_answer,
    tap_frame=stream.tap_frame,
    terminator=stream.TERMINATOR,
    reader=stream.Reader,
    writer=stream.Writer,
    top=request_reader.TOP,
    needed=frozenset({"messages", "max_tokens", "max_completion_tokens"}),
    is_own_error=openai_errors.is_own_error,
    write_error=openai_errors.write_error,
    write_error_event=openai_errors.write_error_event,
)

"""Anthropic messages, `POST /v1/messages` and `POST /v1/messages/count_tokens`.

Read in this order: schema (the shapes), intake, request_reader and request_writer, answer, stream, errors.
"""

from typing import Final

from tollway.dialects.anthropic_messages import answer, errors, intake, request_reader, request_writer, stream
from tollway.dialects.dialect import Dialect

DIALECT: Final = Dialect(
    name="anthropic_messages",
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
    reader=stream.Reader,
    writer=stream.Writer,
    top=request_reader.TOP,
    needed=frozenset({"messages", "system", "max_tokens"}),
    is_own_error=errors.is_own_error,
    write_error=errors.write_error,
    write_error_event=errors.write_error_event,
)

"""OpenAI responses, `POST /v1/responses`.

Read in this order: schema (the shapes), intake, request_reader and request_writer, items, answer, stream, errors.
"""

from typing import Final

from tollway.dialects import openai_errors
from tollway.dialects.dialect import Dialect
from tollway.dialects.openai_responses import answer, errors, intake, request_reader, request_writer, stream

DIALECT: Final = Dialect(
    name="openai_responses",
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
    needed=frozenset({"input", "instructions", "max_output_tokens"}),
    is_own_error=openai_errors.is_own_error,
    write_error=openai_errors.write_error,
    write_error_event=errors.write_error_event,
)

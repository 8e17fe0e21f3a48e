"""Which address speaks which dialect."""

from collections.abc import Container
from typing import Final

import msgspec

from tollway.wire.plan import DialectName, Surface


class Door(msgspec.Struct, frozen=True):
    """An inference address. `operation` is the OpenTelemetry name of what happens there."""

    path: str
    dialect: DialectName
    surface: Surface
    operation: str


DOORS: Final[dict[str, Door]] = {
    door.path: door
    for door in (
        Door("/v1/chat/completions", "openai_chat", "chat", "chat"),
        Door("/v1/responses", "openai_responses", "responses", "chat"),
        Door("/v1/completions", "openai_completions", "completions", "text_completion"),
        Door("/v1/embeddings", "openai_embeddings", "embeddings", "embeddings"),
        Door("/v1/messages", "anthropic_messages", "messages", "chat"),
    )
}

COUNT_TOKENS: Final = "/v1/messages/count_tokens"
MODELS: Final = "/v1/models"
VERSION_HEADER: Final = "anthropic-version"


def dialect_at(path: str, headers: Container[str]) -> DialectName:
    """The dialect in which an address says no, also where there is nothing: what Anthropic's clients ask for beside
    messages (models, files) is told by the header that they all send.
    """
    is_theirs = path.startswith("/v1/messages") or (VERSION_HEADER in headers and path not in DOORS)
    return "anthropic_messages" if is_theirs else "openai_chat"

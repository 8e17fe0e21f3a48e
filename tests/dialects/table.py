"""The table of `docs/dialects.md`, made of what the bridges do. `python -m tests.dialects.table` writes it."""

import json
from pathlib import Path
from typing import Literal

from tests.dialects.exemplars import EXEMPLARS
from tests.dialects.support import CHAT, made
from tollway.dialects.features import FEATURES, Feature
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

DOCS = Path(__file__).parents[2] / "docs" / "dialects.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
TITLES = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "anthropic_messages": "Anthropic messages",
    "gemini": "Gemini",
}
Outcome = Literal["carried", "refused", "dropped"]
MARKS = {"carried": "yes", "refused": "**refused**", "dropped": "dropped"}


def outcome(client: DialectName, provider: DialectName, feature: Feature) -> Outcome:
    """What becomes of the feature's exemplar on this way."""
    path, body = EXEMPLARS[client][feature]
    out = made(client, provider).request(
        json.dumps(body).encode(), model_sent="sent-model", tokens_output_cap=None, is_stream=False
    )
    if isinstance(out, Refusal):
        assert out.param == path, (out.param, path)
        return "refused"
    unplaced = "".join(
        piece.partition("]")[2] if "]" in piece else piece for piece in path.replace("[", "[]").split("[]")
    )
    named = {name.replace("[]", "") for name in out.dropped}
    return "dropped" if unplaced in named else "carried"


def cell(provider: DialectName, feature: Feature) -> str:
    """One word, or a word for each client where they differ."""
    found = {
        client: outcome(client, provider, feature)
        for client in CHAT
        if feature in EXEMPLARS[client] and client != provider
    }
    kinds = set(found.values())
    if not kinds:
        return "-"
    if len(kinds) == 1:
        return MARKS[kinds.pop()]
    return ", ".join(f"{MARKS[kind]} ({TITLES[client]})" for client, kind in found.items())


def rows() -> list[str]:
    """The table's lines."""
    head = ["feature", "asked by clients of", *(f"to {TITLES[provider]}" for provider in CHAT)]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for feature, described in FEATURES.items():
        clients = [TITLES[client] for client in CHAT if feature in EXEMPLARS[client]]
        if clients:
            asked_by = "all" if len(clients) == len(CHAT) else ", ".join(clients)
            cells = [described.what, asked_by, *(cell(provider, feature) for provider in CHAT)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def written() -> str:
    """The document with its table as it should be."""
    text = DOCS.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n{chr(10).join(rows())}\n{END}{after}"


if __name__ == "__main__":
    DOCS.write_text(written())

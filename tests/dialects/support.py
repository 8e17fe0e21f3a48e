"""What the dialect tests share: rows, bridges, and running a stream through one."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tollway.dialects.bridge import Bridge, Outgoing, Step, StreamBridge, bridge
from tollway.dialects.rows import ProviderRow
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

CHAT: tuple[DialectName, ...] = ("openai_chat", "openai_responses", "anthropic_messages", "gemini")
PAIRS = tuple((client, provider) for client in CHAT for provider in CHAT)
CROSS = tuple((client, provider) for client, provider in PAIRS if client != provider)
NOW_MS = 1_763_600_000_000


def row(dialect: DialectName = "openai_chat", **facts: Any) -> ProviderRow:
    """A provider that speaks one dialect."""
    return ProviderRow("acme", "Acme", "https://api.acme.test/v1", {"chat": dialect}, **facts)


def made(client: DialectName, provider: DialectName, **facts: Any) -> Bridge:
    """A bridge that must exist."""
    found = bridge(client, provider, row(provider, **facts), request_id="rq_1", now_ms=NOW_MS)
    assert isinstance(found, Bridge)
    return found


def asked(
    made_bridge: Bridge,
    body: bytes | dict[str, Any],
    *,
    cap: int | None = None,
    is_stream: bool = False,
    model: str = "sent-model",
) -> Outgoing:
    """The outgoing call of a request that must not be refused."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    out = made_bridge.request(raw, model_sent=model, tokens_output_cap=cap, is_stream=is_stream)
    assert isinstance(out, Outgoing), out
    return out


def refused(
    made_bridge: Bridge, body: dict[str, Any], *, cap: int | None = None, model: str = "sent-model", **facts: Any
) -> Refusal:
    """The refusal of a request that must be refused."""
    out = made_bridge.request(
        json.dumps(body).encode(), model_sent=model, tokens_output_cap=cap, is_stream=False, **facts
    )
    assert isinstance(out, Refusal), out
    return out


def steps_of(stream: StreamBridge, chunks: Iterable[bytes]) -> list[Step]:
    """Every step, the last one of `finish()`."""
    return [*(step for chunk in chunks for step in stream.feed(chunk)), stream.finish()]


def out_of(steps: Iterable[Step]) -> bytes:
    """What the client gets."""
    return b"".join(step.out for step in steps)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """The same bytes in pieces."""
    return (data[start : start + size] for start in range(0, len(data), size))


def sse(*events: Any, named: bool = False) -> bytes:
    """Events of a stream; strings go as they are."""
    frames: list[bytes] = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        frames.append(f"{name}data: {data}\n\n".encode())
    return b"".join(frames)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of OpenAI chat."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }

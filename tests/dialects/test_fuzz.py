"""Ordinary requests with a part replaced by anything at all: carried, or refused by path. Never a surprise."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dialects.exemplars import EXEMPLARS
from tests.dialects.support import CHAT, made
from tollway.dialects.bridge import Outgoing, read_intake
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

WORDS = ["", "auto", "none", "text", "function", "custom", "data:;base64,", "\x00", "x" * 300]
NAMES = [
    "type",
    "text",
    "content",
    "role",
    "name",
    "function",
    "custom",
    "input",
    "source",
    "parts",
    "tools",
    "url",
    "id",
]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
)
MODELS = ["m", "gpt-5", "claude-sonnet-4-5", "claude-opus-4-6", "gemini-2.5-pro", "gemini-3-pro"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of a body."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(found for key in keys for found in places(value[key], (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """The body with another value at this path."""
    if not path:
        return by
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], by)
    return copied


@pytest.mark.parametrize("client", CHAT)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_body_with_anything_in_it_is_carried_or_refused_by_path(client: DialectName, data: st.DataObject) -> None:
    bodies = st.sampled_from([body for _, body in EXEMPLARS[client].values()])
    body = {**data.draw(bodies), **data.draw(bodies)}
    place = data.draw(st.sampled_from([path for path in places(body) if path and path != ("model",)]))
    raw = json.dumps(replaced(body, place, data.draw(anything))).encode()
    intake = read_intake(client, raw)
    if isinstance(intake, Refusal):
        assert intake.param, intake
        return
    for provider in CHAT:
        bridge = made(client, provider)
        out = bridge.request(raw, model_sent=data.draw(st.sampled_from(MODELS)), tokens_output_cap=9, is_stream=True)
        if isinstance(out, Outgoing):
            assert isinstance(json.loads(out.body), dict)
        else:
            assert out.param, out

"""Embeddings: passed through, and brought to Gemini and back with numbers or packed floats."""

import json
from typing import Any

import httpx2
import openai
import pytest

from tests.dialects.support import asked, made, refused, row
from tollway.dialects.bridge import Outgoing, Served, bridge
from tollway.dialects.faults import Fault
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Usage

ASKED = {"model": "m", "input": ["one", "two"], "dimensions": 3}
VECTORS = [[0.5, -0.25, 0.125], [1.0, 0.0, -1.0]]
ANSWER = {"embeddings": [{"values": vector} for vector in VECTORS], "usageMetadata": {"promptTokenCount": 2}}


def test_the_same_dialect_passes() -> None:
    out = asked(
        made("openai_embeddings", "openai_embeddings"), {**ASKED, "models": ["other"], "encoding_format": "base64"}
    )
    assert out.path == "/embeddings"
    assert json.loads(out.body) == {**ASKED, "model": "sent-model", "encoding_format": "base64"}


def test_texts_reach_gemini_as_a_batch() -> None:
    out = asked(made("openai_embeddings", "gemini"), {**ASKED, "user": "u"})
    assert out.path == "/models/sent-model:batchEmbedContents"
    assert out.dropped == ("user",)
    first = {"model": "models/sent-model", "content": {"parts": [{"text": "one"}]}, "outputDimensionality": 3}
    assert json.loads(out.body)["requests"][0] == first
    assert len(json.loads(out.body)["requests"]) == 2


def test_lists_of_tokens_cannot_be_carried_to_gemini() -> None:
    refusal = refused(made("openai_embeddings", "gemini"), {"model": "m", "input": [1, 2, 3]})
    assert (refusal.code, refusal.param) == ("unsupported_parameter", "input")


def answered(body: dict[str, Any], answer: Any) -> Served | Fault:
    made_bridge = made("openai_embeddings", "gemini")
    asked(made_bridge, body)
    return made_bridge.answer(200, json.dumps(answer).encode())


def test_vectors_come_back_in_order_with_their_usage() -> None:
    served = answered(ASKED, ANSWER)
    assert isinstance(served, Served)
    found = json.loads(served.body)
    assert [one["embedding"] for one in found["data"]] == VECTORS
    assert [one["index"] for one in found["data"]] == [0, 1]
    assert served.usage == Usage(2, 0)
    assert found["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_usage_that_gemini_does_not_tell_is_unknown() -> None:
    served = answered(ASKED, {"embeddings": ANSWER["embeddings"]})
    assert isinstance(served, Served)
    assert served.usage is None


@pytest.mark.parametrize("answer", [{"embeddings": [{"values": [1.0]}]}, {}, [], "x", {"error": {"message": "no"}}])
def test_an_answer_that_does_not_fit_is_a_fault(answer: Any) -> None:
    assert isinstance(answered(ASKED, answer), Fault)


def test_the_official_client_unpacks_floats() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        made_bridge = made("openai_embeddings", "gemini")
        out = made_bridge.request(request.content, model_sent="m", tokens_output_cap=0, is_stream=False)
        assert isinstance(out, Outgoing)
        assert b'"encoding_format":"base64"' in request.content
        served = made_bridge.answer(200, json.dumps(ANSWER).encode())
        assert isinstance(served, Served)
        return httpx2.Response(200, content=served.body, headers={"content-type": "application/json"})

    http = httpx2.Client(transport=httpx2.MockTransport(handle))
    client = openai.OpenAI(api_key="tw-x", base_url="http://tollway.test/v1", http_client=http)
    found = client.embeddings.create(model="m", input=["one", "two"])
    assert [list(one.embedding) for one in found.data] == VECTORS


@pytest.mark.parametrize(
    ("client", "provider", "surface"),
    [
        ("openai_embeddings", "anthropic_messages", None),
        ("openai_completions", "openai_chat", None),
        ("openai_chat", "openai_embeddings", None),
        ("anthropic_messages", "gemini", "count_tokens"),
    ],
)
def test_where_no_way_leads_there_is_a_refusal(client: Any, provider: Any, surface: Any) -> None:
    refusal = bridge(client, provider, row(provider), surface=surface)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "unsupported_parameter"

"""Streams that do not end well: told to the client, stopped at the provider, billed for what was produced."""

import http.client
import json

import openai
import pytest

from tests.e2e.gateway import Gateway, until

WORDS = [{"role": "user", "content": "one two three four five six seven eight"}]


def open_connections(gateway: Gateway) -> int:
    """Answers that the simulator is producing now."""
    link = http.client.HTTPConnection("127.0.0.1", gateway.ports["simulator"], timeout=5)
    try:
        link.request("GET", "/_sim/health")
        return int(json.loads(link.getresponse().read())["open"])
    finally:
        link.close()


def test_a_client_that_hangs_up_stops_the_provider_and_pays_for_what_was_produced(gateway: Gateway) -> None:
    stream = gateway.client().chat.completions.create(
        model="simulator:echo;chunks=600;delay=100", messages=WORDS, stream=True
    )
    chunks = iter(stream)
    for _ in range(5):
        next(chunks)
    assert open_connections(gateway) == 1
    stream.response.close()
    until(lambda: open_connections(gateway) == 0, within_s=5)
    row = gateway.request(stream.response.headers["tollway-request-id"])["attempts"][0]["event"]
    assert 0 < row["outputTokens"] < 100
    assert float(row["totalCost"]) > 0


@pytest.mark.parametrize("model", ["simulator:fail-cut", "simulator:fail-no-done"])
def test_a_stream_that_breaks_is_never_presented_as_finished(gateway: Gateway, model: str) -> None:
    stream = gateway.client().chat.completions.create(model=model, messages=WORDS, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_a_stream_that_fails_before_its_content_falls_back_unseen(gateway: Gateway) -> None:
    stream = gateway.client().chat.completions.create(
        model="simulator:fail-503", extra_body={"models": ["simulator:echo"]}, messages=WORDS, stream=True
    )
    assert stream.response.headers["tollway-model"] == "simulator:echo"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == WORDS[0]["content"]

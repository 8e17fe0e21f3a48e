"""Comments while a stream is awaited, as the official clients take them."""

import anthropic
import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.faults.house import Wallet
from tests.streams.gateway import CHAT, Gateway, chat

LATE = "simulator:echo;ttft=2200"
LATE_FAILURE = "simulator:fail-500;ttft=1500"
WORDS = "hello there"
SAID: ChatCompletionUserMessageParam = {"role": "user", "content": WORDS}


def events(gateway: Gateway, wallet: Wallet, body: dict[str, object]) -> list[str]:
    """The blocks of a stream, as they are on the wire."""
    headers = {"authorization": f"Bearer {wallet.access_key}"}
    answer = httpx.post(f"{gateway.base_url}{CHAT}", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.text.split("\n\n")


def test_a_late_stream_is_kept_with_comments_and_ends_with_its_receipt(gateway: Gateway, wallet: Wallet) -> None:
    blocks = events(gateway, wallet, chat(LATE, stream=True))
    assert blocks[:1] == [": waiting"]
    assert blocks[-2] == "data: [DONE]"
    receipt = next(block for block in blocks if block.startswith(": tollway-request-id="))
    assert "tollway-model=simulator:echo" in receipt


def test_the_official_clients_take_no_notice(gateway: Gateway, wallet: Wallet) -> None:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=wallet.access_key, max_retries=0) as client:
        stream = client.chat.completions.create(model=LATE, messages=[SAID], stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == WORDS
    with (
        anthropic.Anthropic(base_url=gateway.base_url, api_key=wallet.access_key, max_retries=0) as client,
        client.messages.stream(model=LATE, max_tokens=50, messages=[{"role": "user", "content": WORDS}]) as stream,
    ):
        assert stream.get_final_text() == WORDS


def test_a_failure_after_a_comment_reaches_the_official_clients_as_one(gateway: Gateway, wallet: Wallet) -> None:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=wallet.access_key, max_retries=0) as client:
        stream = client.chat.completions.create(model=LATE_FAILURE, messages=[SAID], stream=True)
        with pytest.raises(openai.APIError):
            list(stream)
    blocks = events(gateway, wallet, chat(LATE_FAILURE, stream=True))
    assert blocks[0] == ": waiting"
    assert [block for block in blocks if block.startswith('data: {"error"')]
    assert "data: [DONE]" not in blocks


def test_a_failure_before_the_first_comment_keeps_its_status(gateway: Gateway, wallet: Wallet) -> None:
    headers = {"authorization": f"Bearer {wallet.access_key}"}
    body = chat("simulator:fail-500", stream=True)
    answer = httpx.post(f"{gateway.base_url}{CHAT}", json=body, headers=headers, timeout=30)
    assert answer.status_code == 500

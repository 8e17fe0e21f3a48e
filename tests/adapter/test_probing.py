"""Trying a provider out: what its owner is told, and what not."""

import asyncio
from typing import Any

import pytest

from tests.adapter.conftest import ACCOUNT, Bench, RawProvider, candidate
from tollway.wire import subjects
from tollway.wire.plan import DialectName
from tollway.wire.probe import Probed, ProbeProvider


def answering(status: str) -> Any:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b'{"error": "secret words of the provider"}'
        writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body))

    return script


async def probed(bench: Bench, it: Any) -> Probed:
    handlers = bench.adapter.HANDLERS
    await bench.adapter.bus.serve(handlers, bench.adapter, queue="adapter")
    answer = await bench.ingress.ask(subjects.probe("default"), ProbeProvider(ACCOUNT, it), Probed, timeout_s=10)
    assert isinstance(answer, Probed), answer
    return answer


async def test_a_provider_that_answers_is_reachable_and_was_sent_one_token(bench: Bench) -> None:
    async with RawProvider(answering("200 OK")) as provider:
        answer = await probed(bench, provider.candidate())
        assert (answer.is_reachable, answer.status, answer.problem) == (True, 200, "")
        [request] = provider.requests
    assert b"POST /v1/chat/completions" in request
    assert b'"max_tokens":1' in request


@pytest.mark.parametrize(
    ("dialect", "address", "limit"),
    [
        ("openai_responses", b"POST /v1/responses ", b'"max_output_tokens":16'),
        ("anthropic_messages", b"POST /v1/messages ", b'"max_tokens":1'),
        ("gemini", b"POST /v1/models/m:generateContent ", b'"maxOutputTokens":1'),
    ],
)
async def test_it_is_asked_in_its_own_dialect(bench: Bench, dialect: DialectName, address: bytes, limit: bytes) -> None:
    async with RawProvider(answering("200 OK")) as provider:
        answer = await probed(bench, provider.candidate(dialect=dialect))
        assert answer.is_reachable
        [request] = provider.requests
    assert address in request
    assert limit in request


async def test_its_limit_is_said_in_the_word_that_is_listed(bench: Bench) -> None:
    async with RawProvider(answering("200 OK")) as provider:
        await probed(bench, provider.candidate(supported_params=("max_completion_tokens",)))
        [request] = provider.requests
    assert b'"max_completion_tokens":1' in request
    assert b'"max_tokens"' not in request


async def test_a_refused_key_is_said_in_our_words(bench: Bench) -> None:
    async with RawProvider(answering("401 Unauthorized")) as provider:
        answer = await probed(bench, provider.candidate())
    assert (answer.is_reachable, answer.status) == (True, 401)
    assert answer.problem == "the provider does not take the key"


async def test_nobody_there_is_said(bench: Bench) -> None:
    async with RawProvider(answering("200 OK")) as provider:
        gone = provider.candidate()
    answer = await probed(bench, gone)
    assert (answer.is_reachable, answer.status) == (False, None)
    assert "could not be reached" in answer.problem


async def test_an_address_that_the_operator_does_not_allow_is_not_connected_to(bench: Bench) -> None:
    async with RawProvider(answering("200 OK")) as provider:
        answer = await probed(bench, provider.candidate(is_private_address_allowed=False))
        assert provider.connections == 0
    assert not answer.is_reachable
    assert "allow" in answer.problem


async def test_a_key_that_cannot_be_opened_is_said(bench: Bench) -> None:
    it = candidate("m", provider="mine", base_url="https://box.example/v1", credential_id="aigpk_x", is_managed=False)
    answer = await probed(bench, it)
    assert not answer.is_reachable
    assert answer.problem

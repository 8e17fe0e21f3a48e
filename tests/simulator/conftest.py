"""A simulator on real sockets for each test, and clients that read what it sends."""

from collections.abc import AsyncIterator

import httpx
import openai
import pytest

from tollway.simulator import Simulator, start


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await start("127.0.0.1", 0)
    yield running
    await running.stop()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=simulator.base_url, timeout=10) as client:
        yield client


@pytest.fixture
async def chat(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client as the judge of the OpenAI wire formats."""
    async with openai.AsyncOpenAI(base_url=f"{simulator.base_url}/v1", api_key="sk-test-1234", max_retries=0) as client:
        yield client

"""A simulator on real sockets for each test, and clients that judge what it sends."""

from collections.abc import AsyncIterator

import anthropic
import httpx
import openai
import pytest
from google import genai

from tollway.simulator import Simulator, start


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await start("127.0.0.1", 0)
    yield running
    await running.stop()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-test-1234"}
    async with httpx.AsyncClient(base_url=simulator.base_url, timeout=10, headers=headers) as client:
        yield client


@pytest.fixture
async def chat(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client as the judge of the OpenAI wire formats."""
    async with openai.AsyncOpenAI(base_url=f"{simulator.base_url}/v1", api_key="sk-test-1234", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(simulator: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The official client as the judge of the Anthropic wire format."""
    async with anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="sk-ant-1234", max_retries=0) as client:
        yield client


@pytest.fixture
async def gemini(simulator: Simulator) -> AsyncIterator[genai.client.AsyncClient]:
    """The official client as the judge of the Gemini wire format."""
    client = genai.Client(api_key="AIza-test-1234", http_options={"base_url": simulator.base_url})
    async with client.aio as running:
        yield running
    client.close()

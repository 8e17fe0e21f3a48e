"""An exact count of an input, where the cheap bound is not enough. It takes milliseconds, so it runs in a thread."""

import asyncio

from tollway.dialects.bridge import Intake
from tollway.ingress import domain
from tollway.tokens import count_tokens


async def counted(body: bytes, intake: Intake) -> int:
    """An upper bound of the input's tokens, from a tokenizer."""
    tokens = await asyncio.to_thread(count_tokens, body.decode("utf-8", "replace"))
    return domain.tokens_input_counted(tokens, intake)

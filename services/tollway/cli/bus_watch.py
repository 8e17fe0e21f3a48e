"""Starts the embedded bus again when it has stopped writing and could write.

After one failed write (a full disk) `nats-server` 2.15 refuses every later message of that stream until it is started
again. Facts wait in the adapters' outboxes meanwhile; nothing is lost, and nothing moves.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

EVERY_S: Final = 3.0
ROOM_BYTES_MIN: Final = 16 * 1024 * 1024
"""With less room than this a new start would not help."""


async def watch(monitor_url: str, directory: Path, restart: Callable[[], None], say: Callable[[str], None]) -> None:
    """Look for ever. `restart` is called when the bus says that it cannot write while `directory` has room."""
    async with httpx.AsyncClient(base_url=monitor_url, timeout=EVERY_S, trust_env=False) as client:
        while True:
            await asyncio.sleep(EVERY_S)
            if await cannot_write(client) and shutil.disk_usage(directory).free > ROOM_BYTES_MIN:
                say("the bus stopped writing when its disk was full; there is room again, starting it anew")
                restart()


async def cannot_write(client: httpx.AsyncClient) -> bool:
    """Whether the bus says so; a bus that does not answer is its supervisor's business."""
    try:
        answer = await client.get("/healthz")
    except httpx.TransportError:
        return False
    return not answer.is_success and "write error" in answer.text

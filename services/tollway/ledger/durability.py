"""Whether the bus keeps what it acknowledges: without `sync_interval: always` a power cut eats usage facts."""

import asyncio
import urllib.error
import urllib.request
from typing import Final

import msgspec

TIMEOUT_S: Final = 2.0


class _Config(msgspec.Struct):
    sync_always: bool = False


class _JetStream(msgspec.Struct):
    config: _Config | None = None


class Varz(msgspec.Struct):
    """The part of the monitor's `/varz` that matters."""

    jetstream: _JetStream = msgspec.field(default_factory=_JetStream)


async def sync_fault(monitor_url: str) -> str:
    """Why the bus's streams are not durable, in words; "" if they are, or if no monitor is known."""
    if not monitor_url:
        return ""
    return await asyncio.to_thread(_look, f"{monitor_url.rstrip('/')}/varz")


def _look(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  the operator's own address
            told = msgspec.json.decode(answer.read(), type=Varz)
    except (OSError, msgspec.DecodeError, urllib.error.URLError):
        return "the bus's monitor does not answer, so nobody knows whether its streams are durable"
    return fault_of(told)


def fault_of(told: Varz) -> str:
    """What `/varz` says of JetStream."""
    config = told.jetstream.config
    if config is None:
        return "the bus has no JetStream"
    return "" if config.sync_always else "the bus does not sync its streams (sync_interval: always is not set)"

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
    return await asyncio.to_thread(_look, monitor_url.rstrip("/"))


def _look(monitor_url: str) -> str:
    try:
        with urllib.request.urlopen(f"{monitor_url}/varz", timeout=TIMEOUT_S) as answer:  # noqa: S310  operator's own
            told = msgspec.json.decode(answer.read(), type=Varz)
        return fault_of(told) or _write_fault(monitor_url)
    except (OSError, msgspec.DecodeError, urllib.error.URLError):
        return "the bus's monitor does not answer, so nobody knows whether its streams are durable"


def _write_fault(monitor_url: str) -> str:
    """Whether a stream takes no messages any more: after one failed write nats-server (2.15) refuses all that follow
    until it is started again, also when the disk has room. Its other ailments are not ours to judge."""
    try:
        with urllib.request.urlopen(f"{monitor_url}/healthz", timeout=TIMEOUT_S):  # noqa: S310  operator's own
            return ""
    except urllib.error.HTTPError as fault:
        is_broken = b"write error" in fault.read()
        return "the bus cannot write its streams: free its disk and start it again" if is_broken else ""


def fault_of(told: Varz) -> str:
    """What `/varz` says of JetStream."""
    config = told.jetstream.config
    if config is None:
        return "the bus has no JetStream"
    return "" if config.sync_always else "the bus does not sync its streams (sync_interval: always is not set)"

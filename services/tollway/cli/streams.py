"""The streams of the bus, made at start by the `setup` user: idempotent, and never smaller than they were."""
# pyright: reportUnknownMemberType=false
# (nats-py leaves the types of its keyword options out)

from typing import Final

import nats
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError

from tollway.cli.errors import CommandError
from tollway.wire.subjects import STREAMS

DAY_S: Final = 86_400
AGE_MAX_S: Final[dict[str, float]] = {"USAGE": 30 * DAY_S}
"""Facts are settled within seconds and kept for a month to be looked at; CONFIG and LEDGER are kept."""
DUPLICATE_WINDOW_S: Final = 120
STREAM_DIFFERS: Final = 10058
CONNECT_TRIES: Final = 50
CONNECT_WAIT_S: Final = 0.1


def stream_config(name: str, *, replicas: int = 1) -> StreamConfig:
    """How a stream is kept: on disk, and nobody can cut it (whoever may delete messages could hide a charge)."""
    return StreamConfig(
        name=name,
        subjects=list(STREAMS[name]),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=AGE_MAX_S.get(name, 0),
        duplicate_window=DUPLICATE_WINDOW_S,
        num_replicas=replicas,
        allow_direct=True,
        deny_delete=True,
        deny_purge=True,
    )


async def make_streams(url: str, *, password: str, replicas: int = 1) -> None:
    """Make or update every stream. Raises CommandError when the bus does not answer or refuses."""
    try:
        client = await nats.connect(
            url,
            user="setup",
            password=password,
            inbox_prefix="_in.setup",
            max_reconnect_attempts=CONNECT_TRIES,
            reconnect_time_wait=CONNECT_WAIT_S,
            error_cb=_silence,
        )
    except (Error, OSError) as error:
        raise CommandError(f"The bus at {url} does not answer: {error}.") from None
    try:
        for name in STREAMS:
            await _make(client.jetstream(timeout=10), stream_config(name, replicas=replicas))
    except (Error, APIError) as error:
        raise CommandError(f"The bus at {url} cannot keep streams: {error}.") from None
    finally:
        await client.close()


async def _make(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.add_stream(config)
    except BadRequestError as error:
        if error.err_code != STREAM_DIFFERS:
            raise
        await js.update_stream(config)


async def _silence(_: Exception) -> None:
    """Refused connections while the server starts are expected; the last one is raised by connect itself."""

"""Trying a provider out for its owner: the smallest request there is, through the same door as real ones.

Address rules, pinning, TLS and the key are those of a real call. What the provider says is not passed on: only its
status, and of a failure our own words.
"""

import json
from asyncio import timeout
from typing import TYPE_CHECKING, Any, Final

from tollway import clock
from tollway.adapter.connection import UpstreamError
from tollway.adapter.credentials import Way
from tollway.bus import Handles
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import DialectName
from tollway.wire.probe import Probed, ProbeProvider
from tollway.wire.refusals import Refusal

if TYPE_CHECKING:
    from tollway.adapter.handlers import Adapter

CONNECT_S: Final = 5.0
ANSWER_S: Final = 20.0
_PATHS: Final[dict[DialectName, str]] = {"openai_chat": "/chat/completions", "anthropic_messages": "/messages"}
_WORDS: Final[dict[int, str]] = {
    401: "the provider does not take the key",
    403: "the provider does not take the key",
    404: "the provider does not know the address or the model",
    429: "the provider is limiting requests",
}


async def probe_provider(room: "Adapter", command: ProbeProvider, _context: Context) -> Probed:
    """One token. A repeat asks the provider again."""
    way = await room.credentials.open(command.candidate, command.account_id)
    if isinstance(way, Refusal):
        return Probed(is_reachable=False, duration_ms=0, problem=way.message)
    begun_s = clock.monotonic_s()
    status, problem = await _tried(room, way, command)
    return Probed(status is not None, round((clock.monotonic_s() - begun_s) * 1000), status, problem)


async def _tried(room: "Adapter", way: Way, command: ProbeProvider) -> tuple[int | None, str]:
    path = _PATHS.get(command.candidate.dialect, _PATHS["openai_chat"]) + way.query
    headers = {"content-type": "application/json", **way.headers}
    try:
        async with timeout(ANSWER_S):
            answer = await room.upstream.call(
                way.target, path, headers, _question(command.candidate.model_sent), connect_s=CONNECT_S
            )
    except TimeoutError:
        return None, f"no answer within {ANSWER_S:g} s"
    except UpstreamError as error:
        return None, error.message
    except ValueError:
        return None, "the address or the key is not fit for a request"
    answer.close()
    return answer.status, _WORDS.get(answer.status, "" if answer.status < 400 else f"the provider said {answer.status}")


def _question(model: str) -> bytes:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
    return json.dumps(body).encode()


def probe_handler(pool: str) -> Handles:
    """For the adapter's table: each pool is asked by name."""
    return Handles(subjects.probe(pool), ProbeProvider, probe_provider)

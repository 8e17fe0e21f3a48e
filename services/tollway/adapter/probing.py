"""Trying a provider out for its owner: the smallest request of its dialect, through the same door as real ones.

Address rules, pinning, TLS and the key are those of a real call. What the provider says is not passed on: only its
status, and of a failure our own words.
"""

import json
from asyncio import timeout
from typing import TYPE_CHECKING, Final

from tollway import clock
from tollway.adapter.arriving import UpstreamError
from tollway.adapter.credentials import Way
from tollway.bus import Handles
from tollway.dialects.bridge import Outgoing, bridge
from tollway.dialects.rows import ProviderRow
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import Candidate, DialectName
from tollway.wire.probe import Probed, ProbeProvider
from tollway.wire.refusals import Refusal

if TYPE_CHECKING:
    from tollway.adapter.handlers import Adapter

CONNECT_S: Final = 5.0
ANSWER_S: Final = 20.0
_LEAST: Final[dict[DialectName, int]] = {"openai_responses": 16}
"""Output tokens below which a dialect's providers refuse; elsewhere one is enough."""

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
    asked = _asked(way.row, command.candidate)
    if isinstance(asked, Refusal):
        return None, asked.message
    headers = {"content-type": "application/json", **asked.headers, **way.headers}
    try:
        async with timeout(ANSWER_S):
            answer = await room.upstream.call(
                way.target, asked.path + way.query, headers, asked.body, connect_s=CONNECT_S
            )
    except TimeoutError:
        return None, f"no answer within {ANSWER_S:g} s"
    except UpstreamError as error:
        return None, error.message
    except ValueError:
        return None, "the address or the key is not fit for a request"
    answer.close()
    return answer.status, _WORDS.get(answer.status, "" if answer.status < 400 else f"the provider said {answer.status}")


def _asked(row: ProviderRow, candidate: Candidate) -> Outgoing | Refusal:
    """The question in the provider's dialect."""
    made = bridge("openai_chat", candidate.dialect, row)
    if isinstance(made, Refusal):
        return made
    model, message = candidate.model_sent, {"role": "user", "content": "ping"}
    body = {"model": model, "messages": [message], "max_tokens": _LEAST.get(candidate.dialect, 1)}
    return made.request(json.dumps(body).encode(), model_sent=model, tokens_output_cap=None, is_stream=False)


def probe_handler(pool: str) -> Handles:
    """For the adapter's table: each pool is asked by name."""
    return Handles(subjects.probe(pool), ProbeProvider, probe_provider)

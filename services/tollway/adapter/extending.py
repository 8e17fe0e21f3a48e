"""A long stream's credit: the hold covers a first slice of the output, and is extended ahead of need.

What a stream has used is bounded from its text, generously; a reported figure counts where it is larger. Refused or
without an answer, the stream goes on to the end of its slice and is then ended as if its output limit had been reached.
"""

import asyncio
from typing import Final

import msgspec

from tollway.bus import Bus
from tollway.tasks import spawn
from tollway.wire import subjects
from tollway.wire.credit import ExtendHold, HoldExtended
from tollway.wire.envelope import Context
from tollway.wire.plan import Candidate
from tollway.wire.pricing import worst_case_nusd
from tollway.wire.refusals import Refusal
from tollway.wire.work import Work

ASK_AT_PERCENT: Final = 70
ASK_TIMEOUT_S: Final = 5.0
SLICE_TOKENS_MIN: Final = 2_048
BYTES_PER_TOKEN_LEAST: Final = 3
"""English has 4 to 5 bytes in a token, code 3 to 4, Chinese about 3: fewer bytes a token means asking too early."""


class _Asked(msgspec.Struct):
    n: int = 1


class Extension:
    """What the hold of one stream covers now, in output tokens over all its choices. `added_nusd`: by how much it was
    extended."""

    def __init__(self, bus: Bus, work: Work, context: Context) -> None:
        self.choices = choices_of(work.body)
        self.cap = work.tokens_output_cap * self.choices
        self.wanted = work.tokens_output_wanted * self.choices
        self.is_refused = False
        self.added_nusd = 0
        self._bus = bus
        self._work = work
        self._context = Context(context.request_id, context.cause, context.trace)
        self._nth = 0
        self._asking: asyncio.Task[None] | None = None

    def is_near(self, tokens_used: int) -> bool:
        """Whether it is time to ask for more."""
        is_possible = self.cap < self.wanted and not self.is_refused and self._asking is None
        return is_possible and tokens_used * 100 >= self.cap * ASK_AT_PERCENT

    def ask(self, candidate: Candidate, *, up_to: int | None = None) -> None:
        """Ask for the next slice in the background; slices double."""
        target = min(self.wanted, up_to or self.cap + max(self.cap, SLICE_TOKENS_MIN))
        self._asking = spawn(self._asked(candidate, target), name="extend hold")

    async def answered(self) -> None:
        """Wait for the answer to the question that is under way, if one is."""
        if self._asking is not None:
            await asyncio.shield(self._asking)

    async def _asked(self, candidate: Candidate, target: int) -> None:
        self._nth += 1
        delta_nusd = _delta_nusd(candidate, self._work, self.cap, target)
        command = ExtendHold(self._work.request_id, self._work.account_id, self._nth, delta_nusd)
        subject = subjects.hold(subjects.journal_of(self._work.account_id))
        answer = await self._bus.ask(subject, command, HoldExtended, timeout_s=ASK_TIMEOUT_S, context=self._context)
        if isinstance(answer, Refusal):
            self.is_refused = True
        else:
            self.cap = target
            self.added_nusd += delta_nusd
        self._asking = None


def _delta_nusd(candidate: Candidate, work: Work, before: int, after: int) -> int:
    """What the further output may cost at most."""

    def worst(tokens_output: int) -> int:
        return worst_case_nusd(
            candidate.price,
            is_managed=candidate.is_managed,
            tokens_input=work.tokens_input_bound,
            tokens_output=tokens_output,
        )

    return worst(after) - worst(before) + 1


def choices_of(body: bytes) -> int:
    """How many answers the caller asked for at once (`n`)."""
    if b'"n"' not in body:
        return 1
    try:
        return max(1, msgspec.json.decode(body, type=_Asked).n)
    except msgspec.DecodeError:
        return 1


def tokens_used(text_bytes: int, reported: int | None) -> int:
    """At most this many output tokens were used so far, by what can be seen."""
    return max(reported or 0, -(-text_bytes // BYTES_PER_TOKEN_LEAST))

"""One attempt: open the provider, send the request, read the answer into the attempt and, as it comes, to the client.

A stream's first pieces are held back until there is content, so that a failure before it can still move on.
"""

import asyncio
from contextlib import suppress
from typing import Final, Protocol

from tollway import clock
from tollway.adapter.answering import Reply
from tollway.adapter.arriving import Answer, Trouble, UpstreamError
from tollway.adapter.attempts import Allowance, allowance
from tollway.adapter.credentials import Credentials, Way
from tollway.adapter.endings import Output
from tollway.adapter.extending import Extension, tokens_used
from tollway.adapter.rescuing import Seam
from tollway.adapter.running import Running
from tollway.adapter.upstream import Upstream
from tollway.crash import crashpoint
from tollway.dialects import hosted, services
from tollway.dialects.bridge import CONTENT_TYPE_SSE, Bridge, Step, bridge
from tollway.dialects.exchange import Outgoing, Served
from tollway.dialects.faults import ErrorClass, Fault
from tollway.dialects.services import Fitted
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.work import Head, Work

HELD_BYTES_MAX: Final = 256 * 1024
TAIL_BYTES: Final = 8 * 1024
GAP_LATE_S: Final = 0.02
ERROR_BYTES_MAX: Final = 256 * 1024
NEVER_MS: Final = 2**62
"""The deadline is for a stream's first content; a stream that goes on has had it."""

CLASS_OF_TROUBLE: Final[dict[Trouble, ErrorClass]] = {
    "connect": "connect",
    "address_refused": "connect",
    "cut": "malformed",
    "malformed": "malformed",
    "too_large": "malformed",
}


class House(Protocol):
    """What an attempt needs of the service around it."""

    upstream: Upstream
    credentials: Credentials

    def is_reasoning(self, provider: str, model: str) -> bool:
        """Whether the model may think without showing it."""
        ...


class CreditExhaustedError(Exception):
    """The slice of the hold is used up and there is no more."""


class LinkLostError(Exception):
    """Pieces could not be sent, so ingress misses some."""


class Attempting:
    """Attempts of one piece of work. A failed one says so in `run.fault`.

    Raises CreditExhaustedError and LinkLostError, which end the work and not only the attempt.
    """

    def __init__(self, house: House, work: Work, reply: Reply, extension: Extension | None, seam: Seam | None) -> None:
        self._house = house
        self._work = work
        self._reply = reply
        self._extension = extension
        self._seam = seam

    async def make(self, run: Running) -> Refusal | None:
        """Try the attempt's candidate. A refusal: the request cannot be carried to it, and nothing was asked."""
        work = self._work
        way = await self._opened(run)
        if isinstance(way, Refusal):
            run.refusal = way
            run.fault = Fault("bad_credential", way.rule.status, way.message)
            return None
        made = bridge(
            work.dialect,
            run.candidate.dialect,
            way.row,
            surface=work.surface,
            request_id=work.request_id,
            now_ms=run.started_ns // 1_000_000,
            is_reasoning=run.candidate.is_reasoning,
        )
        if isinstance(made, Refusal):
            return made
        fitted = services.fitted(run.body, run.priced_services) if run.candidate.is_managed else Fitted(run.body)
        if isinstance(fitted, Refusal):
            return fitted
        run.tokens_output_max = await self._output_limit(run)
        outgoing = made.request(
            self._limited(run, fitted.body),
            model_sent=run.candidate.model_sent,
            tokens_output_cap=run.tokens_output_max or None,
            is_stream=work.is_stream,
            headers=work.headers,
        )
        if isinstance(outgoing, Refusal):
            return outgoing
        run.dropped = (*fitted.dropped, *outgoing.dropped)
        run.way, run.path = way, outgoing.path
        await self._call(run, made, way, outgoing)
        return None

    def _limited(self, run: Running, body: bytes) -> bytes:
        """On the operator's credential, with a limit on the searches, which the hold covers. A tool of the provider is
        not carried to another dialect."""
        dialect = self._work.dialect
        is_meant = run.candidate.is_managed and run.candidate.dialect == dialect
        return hosted.limited(dialect, body) if is_meant else body

    async def _opened(self, run: Running) -> Way | Refusal:
        """The way to the provider; asking auth for it counts against the deadline."""
        credentials, account_id = self._house.credentials, self._work.account_id
        known = credentials.peek(run.candidate, account_id)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(self._left_s()):
                return await credentials.open(run.candidate, account_id)
        except TimeoutError:
            run.is_cut = True
            return refuse("total_timeout")

    def _left_s(self) -> float:
        return max(0.0, (self._work.deadline_ms - clock.now_ms()) / 1000)

    async def _output_limit(self, run: Running) -> int:
        """The output limit to send: the least of the caller's, the model's and what the hold covers or may cover."""
        covered, model_max = await self._covered(run), run.candidate.tokens_output_max
        return min(covered, model_max) if model_max else covered

    async def _covered(self, run: Running) -> int:
        """Output tokens of one choice that the hold covers, or for a stream may be extended to.

        A model that thinks without showing it could use up a slice unseen: its hold is extended before it begins.
        """
        extension = self._extension
        if extension is None:
            return self._work.tokens_output_cap
        if not self._house.is_reasoning(run.candidate.provider, run.candidate.model):
            return extension.wanted // extension.choices
        if extension.cap < extension.wanted and not extension.is_refused:
            extension.ask(run.candidate, up_to=extension.wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._left_s()):
                    await extension.answered()
        return extension.cap // extension.choices

    async def _call(self, run: Running, made: Bridge, way: Way, outgoing: Outgoing) -> None:
        allow = allowance(
            self._work.limits,
            is_stream=self._work.is_stream,
            deadline_ms=NEVER_MS if run.is_resumed else self._work.deadline_ms,
            now_ms=clock.now_ms(),
        )
        try:
            if not allow.first_s:
                raise TimeoutError
            async with asyncio.timeout(allow.first_s) as limit:
                await self._exchange(run, made, way, outgoing, allow, limit)
        except TimeoutError:
            run.is_cut = allow.is_cut and not run.has_content
            run.fault = made.failed("timeout", _said_of_timeout(run, allow))
        except UpstreamError as error:
            run.error_type = error.trouble
            run.fault = made.failed(CLASS_OF_TROUBLE[error.trouble], f"{error.message[:1].upper()}{error.message[1:]}.")

    async def _exchange(
        self, run: Running, made: Bridge, way: Way, outgoing: Outgoing, allow: Allowance, limit: asyncio.Timeout
    ) -> None:
        try:
            answer = await self._house.upstream.call(
                way.target,
                _with_query(outgoing.path, way.query),
                {**outgoing.headers, **way.headers},
                outgoing.body,
                connect_s=allow.connect_s,
                on_sent=run.was_sent,
            )
        except ValueError:
            run.fault = made.failed("bad_request", "The model's name cannot be sent to this provider.")
            return
        crashpoint("adapter.upstream_accepted")
        run.status, run.answered_ns = answer.status, clock.now_ns()
        try:
            await self._read(run, made, answer, allow, limit)
        finally:
            answer.close()

    async def _read(self, run: Running, made: Bridge, answer: Answer, allow: Allowance, limit: asyncio.Timeout) -> None:
        if not 200 <= answer.status < 300:
            body = await answer.begin(ERROR_BYTES_MAX)
            run.fault = made.fault(answer.status, answer.headers, body, now_ms=clock.now_ms())
        elif self._work.is_stream:
            run.output = Output() if self.is_extensible and self._work.dialect == "openai_responses" else None
            await _Streaming(self, run, made, answer, limit, allow.gap_s).relay()
        else:
            _read_whole(run, made, answer.status, await answer.whole(self._house.upstream.larder))

    # what streaming needs

    @property
    def reply(self) -> Reply:
        """Where the pieces go."""
        return self._reply

    def head(self, run: Running) -> Head:
        """The head of a stream, with its first content."""
        headers = {"tollway-dropped": ", ".join(run.dropped)} if run.dropped else {}
        return Head(200, CONTENT_TYPE_SSE, run.number, run.model, headers)

    def send(self, run: Running, out: bytes, now_s: float, *, is_begin: bool = False) -> None:
        """Events for the client."""
        seam = self._seam
        if seam is not None and run.is_resumed:
            out = seam.sewn(out)
        elif seam is not None:
            seam.heard(out)
        self._reply.send(out, now_s=now_s, head=self.head(run) if is_begin and not run.is_resumed else None)

    def last(self, run: Running, out: bytes) -> bytes:
        """What goes with the end."""
        return self._seam.sewn(out) if self._seam is not None and run.is_resumed else out

    async def afford(self, run: Running, limit: asyncio.Timeout) -> None:
        """Ask for more credit ahead of need; at the end of the slice wait for the answer, or stop."""
        extension = self._extension
        if extension is None or extension.cap >= extension.wanted:
            return  # the provider itself keeps the limit
        if run.sample.text_bytes * 100 < extension.cap * 70:
            return  # a token has at least a byte
        used = tokens_used(run.sample.text_bytes, run.usage.tokens_output if run.usage is not None else None)
        if extension.is_near(used):
            extension.ask(run.candidate)
        if used >= extension.cap:
            limit.reschedule(None)
            await extension.answered()
        if used >= extension.cap:
            raise CreditExhaustedError

    @property
    def is_extensible(self) -> bool:
        """Whether the stream may have to be ended by us, in its dialect."""
        return self._extension is not None


class _Streaming:
    """A provider's stream on its way to the client."""

    def __init__(
        self, attempt: Attempting, run: Running, made: Bridge, answer: Answer, limit: asyncio.Timeout, gap_s: float
    ) -> None:
        self._attempt = attempt
        self._run = run
        self._answer = answer
        self._limit = limit
        self._gap_s = gap_s
        self._stream = made.stream()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_gap_minded = False
        self._loop = asyncio.get_running_loop()

    async def relay(self) -> None:
        """Read to the end, or to a fault."""
        is_terminal = False
        while not is_terminal and (chunk := await self._answer.chunk()):
            self._run.answer_bytes += len(chunk)
            for step in self._stream.feed(chunk):
                is_terminal = is_terminal or step.is_terminal
                self._take(step)
                if step.fault is not None:
                    return
            if self._run.has_content:
                await self._pace()
        self._close(self._stream.finish())
        if is_terminal and self._run.fault is None:
            self._answer.leave()

    def _take(self, step: Step) -> None:
        run = self._run
        run.usage = step.usage or run.usage
        run.stop_reason = step.stop_reason or run.stop_reason
        run.model_answered = step.model_answered or run.model_answered
        run.notes += step.notes
        run.fault = step.fault
        run.sample.add(step.out, step.text_bytes)
        if run.has_content:
            if step.out:
                self._keep_tail(step.out)
                self._attempt.send(run, step.out, self._loop.time())
        elif step.has_content:
            self._begin(step.out)
        else:
            self._hold(step.out)

    def _begin(self, out: bytes) -> None:
        """The first content: from here on nothing moves on."""
        run = self._run
        run.has_content, run.first_ns = True, clock.now_ns()
        data = b"".join((*self._held, out))
        self._keep_tail(data)
        self._held.clear()
        self._attempt.send(run, data, self._loop.time(), is_begin=True)
        crashpoint("adapter.mid_stream")

    def _keep_tail(self, out: bytes) -> None:
        if self._attempt.is_extensible:
            self._run.tail = (self._run.tail + out)[-TAIL_BYTES:]
            if self._run.output is not None:
                self._run.output.hear(out)

    def _hold(self, out: bytes) -> None:
        self._held.append(out)
        self._held_bytes += len(out)
        if self._held_bytes > HELD_BYTES_MAX:
            raise UpstreamError("malformed", "the provider's stream has no content")

    async def _pace(self) -> None:
        """After content the limit is the gap to the next event; while the client is behind, the provider waits."""
        reply = self._attempt.reply
        if reply.is_broken:
            raise LinkLostError
        await self._attempt.afford(self._run, self._limit)
        if reply.is_full:
            self._limit.reschedule(None)
            await reply.room()
        self._mind_gap()

    def _mind_gap(self) -> None:
        """Move the limit on; not for every chunk, since a timer costs 3 us, so that it may come a little late."""
        now_s, when_s = self._loop.time(), self._limit.when()
        if when_s is None or not self._is_gap_minded or when_s - now_s < self._gap_s:
            self._is_gap_minded = True
            self._limit.reschedule(now_s + self._gap_s + GAP_LATE_S)

    def _close(self, final: Step) -> None:
        """The end that the provider gave: success with what is still to be sent, or a fault."""
        run = self._run
        run.usage = final.usage or run.usage
        run.stop_reason = final.stop_reason or run.stop_reason
        run.fault = final.fault
        run.sample.add(final.out, final.text_bytes)
        run.last = self._attempt.last(run, final.out if run.has_content else b"".join((*self._held, final.out)))


def _read_whole(run: Running, made: Bridge, status: int, body: bytes) -> None:
    run.answer_bytes = len(body)
    served = made.answer(status, body)
    if not isinstance(served, Served):
        run.fault, run.usage = served, served.usage
        return
    run.usage, run.stop_reason, run.model_answered = served.usage, served.stop_reason, served.model_answered
    run.notes = served.notes
    run.sample.add(served.body, served.text_bytes)
    run.last = served.body


def _with_query(path: str, query: str) -> str:
    if not query:
        return path
    return path + (query if "?" not in path else "&" + query[1:])


def _said_of_timeout(run: Running, allow: Allowance) -> str:
    if run.has_content:
        return f"The provider was silent for {allow.gap_s:g} s in the middle of its answer (chunkGapTimeout)."
    what = "the total timeout" if allow.is_cut else f"{allow.first_s:g} s (perRequestTimeout)"
    return f"The provider did not answer within {what}."

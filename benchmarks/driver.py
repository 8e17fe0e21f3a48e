"""A load driver: HTTP/1.1 on keep-alive connections by raw asyncio protocols, about 25 µs of CPU a request.

A process of its own: a `Job` as JSON on stdin, a `Result` as JSON on stdout. `closed` keeps `concurrency` requests in
flight; `open` sends `rate` requests a second whatever the answers take, and measures from the moment each was due to
leave, waiting for a free connection included.
"""

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, Literal, cast

import msgspec
import uvloop

DONE: Final = b"data: [DONE]"
CONTENT: Final = b'"content":"'
_TAIL: Final = 512
_GRACE_S: Final = 20.0


class Job(msgspec.Struct, frozen=True):
    """What to send, how, and for how long."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    body: str
    mode: Literal["closed", "open"]
    seconds: float
    concurrency: int = 1
    rate: float = 0.0
    is_stream: bool = False


class Result(msgspec.Struct, frozen=True):
    """What came of it. Times are milliseconds; `first_*` is the time to the first content of a stream.

    `failed` counts by status, or by what was wrong: `lost` (connection), `no_done` (a stream without its terminator).
    """

    count: int
    seconds: float
    failed: dict[str, int]
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    first_p50_ms: float
    first_p99_ms: float
    chunks_mean: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return self.count / self.seconds if self.seconds else 0.0


class Answer(msgspec.Struct):
    """One answer as it comes in. `fault` "" is a good one."""

    began_s: float
    first_s: float = 0.0
    chunks: int = 0
    fault: str = ""


class Lane(asyncio.Protocol):
    """One connection, one request at a time. `on_end` is called with each answer when it is whole, or lost."""

    def __init__(self, request: bytes, on_end: Callable[["Lane", Answer], None], *, is_stream: bool) -> None:
        self._request = request
        self._on_end = on_end
        self._is_stream = is_stream
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._head = b""
        self._left = -1
        self._tail = b""

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the protocol's signature
        """An answer that was under way is lost."""
        self._transport = None
        self._end("lost")

    def send(self, began_s: float) -> None:
        """Send the request; `began_s` is when it was due."""
        assert self._transport is not None
        self._answer = Answer(began_s)
        self._head, self._left, self._tail = b"", -1, b""
        self._transport.write(self._request)

    def close(self) -> None:
        """Let go of the connection."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """The head, then a body of known length or in chunks until the last."""
        if self._answer is None:
            return
        if self._left == -1:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self._head[end + 4 :]
            self._read_head(self._head[:end].lower())
        if self._left >= 0:
            self._left -= len(data)
            if self._left <= 0:
                self._end("")
        elif data:
            self._chunked(data)

    def _read_head(self, head: bytes) -> None:
        assert self._answer is not None
        status = head[9:12].decode()
        self._answer.fault = "" if status == "200" else status
        length = head.find(b"content-length:")
        self._left = int(head[length + 15 :].split(b"\r\n", 1)[0]) if length >= 0 else -2

    def _chunked(self, data: bytes) -> None:
        answer = self._answer
        assert answer is not None
        answer.chunks += data.count(b"\ndata: ")
        if not answer.first_s and has_content(self._tail + data):
            answer.first_s = time.perf_counter()
        self._tail = (self._tail + data)[-_TAIL:]
        if self._tail.endswith(b"\r\n0\r\n\r\n"):
            is_cut = self._is_stream and not answer.fault and DONE not in self._tail
            self._end("no_done" if is_cut else "")

    def _end(self, fault: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fault = answer.fault or fault
            self._on_end(self, answer)


def has_content(data: bytes) -> bool:
    """Whether a delta with content is in it: `"content":"` followed by something."""
    at = data.find(CONTENT)
    while at >= 0:
        after = data[at + len(CONTENT) : at + len(CONTENT) + 1]
        if after not in (b"", b'"'):
            return True
        at = data.find(CONTENT, at + 1)
    return False


def request_bytes(job: Job) -> bytes:
    """The request, the same each time."""
    body = job.body.encode()
    fields = {"host": f"{job.host}:{job.port}", "content-type": "application/json", **job.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {job.path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Load:
    """One job's run."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._request = request_bytes(job)
        self._idle: deque[Lane] = deque()
        self._due: deque[float] = deque()
        self._lanes: set[Lane] = set()
        self._replacing: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._whole_s: list[float] = []
        self._first_s: list[float] = []
        self._chunks = 0
        self._failed: Counter[str] = Counter()
        self._begin_s = 0.0
        self._until_s = 0.0
        self._last_end_s = 0.0
        self._is_over = False
        self._is_idle = asyncio.Event()

    async def run(self) -> Result:
        """Connect, load, wait for the last answers, sum up."""
        lanes = [await self._lane() for _ in range(max(1, self._job.concurrency))]
        cpu_s, self._begin_s = time.process_time(), time.perf_counter()
        self._until_s = self._begin_s + self._job.seconds
        if self._job.mode == "closed":
            for lane in lanes:
                self._send(lane, time.perf_counter())
        else:
            self._idle.extend(lanes)
            await self._ticks()
        await asyncio.sleep(max(0.0, self._until_s - time.perf_counter()))
        self._is_over = True  # not by the clock: the loop's timers may be a millisecond early
        self._rest()
        await asyncio.wait_for(self._is_idle.wait(), _GRACE_S)
        for lane in self._lanes:
            lane.close()
        return self._result(time.process_time() - cpu_s)

    async def _lane(self) -> Lane:
        loop = asyncio.get_running_loop()
        _, lane = await loop.create_connection(
            lambda: Lane(self._request, self._ended, is_stream=self._job.is_stream), self._job.host, self._job.port
        )
        self._lanes.add(lane)
        return lane

    async def _ticks(self) -> None:
        """Requests become due at even distances; one that finds no lane waits, and its waiting counts."""
        for number in range(round(self._job.rate * self._job.seconds)):
            due_s = self._begin_s + number / self._job.rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            self._due.append(time.perf_counter())
            self._serve_due()

    def _serve_due(self) -> None:
        while self._due and self._idle:
            self._send(self._idle.popleft(), self._due.popleft())

    def _send(self, lane: Lane, due_s: float) -> None:
        self._in_flight += 1
        lane.send(due_s)

    def _ended(self, lane: Lane, answer: Answer) -> None:
        self._in_flight -= 1
        self._count(answer, time.perf_counter())
        if lane.is_open:
            self._next(lane)
        else:
            self._lost(lane)
        self._rest()

    def _next(self, lane: Lane) -> None:
        """Use a free lane for what is due."""
        if self._job.mode == "open":
            self._idle.append(lane)
            self._serve_due()
        elif time.perf_counter() < self._until_s:
            self._send(lane, time.perf_counter())

    def _lost(self, lane: Lane) -> None:
        """The other side closed the connection: open another in its place."""
        self._lanes.discard(lane)
        if time.perf_counter() < self._until_s or self._due:
            task = asyncio.get_running_loop().create_task(self._replace())
            self._replacing.add(task)
            task.add_done_callback(self._replaced)

    async def _replace(self) -> None:
        try:
            self._next(await self._lane())
        except OSError:
            self._failed["refused"] += 1

    def _replaced(self, task: asyncio.Task[None]) -> None:
        self._replacing.discard(task)
        self._rest()

    def _rest(self) -> None:
        if self._is_over and not (self._in_flight or self._due or self._replacing):
            self._is_idle.set()

    def _count(self, answer: Answer, now_s: float) -> None:
        self._last_end_s = now_s
        if answer.fault:
            self._failed[answer.fault] += 1
            return
        self._whole_s.append(now_s - answer.began_s)
        self._chunks += answer.chunks
        if answer.first_s:
            self._first_s.append(answer.first_s - answer.began_s)

    def _result(self, cpu_s: float) -> Result:
        whole, first = sorted(self._whole_s), sorted(self._first_s)
        return Result(
            count=len(whole),
            seconds=max(0.0, self._last_end_s - self._begin_s),
            failed=dict(self._failed),
            p50_ms=quantile_ms(whole, 0.5),
            p90_ms=quantile_ms(whole, 0.9),
            p99_ms=quantile_ms(whole, 0.99),
            max_ms=quantile_ms(whole, 1.0),
            first_p50_ms=quantile_ms(first, 0.5),
            first_p99_ms=quantile_ms(first, 0.99),
            chunks_mean=self._chunks / len(whole) if whole else 0.0,
            cpu_s=cpu_s,
        )


def quantile_ms(rising_s: list[float], share: float) -> float:
    """The value below which a share of them lies, in milliseconds; 0 of nothing."""
    return rising_s[min(len(rising_s) - 1, int(len(rising_s) * share))] * 1000 if rising_s else 0.0


def main() -> None:
    """Run the job on stdin."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    result = uvloop.run(Load(job).run())
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()

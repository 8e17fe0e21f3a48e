"""The one pattern for remembered answers: ask over the bus, remember, forget on the event that changes it.

Three bounds hold an answer: the event, its age, and the link (everything is forgotten when the link comes back, since
events may have been missed). Callers that ask for the same thing at once share one question.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar, cast

from tollway import clock
from tollway.tasks import spawn
from tollway.wire.refusals import Refusal

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Answers by question. Refusals are not remembered, nor is an answer that is not `is_kept`: it was made for one
    caller, and others that asked at the same time ask again.

    An answer serves for `age_max_s`; one older than `refresh_after_s` is asked for anew in the background, so that a
    busy key never waits. The oldest questions go first when there are more than `size_max`.
    """

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V | Refusal]],
        *,
        age_max_s: float,
        refresh_after_s: float | None = None,
        size_max: int = 10_000,
        is_kept: Callable[[V], bool] | None = None,
    ) -> None:
        self._ask = ask
        self._is_kept = is_kept
        self._age_max_s = age_max_s
        self._refresh_after_s = age_max_s if refresh_after_s is None else refresh_after_s
        self._size_max = size_max
        self._answers: dict[K, tuple[V, float]] = {}
        self._asking: dict[K, asyncio.Task[V | Refusal]] = {}
        self._generation = 0

    def peek(self, key: K) -> V | None:
        """The remembered answer, if it may still serve. Never waits."""
        found = self._answers.get(key)
        if found is None:
            return None
        answer, asked_at = found
        age_s = clock.monotonic_s() - asked_at
        if age_s >= self._age_max_s:
            return None
        if age_s >= self._refresh_after_s and key not in self._asking:
            self._start(key)
        return answer

    async def get(self, key: K) -> V | Refusal:
        """The answer, asked for if need be."""
        found = self.peek(key)
        if found is not None:
            return found
        running = self._asking.get(key)
        answer = await asyncio.shield(running or self._start(key))
        if running is None or isinstance(answer, Refusal) or self._may_keep(answer):
            return answer
        return await self._ask(key)

    def _may_keep(self, answer: V) -> bool:
        return self._is_kept is None or self._is_kept(answer)

    def _start(self, key: K) -> "asyncio.Task[V | Refusal]":
        task = spawn(self._learn(key), name="remember")
        self._asking[key] = task
        return task

    async def _learn(self, key: K) -> V | Refusal:
        generation, asked_at = self._generation, clock.monotonic_s()
        try:
            answer = await self._ask(key)
        finally:
            self._asking.pop(key, None)
        if isinstance(answer, Refusal) or not self._may_keep(cast("V", answer)):
            self._answers.pop(key, None)
        elif generation == self._generation:
            self._answers.pop(key, None)
            self._answers[key] = (cast("V", answer), asked_at)
            if len(self._answers) > self._size_max:
                del self._answers[next(iter(self._answers))]
        return answer

    def forget(self, is_affected: Callable[[K, V], bool]) -> None:
        """Drop what an event changed. Answers on their way are not remembered: they may be older than the event."""
        self._generation += 1
        for key in [key for key, (value, _) in self._answers.items() if is_affected(key, value)]:
            del self._answers[key]

    def clear(self) -> None:
        """Drop everything."""
        self._generation += 1
        self._answers.clear()

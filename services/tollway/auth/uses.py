"""When keys were last seen: coarse (a minute, and as often as ingress asks again) and cheap (one write for many)."""

from collections.abc import Mapping
from typing import Final

from tollway import clock

GRAIN_MS: Final = 60_000


class Uses:
    """Last sightings by id, and which of them are not written yet."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self._unwritten: dict[str, int] = {}

    def restore(self, seen: Mapping[str, int]) -> None:
        """What an earlier process wrote."""
        self.seen = dict(seen)

    def saw(self, id_: str) -> None:
        """A key was used now; seen again within the same minute it costs nothing."""
        minute_ms = clock.now_ms() // GRAIN_MS * GRAIN_MS
        if self.seen.get(id_, 0) < minute_ms:
            self.seen[id_] = self._unwritten[id_] = minute_ms

    def take(self) -> dict[str, int]:
        """What is to be written."""
        taken, self._unwritten = self._unwritten, {}
        return taken

"""Log lines: one JSON object each on stderr, with declared fields only, scrubbed of whatever looks like a secret.

Lines of level debug and info wait up to 100 ms for company, so that a busy process makes one write of many; warnings
and errors are written at once, together with all that waits.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final, Literal, TextIO, TypeAlias

import msgspec

from tollway import clock
from tollway.telemetry.names import LOG_FIELDS
from tollway.telemetry.scrub import scrub

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

LEVELS: Final[dict[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LINE_MAX: Final = 4096
TEXT_MAX: Final = 300
_FLUSH_S: Final = 0.1
_WAITING_MAX: Final = 256
_FRAMES_MAX: Final = 8
_LIBRARY_REPEAT_S: Final = 60
_LIBRARY_SENTENCES_MAX: Final = 200

_encoder = msgspec.json.Encoder(enc_hook=lambda value: type(value).__name__)


class UndeclaredNameError(Exception):
    """A span, attribute or log field that is not declared. Raised only where TOLLWAY_TELEMETRY_STRICT=1 (tests)."""


class Logs:
    """The log of one process. Threads may share it."""

    def __init__(
        self,
        *,
        service: str,
        node: str,
        level: str = "info",
        is_strict: bool = False,
        stream: TextIO | None = None,
        on_dropped: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._fixed = {"service": service, "node": node}
        self._least = LEVELS.get(level, LEVELS["info"])
        self._is_strict = is_strict
        self._stream = stream
        self._on_dropped = on_dropped
        self._waiting: list[str] = []
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self._stamp = ""

    def log(self, level: Level, event: str, fields: Mapping[str, object]) -> None:
        """One line; 8 µs with 20 fields."""
        rank = LEVELS[level]
        if rank < self._least:
            return
        line: dict[str, object] = {"time": self._now(), "level": level, "event": event, **self._fixed, **fields}
        if not line.keys() <= _DECLARED:
            self._drop_undeclared(event, line)
        if isinstance(error := line.get("error"), BaseException):
            line.update(error=type(error).__name__, at=where(error))
        text = _encoder.encode(line).decode()
        if len(text) > LINE_MAX:
            text = _encoder.encode({name: _cut(value) for name, value in line.items()}).decode()
        with self._lock:
            self._waiting.append(scrub(text))
        self._write_soon(is_urgent=rank >= LEVELS["warning"])

    def flush(self) -> None:
        """Write what waits. A reader that is gone is no reason to stop working."""
        with self._lock:
            lines, self._waiting = self._waiting, []
        if not lines:
            return
        stream = self._stream or sys.stderr
        try:
            stream.write("\n".join(lines) + "\n")
            stream.flush()
        except (OSError, ValueError):  # closed
            return

    def _write_soon(self, *, is_urgent: bool) -> None:
        if is_urgent or len(self._waiting) >= _WAITING_MAX:
            self.flush()
        elif self._timer is None or self._timer.when() < time.monotonic() - 1:
            self._start_timer()

    def _start_timer(self) -> None:
        try:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self._on_timer)
        except RuntimeError:  # no loop in this thread
            self.flush()

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()

    def _now(self) -> str:
        second, rest_ms = divmod(clock.now_ms(), 1000)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._stamp}.{rest_ms:03d}Z"

    def _drop_undeclared(self, event: str, line: dict[str, object]) -> None:
        for name in sorted(line.keys() - _DECLARED):
            del line[name]
            self._on_dropped("log_field")
            if self._is_strict:
                raise UndeclaredNameError(f"log field {name!r} of event {event!r} is not in names.LOG_FIELDS")


_DECLARED: Final = frozenset(LOG_FIELDS)


def _cut(value: object) -> object:
    return value[:TEXT_MAX] if isinstance(value, str) else value if type(value) in _SMALL else "[too long]"


_SMALL: Final = frozenset({int, float, bool, type(None)})


def where(error: BaseException) -> str:
    """The innermost frames of an error, without any value: a traceback that may be shown."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))


class LibraryHandler(logging.Handler):
    """Warnings and errors of libraries as lines of ours; the same sentence at most once a minute.

    Only the sentence as the library wrote it, not what it filled in, which may quote what must not be logged; except
    for those that never do.
    """

    def __init__(self, logs: Logs) -> None:
        super().__init__(logging.WARNING)
        self._logs = logs
        self._seen: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: logging must not break what logs."""
        sentence = _sentence(record)
        if self._is_repeat((record.name, sentence), record.created):
            return
        fields: dict[str, object] = {"logger": record.name, "message": sentence}
        if record.exc_info and record.exc_info[1]:
            fields["error"] = record.exc_info[1]
        self._logs.log("error" if record.levelno >= logging.ERROR else "warning", "library", fields)

    def _is_repeat(self, key: tuple[str, str], now_s: float) -> bool:
        if now_s - self._seen.get(key, 0.0) < _LIBRARY_REPEAT_S:
            return True
        if len(self._seen) >= _LIBRARY_SENTENCES_MAX:
            self._seen.clear()
        self._seen[key] = now_s
        return False


_TRUSTED: Final = ("opentelemetry", "tollway")


def _sentence(record: logging.LogRecord) -> str:
    if record.name.startswith(_TRUSTED):
        return record.getMessage()[:TEXT_MAX]
    return str(record.msg).partition("\n")[0].partition("(")[0][:TEXT_MAX]

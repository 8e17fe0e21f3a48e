"""Tasks are started in one place, which keeps a reference and says when one dies; faults are told in one way."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

R = TypeVar("R")

_running: Final[set[asyncio.Task[Any]]] = set()
log = logging.getLogger("tollway")


def spawn(coroutine: Coroutine[Any, Any, R], *, name: str) -> asyncio.Task[R]:
    """Start a task. A crash is logged with its kind and place, never with its message."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def after_turns(turns: int, callback: Callable[[], None]) -> None:
    """Call back so many turns of the loop later, for work that is cheaper in company. A turn that finds nothing to do
    takes some 3 us; under load every turn brings more."""
    if turns > 1:
        asyncio.get_running_loop().call_soon(after_turns, turns - 1, callback)
    else:
        asyncio.get_running_loop().call_soon(callback)


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    fault = task.exception()
    if fault is not None:
        report(f"task {task.get_name()} failed", fault)


def report(event: str, fault: BaseException) -> None:
    """A fault as one line: its kind and place, never its message, which may quote what must not be logged."""
    frames = fault.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    where = f"{frames.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frames.tb_lineno}" if frames else ""
    log.error("%s: %s at %s", event, type(fault).__name__, where)

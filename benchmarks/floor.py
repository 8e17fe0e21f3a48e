"""The least that Python could do: uvicorn answering from a raw ASGI function, on the gateway's core.

What it costs on a quiet machine is known (24 µs). When it costs more here, others use the cores, and every other
figure is too high by about the same factor.
"""

import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks import processes

QUIET_US: Final = 24.0
_ANSWER: Final = b'{"choices":[{"message":{"content":"' + b"x" * 1000 + b'"}}]}'


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body, answer 1 KB."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})


class Floor:
    """The server, running. `with Floor(port=…, cores=…) as floor: floor.cpu_s()`."""

    def __init__(self, *, port: int, cores: set[int]) -> None:
        self.port = port
        self._process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "benchmarks.floor:app", "--port", str(port), "--log-level", "error"],
            stdout=subprocess.DEVNULL,
        )
        processes.pin([self._process.pid], cores)

    def __enter__(self) -> "Floor":
        for _ in range(200):
            with suppress(URLError):
                urlopen(Request(f"http://127.0.0.1:{self.port}/", data=b"{}"), timeout=2).close()
                return self
            time.sleep(0.05)
        raise TimeoutError("uvicorn did not start")

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def cpu_s(self) -> float:
        """What it has used."""
        return processes.usage({self._process.pid: "floor"})["floor"].cpu_s

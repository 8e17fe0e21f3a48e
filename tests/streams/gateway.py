"""The whole system as processes, and the provider's control in hand."""

import asyncio
import json
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tests.e2e.gateway import until as until_now
from tests.faults.house import House, Wallet

CHAT = "/v1/chat/completions"
Body = dict[str, Any]


class Gateway(House):
    """`tollway up`, whose provider is told how to behave."""

    def simulator(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A call of the simulator's control."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.state['ports']['simulator']}/_sim/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def megabytes(self, *names: str) -> dict[str, int]:
        """Resident memory of processes."""
        members = self.members()
        return {name: members[name].memory_info().rss // 2**20 for name in names}

    def metric(self, role: str, name: str) -> float:
        """The sum of a metric's values, over the processes of a role."""
        ports = [port for key, port in self.state["ports"].items() if key.startswith(f"metrics_{role}")]
        return sum(_value(port, name) for port in ports)

    def request_of(self, wallet: Wallet, request_id: str) -> Any:
        """A request with its attempts, once it is settled."""
        until_now(lambda: self.get(f"/api/usage/requests/{request_id}", key=wallet.api_key)[0] == 200)
        return self.ask("GET", f"/usage/requests/{request_id}", wallet.api_key)

    def http(self, wallet: Wallet, **more: Any) -> httpx.AsyncClient:
        """A client with the wallet's access key."""
        headers = {"authorization": f"Bearer {wallet.access_key}", "content-type": "application/json"}
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=60, limits=limits, **more)

    def raw(self, wallet: Wallet, body: Body, *, receive_bytes: int) -> socket.socket:
        """A caller with a small window that has asked and taken nothing yet."""
        encoded = json.dumps(body).encode()
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {wallet.access_key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(encoded)}\r\n\r\n"
        )
        caller = socket.socket()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        caller.connect(("127.0.0.1", self.port))
        caller.sendall(head.encode() + encoded)
        caller.setblocking(False)
        return caller


def _value(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def chat(model: str, text: str = "hello there", **more: Any) -> Body:
    """A request of OpenAI chat."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def until(is_so: Callable[[], object], *, within_s: float = 60.0) -> None:
    """Wait for something that happens in other processes."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110  nothing of it is heard here
            await asyncio.sleep(0.1)


async def milliseconds(client: httpx.AsyncClient, count: int) -> list[float]:
    """How long so many short requests took, one after another, sorted."""
    found: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        answer = await client.post(CHAT, json=chat("simulator:echo"))
        assert answer.status_code == 200, answer.text
        found.append((time.perf_counter() - begun) * 1000)
    return sorted(found)


def told(times: list[float]) -> str:
    """Median and the slow end."""
    return f"p50 {times[len(times) // 2]:.1f} ms, p95 {times[len(times) * 95 // 100]:.1f} ms"

"""The only HTTP client of the gateway: HTTP/1.1 over kept connections, with limits on everything a provider sends.

    target = target_of("https://api.openai.com/v1", reach=ANYWHERE)
    answer = await upstream.call(target, "/chat/completions", headers, body, connect_s=5.0)
    answer.status, answer.headers
    await answer.chunk()     # whatever has arrived; b"" at the proper end
    await answer.whole(upstream.larder)    # or all of it
    answer.close()           # hangs up unless the answer is complete

The parser is httptools' (llhttp). Why not a library's pool: this one costs about a third of aiohttp's CPU per request,
its connections go to the address that was vetted, and a caller who stops reading stops the provider's socket.
No redirects, no cookies, no environment proxies. Compressed answers were not asked for; they are inflated in bounded
steps if they come all the same.

A caller limits time by `asyncio.timeout`; a cancelled call hangs up. Raises UpstreamError and nothing else for what
the network or the provider does wrong.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from socket import SOCK_STREAM, gaierror
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tollway.adapter.arriving import Answer, Larder, UpstreamError
from tollway.adapter.connection import IDLE_S_MAX, Link
from tollway.wire.addresses import is_address_allowed

Resolve = Callable[[str, int], Awaitable[list[str]]]

IDLE_CONNECTIONS_MAX: Final = 512
_METHOD_LINE: Final = "POST {} HTTP/1.1\r\n"


class Reach(msgspec.Struct, frozen=True):
    """Which addresses may be connected to. The operator's own targets: any. Accounts' targets: outside ones, and those
    inside `allow_cidrs`.
    """

    is_anywhere: bool = False
    allow_cidrs: tuple[str, ...] = ()


ANYWHERE: Final = Reach(is_anywhere=True)


class Target(msgspec.Struct, frozen=True):
    """An origin and the path that every call to it begins with."""

    host: str
    port: int
    is_tls: bool
    base_path: str
    authority: str
    reach: Reach


def target_of(base_url: str, *, reach: Reach) -> Target:
    """Take a base URL apart. Raises ValueError if it is none."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("not a base URL")
    is_tls = parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = host if port == (443 if is_tls else 80) else f"{host}:{port}"
    return Target(parts.hostname, port, is_tls, _clean(parts.path.rstrip("/")), _clean(authority), reach)


def _clean(text: str) -> str:
    """Nothing that could end a line of the request's head, or its first word."""
    if text and (not text.isascii() or not text.isprintable() or " " in text):
        raise ValueError("not fit for a request line")
    return text


def _head(target: Target, path: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = [_METHOD_LINE.format(_clean(target.base_path + path)), f"host: {target.authority}\r\n"]
    for name, value in headers.items():
        if not value.isprintable() or not name.isprintable():
            raise ValueError("a header is not fit to be sent")
        lines.append(f"{name}: {value}\r\n")
    lines.append(f"accept-encoding: identity\r\ncontent-length: {length}\r\n\r\n")
    return "".join(lines).encode("latin-1")


_Origin = tuple[str, int, bool, Reach]


class Upstream:
    """Connections to providers, kept and shared. `resolve` may be replaced where names must not be looked up."""

    def __init__(self, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve or _look_up
        self._tls = tls or _tls_context()
        self.larder = Larder()
        self._idle: dict[_Origin, deque[Link]] = {}
        self._links: set[Link] = set()

    async def call(
        self,
        target: Target,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect_s: float,
        on_sent: Callable[[], None] | None = None,
    ) -> Answer:
        """POST and wait for the head of the answer. `connect_s` limits name look-up, connection and TLS together;
        `on_sent` is called when the request has been handed to the connection.

        Raises ValueError if path or headers could not be sent as they are.
        """
        head = _head(target, path, headers, len(body))
        rested = self._rested(target)
        if rested is not None:
            try:
                return await _asked(rested, head, body, on_sent)
            except UpstreamError as error:
                if error.trouble != "connect":
                    raise
        return await _asked(await self._connected(target, connect_s), head, body, on_sent)

    @property
    def connections(self) -> int:
        """Connections open now, resting ones included."""
        return len(self._links)

    def sweep(self) -> None:
        """Close connections that have rested too long."""
        now_s = asyncio.get_running_loop().time()
        for origin, links in tuple(self._idle.items()):
            while links and now_s - links[0].idle_since_s > IDLE_S_MAX:
                links.popleft().hang_up()
            if not links:
                del self._idle[origin]

    def close(self) -> None:
        """Hang up everywhere."""
        for link in tuple(self._links):
            link.hang_up()

    def _rested(self, target: Target) -> Link | None:
        links = self._idle.get(_origin(target))
        now_s = asyncio.get_running_loop().time()
        while links:
            link = links.pop()
            if link.is_fresh(now_s):
                return link
            link.hang_up()
        return None

    async def _connected(self, target: Target, connect_s: float) -> Link:
        try:
            async with asyncio.timeout(connect_s):
                addresses = await self._vetted(target)
                return await self._first_connected(target, addresses, connect_s)
        except TimeoutError:
            raise UpstreamError("connect", f"no connection within {connect_s:g} s") from None

    async def _vetted(self, target: Target) -> list[str]:
        """The addresses of a host that may be connected to: looked up once, and the ones that are then used."""
        addresses = [target.host] if _is_literal(target.host) else await self._resolved(target)
        if not all(_is_reachable(it, target) for it in addresses):
            raise UpstreamError("address_refused", "the provider's address is not one the operator allows")
        return addresses

    async def _resolved(self, target: Target) -> list[str]:
        try:
            addresses = await self._resolve(target.host, target.port)
        except (gaierror, OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise UpstreamError("connect", "the provider's name has no address")
        return addresses

    async def _first_connected(self, target: Target, addresses: list[str], connect_s: float) -> Link:
        """One address after the other, each with its share of the time: one of them may lead nowhere."""
        trouble = "the provider could not be reached"
        for address in addresses:
            try:
                async with asyncio.timeout(connect_s / len(addresses)):
                    return await self._connect(target, address)
            except TimeoutError:
                trouble = f"no connection within {connect_s:g} s"
            except ssl.SSLCertVerificationError as error:
                trouble = f"the provider's certificate is not valid: {error.verify_message}"
            except ssl.SSLError:
                trouble = "the provider does not speak TLS as it should"
            except OSError as error:
                trouble = f"the provider could not be reached: {error.strerror or 'connection failed'}"
        raise UpstreamError("connect", trouble)

    async def _connect(self, target: Target, address: str) -> Link:
        origin = _origin(target)

        def resting(link: Link) -> None:
            link.idle_since_s = asyncio.get_running_loop().time()
            links = self._idle.setdefault(origin, deque())
            links.append(link)
            if len(links) > IDLE_CONNECTIONS_MAX:
                links.popleft().hang_up()

        def lost(link: Link) -> None:
            self._links.discard(link)
            links = self._idle.get(origin)
            if links and link in links:
                links.remove(link)

        _, link = await asyncio.get_running_loop().create_connection(
            lambda: Link(resting, lost),
            address,
            target.port,
            ssl=self._tls if target.is_tls else None,
            server_hostname=target.host if target.is_tls else None,
        )
        if link.is_lost:
            raise ConnectionResetError("closed at once")
        self._links.add(link)
        return link


async def _asked(link: Link, head: bytes, body: bytes, on_sent: Callable[[], None] | None) -> Answer:
    """The answer, when its head has come. Trouble `connect`: the request did not reach the provider."""
    answer = link.send(head, body)
    if on_sent is not None:
        on_sent()
    try:
        await answer.begun()
    except BaseException:
        answer.close()
        raise
    return answer


def _origin(target: Target) -> _Origin:
    return (target.host, target.port, target.is_tls, target.reach)


def _is_reachable(address: str, target: Target) -> bool:
    """Without TLS an account's target must be inside what the operator allows: outside, keys would travel in clear."""
    if target.reach.is_anywhere:
        return True
    if is_address_allowed(address, ()):
        return target.is_tls
    return is_address_allowed(address, target.reach.allow_cidrs)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(str(it[4][0]) for it in found))


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context

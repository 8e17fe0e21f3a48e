"""The HTTP client against sockets that answer well, badly and not at all."""

import asyncio
import datetime
import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.adapter.conftest import RawProvider, until
from tollway.adapter import arriving
from tollway.adapter.upstream import ANYWHERE, Reach, Target, Upstream, UpstreamError, target_of

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    opened = Upstream()
    yield opened
    opened.close()
    await until(lambda: opened.connections == 0)


def saying(*parts: bytes, is_closing: bool = False, pause_s: float = 0.0) -> RawProvider:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if is_closing:
            raise ConnectionError

    return RawProvider(script)


def target(provider: RawProvider, reach: Reach = ANYWHERE) -> Target:
    return target_of(f"http://127.0.0.1:{provider.port}/v1", reach=reach)


async def fetch(upstream: Upstream, provider: RawProvider, body: bytes = b"{}") -> tuple[int, bytes]:
    answer = await upstream.call(target(provider), "/chat", {"x-a": "b"}, body, connect_s=2)
    try:
        return answer.status, await answer.whole(upstream.larder)
    finally:
        answer.close()


async def trouble(upstream: Upstream, provider: RawProvider) -> str:
    with pytest.raises(UpstreamError) as caught:
        await asyncio.wait_for(fetch(upstream, provider), 10)
    return caught.value.trouble


async def test_the_request_is_as_it_was_asked_for_and_nothing_is_compressed(upstream: Upstream) -> None:
    async with saying(OK) as provider:
        assert await fetch(upstream, provider, b'{"a":1}') == (200, b"ok")
        head, _, body = provider.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat HTTP/1.1"
    assert {"x-a: b", "accept-encoding: identity", "content-length: 7"} <= set(lines)
    assert lines[1].startswith("host: 127.0.0.1:")
    assert body == b'{"a":1}'


async def test_a_connection_is_used_again(upstream: Upstream) -> None:
    async with saying(OK) as provider:
        for _ in range(5):
            assert await fetch(upstream, provider) == (200, b"ok")
        assert (provider.connections, upstream.connections) == (1, 1)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
async def test_an_answer_that_ends_with_its_connection_is_whole_and_the_connection_is_not_kept(
    upstream: Upstream, head: bytes
) -> None:
    async with saying(head, is_closing=True) as provider:
        assert await fetch(upstream, provider) == (200, b"ok")
        await until(lambda: upstream.connections == 0)


async def test_chunks_trailers_and_interim_answers_are_understood(upstream: Upstream) -> None:
    parts = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"3;ext=1\r\ncde\r\n0\r\nx-trailer: 1\r\n\r\n",
    )
    async with saying(*parts, pause_s=0.01) as provider:
        assert await fetch(upstream, provider) == (200, b"abcde")
        assert await fetch(upstream, provider) == (200, b"abcde")
        assert provider.connections == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: nonsense\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc", "malformed"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok", "too_large"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300 + b"content-length: 2\r\n\r\nok", "too_large"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 8_000_000, "too_large"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: " + b"y" * 8_000_000, "too_large"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: br\r\n\r\nok", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\nok", "malformed"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "malformed"),
    ],
)
async def test_nonsense_is_named_and_hung_up_on(upstream: Upstream, answer: bytes, expected: str) -> None:
    async with saying(answer, pause_s=0.2, is_closing=True) as provider:
        found = await trouble(upstream, provider)
        assert found == expected or (found == "cut" and answer.startswith(b"HTTP/1.1 101"))
        await until(lambda: upstream.connections == 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"a" * 100)[:-9],
    ],
)
async def test_an_answer_that_stops_early_is_cut_and_never_whole(upstream: Upstream, answer: bytes) -> None:
    async with saying(answer, is_closing=True) as provider:
        assert await trouble(upstream, provider) == "cut"


async def test_a_compressed_answer_that_was_not_asked_for_is_inflated(upstream: Upstream) -> None:
    packed = gzip.compress(b"hello " * 100_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with saying(head, packed[:50], packed[50:], pause_s=0.01) as provider:
        assert await fetch(upstream, provider) == (200, b"hello " * 100_000)


async def test_a_bomb_meets_the_size_limit(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "ANSWER_BYTES_MAX", 1_000_000)
    packed = gzip.compress(b" " * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with saying(head + packed) as provider:
        assert await trouble(upstream, provider) == "too_large"


async def test_what_comes_after_an_answer_closes_the_connection(upstream: Upstream) -> None:
    async with saying(OK + OK) as provider:
        assert await fetch(upstream, provider) == (200, b"ok")
        await until(lambda: upstream.connections == 0)
        assert await fetch(upstream, provider) == (200, b"ok")
        assert provider.connections == 2


async def test_a_connection_that_was_closed_while_it_rested_is_not_used(upstream: Upstream) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)
        raise ConnectionError

    async with RawProvider(script) as provider:
        assert await fetch(upstream, provider) == (200, b"ok")
        await asyncio.sleep(0.2)
        assert await fetch(upstream, provider) == (200, b"ok")
        assert provider.connections == 2


async def test_an_answer_given_up_is_hung_up_on(upstream: Upstream) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", pause_s=5) as provider:
        answer = await upstream.call(target(provider), "/", {}, b"", connect_s=2)
        answer.close()
        await until(lambda: upstream.connections == 0)


async def test_a_cancelled_call_hangs_up(upstream: Upstream) -> None:
    async with saying(pause_s=5) as provider:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await upstream.call(target(provider), "/", {}, b"", connect_s=2)
        await until(lambda: upstream.connections == 0)


async def test_the_last_bytes_of_an_answer_nobody_reads_let_its_connection_be_kept(upstream: Upstream) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")

    async with RawProvider(script) as provider:
        for _ in range(2):
            answer = await upstream.call(target(provider), "/", {}, b"", connect_s=2)
            assert await answer.chunk() == b"done"
            answer.leave()
            await asyncio.sleep(0.1)
        assert provider.connections == 1


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
async def test_a_header_that_would_end_its_line_is_not_sent(upstream: Upstream, value: str) -> None:
    async with saying(OK) as provider:
        with pytest.raises(ValueError, match="not fit"):
            await upstream.call(target(provider), "/", {"x": value}, b"", connect_s=2)
        with pytest.raises(ValueError, match="not fit"):
            await upstream.call(target(provider), f"/models/{value}", {}, b"", connect_s=2)
        assert not provider.requests


@pytest.mark.parametrize("url", ["ftp://x/", "https://", "https://user:pw@x/", "//x", "https://x/a b"])
def test_an_address_that_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not "):
        target_of(url, reach=ANYWHERE)


def names(*answers: list[str]) -> tuple[list[str], Callable[[str, int], object]]:
    """A name server that gives one answer after the other, as rebinding does."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return asked, resolve


async def _refused(upstream: Upstream, url: str, reach: Reach) -> str:
    with pytest.raises(UpstreamError) as caught:
        await upstream.call(target_of(url, reach=reach), "/", {}, b"", connect_s=2)
    upstream.close()
    return caught.value.trouble


INSIDE = "127.0.0.1 169.254.169.254 [::1] [::ffff:169.254.169.254] 10.0.0.1 [fd00:ec2::254] 0.0.0.0 2130706433"


@pytest.mark.parametrize("host", INSIDE.split())
async def test_an_accounts_target_may_not_be_our_neighbourhood(host: str) -> None:
    assert await _refused(Upstream(), f"https://{host}/v1", Reach()) == "address_refused"


async def test_a_name_that_leads_inside_is_refused_even_if_it_leads_outside_too() -> None:
    _, resolve = names(["93.184.216.34", "169.254.169.254"])
    upstream = Upstream(resolve=resolve)  # type: ignore[arg-type]
    assert await _refused(upstream, "https://evil.example/v1", Reach()) == "address_refused"


async def test_outside_addresses_need_tls() -> None:
    _, resolve = names(["93.184.216.34"])
    upstream = Upstream(resolve=resolve)  # type: ignore[arg-type]
    reach = Reach(allow_cidrs=("127.0.0.0/8",))
    assert await _refused(upstream, "http://plain.example/v1", reach) == "address_refused"


async def test_a_kept_connection_that_ended_before_the_request_arrived_is_replaced(upstream: Upstream) -> None:
    """The provider ends it while the request is on its way: its kernel never took all of it, so nobody can bill it."""
    heads: list[bytes] = []
    replaced = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(heads) < 3:
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            if len(heads) == 2:
                writer.write_eof()
                await replaced.wait()
                break
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            writer.write(OK)
        replaced.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=4096)
    there = target_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", reach=ANYWHERE)
    for body in (b"{}", b"x" * 16_000_000):
        answer = await upstream.call(there, "/chat", {}, body, connect_s=2)
        assert await answer.whole(upstream.larder) == b"ok"
    assert len(heads) == 3
    server.close()


async def test_a_request_that_arrived_is_not_sent_again(upstream: Upstream) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(provider.requests) > 1:
            raise ConnectionError
        writer.write(OK)

    async with RawProvider(script) as provider:
        assert await fetch(upstream, provider) == (200, b"ok")
        assert await trouble(upstream, provider) == "cut"
        assert len(provider.requests) == 2


async def test_large_answers_share_what_they_may_take_together(upstream: Upstream) -> None:
    huge = b"y" * (arriving.LARGE_TOGETHER_BYTES_MAX // 4)
    large = b"y" * (2 * arriving.LARGE_BYTES)

    def whole(body: bytes, *, missing: int = 0) -> RawProvider:
        return saying(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(body) + missing) + body)

    async with whole(huge, missing=1) as hoarder, whole(large) as modest:
        hoarding = [asyncio.ensure_future(trouble(upstream, hoarder)) for _ in range(6)]
        await until(lambda: any(task.done() for task in hoarding))
        assert (await fetch(upstream, modest))[1] == large, "the ones that take most are given up"
        found = [task.result() for task in hoarding if task.done()]
        assert set(found) == {"too_large"}
        assert upstream.larder.held_bytes <= arriving.LARGE_TOGETHER_BYTES_MAX
        for task in hoarding:
            task.cancel()
        await asyncio.gather(*hoarding, return_exceptions=True)
    assert upstream.larder.held_bytes == 0


async def test_an_answer_of_more_parts_than_memory_takes_is_not_decoded(upstream: Upstream) -> None:
    body = b"[" + b"[]," * (arriving.PARTS_MAX + 1) + b"1]"
    async with saying(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body) as provider:
        assert await trouble(upstream, provider) == "too_large"


async def test_the_address_that_was_vetted_is_the_one_connected_to() -> None:
    asked, resolve = names(["127.0.0.1"], ["169.254.169.254"])
    upstream = Upstream(resolve=resolve)  # type: ignore[arg-type]
    async with saying(OK) as provider:
        there = target_of(f"http://box.example:{provider.port}/v1", reach=Reach(allow_cidrs=("127.0.0.0/8",)))
        answer = await upstream.call(there, "/", {}, b"", connect_s=2)
        assert await answer.whole(upstream.larder) == b"ok"
        assert provider.requests[0].startswith(b"POST /v1/ HTTP/1.1\r\nhost: box.example:")
    assert asked == ["box.example"], "looked up once"
    upstream.close()


async def test_a_name_server_that_does_not_answer_counts_as_no_connection() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    there = target_of("https://x.example", reach=ANYWHERE)
    with pytest.raises(UpstreamError, match=r"within 0\.1 s") as caught:
        await Upstream(resolve=resolve).call(there, "/", {}, b"", connect_s=0.1)
    assert caught.value.trouble == "connect"


async def test_nobody_listening_and_unknown_names_are_connection_faults() -> None:
    upstream = Upstream()
    assert await _refused(upstream, "http://127.0.0.1:9/v1", ANYWHERE) == "connect"
    _, resolve = names([])
    assert await _refused(Upstream(resolve=resolve), "https://nowhere.example/", ANYWHERE) == "connect"  # type: ignore[arg-type]


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for `tls.example` that only those trust who were given it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tls.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("tls.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return directory / "cert.pem", directory / "key.pem"


async def test_tls_is_verified_against_the_name_and_kept(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    _, resolve = names(["127.0.0.1"])

    async def ask(upstream: Upstream, host: str) -> bytes:
        answer = await upstream.call(target_of(f"https://{host}:{port}/", reach=ANYWHERE), "/", {}, b"", connect_s=5)
        return await answer.whole(upstream.larder)

    trusting = Upstream(resolve=resolve, tls=ssl.create_default_context(cafile=str(cert)))  # type: ignore[arg-type]
    assert [await ask(trusting, "tls.example"), await ask(trusting, "tls.example")] == [b"ok", b"ok"]
    assert trusting.connections == 1
    with pytest.raises(UpstreamError, match="certificate"):
        await ask(trusting, "other.example")
    with pytest.raises(UpstreamError, match="certificate"):
        await ask(Upstream(resolve=resolve), "tls.example")  # type: ignore[arg-type]
    trusting.close()
    await until(lambda: trusting.connections == 0)
    server.close()

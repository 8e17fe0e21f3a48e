"""Bodies that do not come: by raw sockets, with a shorter patience."""

import asyncio

import pytest

from tests.ingress.conftest import KEY, Street
from tests.ingress.test_life import until
from tollway.ingress import exchange

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer %s\r\ncontent-length: 1000\r\n\r\n" % KEY.encode()
)


@pytest.mark.parametrize("begun", [b"", b'{"model":'])
async def test_a_body_that_does_not_come_is_not_waited_for(
    street: Street, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(exchange, "BODY_RECEIVE_S", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", street.port)
    writer.write(HEAD)
    await writer.drain()
    await until(lambda: street.gate.admission.in_flight == 1)
    writer.write(begun)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert answer.startswith(b"HTTP/1.1 400")
    await until(lambda: street.gate.admission.in_flight == 0)
    writer.close()

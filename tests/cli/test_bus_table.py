"""The broker itself holds the arrows: what each role needs works, and nothing else does."""

import asyncio
import json
import socket
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.cli.conftest import Connect, GuardedBus, Intruder
from tollway.bus import Delivery, Handles
from tollway.cli import bus_table
from tollway.cli.streams import make_streams
from tollway.wire import subjects
from tollway.wire.access import ConfigChanged
from tollway.wire.credit import CreditGranted, GrantCredit
from tollway.wire.usage import UsageFacts
from tollway.wire.work import Piece

Intrude = Callable[[str], Awaitable[Intruder]]

QUESTIONS = (
    ("ingress", "auth", subjects.AUTH_CHECK),
    ("ingress", "router", subjects.ROUTE_PLAN),
    ("ingress", "ledger", subjects.hold(3)),
    ("ingress", "ledger", subjects.LEDGER_QUERY),
    ("adapter", "auth", subjects.AUTH_SEALED),
    ("adapter", "ledger", subjects.hold(3)),
    ("adapter", "ingress", subjects.body("ingress-1")),
    ("router", "adapter", subjects.ASK_OFFER),
    ("ledger", "ledger", subjects.credit(3)),
    ("ingress", "adapter", subjects.probe("default")),
    ("cli", "ledger", subjects.credit(3)),
    ("cli", "auth", subjects.AUTH_MANAGE),
)
TOLD = (
    ("adapter", "ingress", subjects.inbox("ingress-1", "7")),
    ("ingress", "adapter", subjects.flow("adapter-1")),
    ("ingress", "adapter", subjects.dispatch("default")),
    ("ledger", "adapter", subjects.settled("adapter")),
    ("adapter", "router", subjects.HEALTH_SEEN),
    ("router", "ingress", subjects.HEALTH_CHANGED),
    ("auth", "ingress", subjects.config("ac_1")),
    ("ingress", "ledger", subjects.TRACE_KEEP),
    ("ledger", "ingress", subjects.beat("ledger", "ledger-1")),
)
FORBIDDEN_WORDS = (
    ("ingress", subjects.ledger_block(3)),
    ("ingress", subjects.usage(3)),
    ("ingress", subjects.config("ac_1")),
    ("ingress", subjects.AUTH_SEALED),
    ("adapter", subjects.credit(3)),
    ("adapter", subjects.settled("adapter")),
    ("adapter", subjects.AUTH_MANAGE),
    ("router", subjects.hold(3)),
    ("router", subjects.dispatch("default")),
    ("auth", subjects.credit(3)),
    ("ledger", subjects.dispatch("default")),
    ("ledger", subjects.beat("adapter", "adapter-1")),
    ("cli", subjects.usage(3)),
)
FORBIDDEN_EARS = (
    ("ingress", "_in.adapter.>"),
    ("ingress", subjects.settled("*")),
    ("ingress", subjects.AUTH_SEALED),
    ("adapter", subjects.AUTH_CHECK),
    ("adapter", subjects.inbox("*", "*")),
    ("router", subjects.dispatch("*")),
    ("router", subjects.AUTH_CHECK),
    ("auth", "_in.ingress.>"),
    ("ledger", subjects.inbox("*", "*")),
    ("cli", subjects.dispatch("*")),
    ("setup", subjects.HOLD_ALL),
)


@pytest.mark.parametrize(("asker", "answerer", "subject"), QUESTIONS)
async def test_a_question_of_the_architecture_gets_its_answer(
    as_role: Connect, asker: str, answerer: str, subject: str
) -> None:
    async def answer(_room: object, command: GrantCredit, _context: object) -> Any:
        return CreditGranted("lot_1", command.amount_nusd, 7)

    server, client = await as_role(answerer), await as_role(asker)
    await server.serve([Handles(subject, GrantCredit, answer)], None, queue=answerer)
    question = GrantCredit("ac_1", 5, "promotional", "test", "ref", "test")
    reply = await client.ask(subject, question, CreditGranted, timeout_s=5)
    assert reply == CreditGranted("lot_1", 5, 7)


@pytest.mark.parametrize(("speaker", "hearer", "subject"), TOLD)
async def test_what_a_role_tells_reaches_who_should_hear_it(
    as_role: Connect, speaker: str, hearer: str, subject: str
) -> None:
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    hearing, speaking = await as_role(hearer), await as_role(speaker)
    await hearing.listen(subject, [Piece], lambda _piece, _context, on: heard.set_result(on))
    speaking.tell(subject, Piece(0))
    assert await asyncio.wait_for(heard, 5) == subject


async def test_facts_travel_from_the_adapter_to_the_ledger_through_their_stream(as_role: Connect) -> None:
    arrived: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

    async def take(delivery: Delivery) -> None:
        await delivery.ack_sync()
        if not arrived.done():
            arrived.set_result(delivery)

    ledger, adapter = await as_role("ledger"), await as_role("adapter")
    await ledger.follow("USAGE", [subjects.USAGE_ALL], [UsageFacts], take, durable="ledger-test")
    stored = await adapter.put(subjects.usage(3), UsageFacts([]), message_id="m1")
    delivery = await asyncio.wait_for(arrived, 5)
    assert (stored.stream, delivery.subject, delivery.sequence) == ("USAGE", subjects.usage(3), stored.sequence)


async def test_auth_may_publish_changes_and_the_ledger_blocks(as_role: Connect) -> None:
    auth, ledger = await as_role("auth"), await as_role("ledger")
    changed = await auth.put(subjects.config("ac_1"), ConfigChanged("ac_1", 1, "account"), message_id="m2")
    block = await ledger.put_bytes(subjects.ledger_block(3), b"block", headers={"Nats-Msg-Id": "m3"})
    assert (changed.stream, block.stream) == ("CONFIG", "LEDGER")


@pytest.mark.parametrize(("role", "subject"), FORBIDDEN_WORDS)
async def test_a_role_cannot_say_what_is_anothers_to_say(intrude: Intrude, role: str, subject: str) -> None:
    intruder = await intrude(role)
    assert await intruder.is_refused(intruder.client.publish(subject, b"x"))


@pytest.mark.parametrize(("role", "subject"), FORBIDDEN_EARS)
async def test_a_role_cannot_hear_what_is_not_meant_for_it(intrude: Intrude, role: str, subject: str) -> None:
    intruder = await intrude(role)
    assert await intruder.is_refused(intruder.client.subscribe(subject))


@pytest.mark.parametrize("verb", ["DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE"])
@pytest.mark.parametrize("role", bus_table.USERS)
async def test_nobody_can_cut_a_stream(intrude: Intrude, role: str, verb: str) -> None:
    intruder = await intrude(role)
    for stream in subjects.STREAMS:
        assert await intruder.is_refused(intruder.client.publish(f"$JS.API.STREAM.{verb}.{stream}", b"{}"))


@pytest.mark.parametrize("role", [role for role in bus_table.USERS if role != "setup"])
async def test_only_the_set_up_user_can_change_a_stream(intrude: Intrude, role: str) -> None:
    intruder = await intrude(role)
    assert await intruder.is_refused(intruder.client.publish("$JS.API.STREAM.UPDATE.LEDGER", b"{}"))


def test_a_wrong_password_is_turned_away(guarded: GuardedBus) -> None:
    with (
        socket.create_connection(("127.0.0.1", guarded.ports["nats"]), timeout=5) as link,
        link.makefile("rwb") as wire,
    ):
        assert wire.readline().startswith(b"INFO")
        wire.write(b'CONNECT {"user": "ingress", "pass": "wrong", "verbose": false}\r\n')
        wire.flush()
        assert b"Authorization Violation" in wire.readline()


def test_every_message_of_a_stream_is_synced_before_it_is_acknowledged(guarded: GuardedBus) -> None:
    with urllib.request.urlopen(f"{guarded.monitor_url}/jsz?config=1", timeout=5) as answer:
        assert json.load(answer)["config"]["sync_always"] is True


def test_making_the_streams_again_changes_nothing(guarded: GuardedBus) -> None:
    asyncio.run(make_streams(guarded.url, password=guarded.passwords["setup"]))
    with urllib.request.urlopen(f"{guarded.monitor_url}/jsz?streams=1&config=1", timeout=5) as answer:
        streams = json.load(answer)["account_details"][0]["stream_detail"]
    kept = {stream["name"]: stream["config"] for stream in streams}
    assert sorted(kept) == sorted(subjects.STREAMS)
    assert all(config["deny_delete"] and config["deny_purge"] for config in kept.values())
    assert kept["USAGE"]["max_age"] == 30 * 86_400 * 10**9
    assert kept["LEDGER"]["max_age"] == 0

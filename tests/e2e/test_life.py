"""Starts, ends and deaths of the whole gateway: nothing that was answered is lost, and what cannot work says why."""

import signal
import socket
import subprocess
import threading
from pathlib import Path

import openai
import psutil
import pytest

from tests.e2e.conftest import Start
from tests.e2e.gateway import END_WITHIN_S, Gateway, cost_nusd, until

HELLO = [{"role": "user", "content": "Hello, Tollway!"}]
SERVICES = ("ingress", "auth", "router", "adapter", "ledger", "simulator", "nats")
GRANT_NUSD = 10_000_000_000


def ask(gateway: Gateway) -> str:
    answer = gateway.client().chat.completions.create(model="simulator:echo", messages=HELLO)
    return answer.choices[0].message.content or ""


def is_answered(gateway: Gateway) -> bool:
    try:
        return ask(gateway) == "Hello, Tollway!"
    except openai.APIError:
        return False


def refusal(gateway: Gateway) -> str:
    """The one line and exit code of a start that cannot work."""
    ended = subprocess.run(gateway.command(), capture_output=True, timeout=END_WITHIN_S, check=False)
    assert ended.returncode != 0
    assert b"Traceback" not in ended.stderr
    lines = ended.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_second_start_on_the_same_data_continues_where_it_was(fresh: Start) -> None:
    gateway = fresh().start()
    ask(gateway)
    spent, keys = gateway.balance_nusd(), gateway.credentials
    assert spent < GRANT_NUSD
    assert gateway.stop() == 0
    gateway.start()
    assert gateway.credentials == keys
    assert gateway.balance_nusd() == spent
    assert ask(gateway) == "Hello, Tollway!"
    assert gateway.said().count(b"access key") == 1
    assert len(gateway.usage(2)) == 2


def test_a_stream_that_runs_when_the_end_is_told_comes_to_its_own_end(fresh: Start) -> None:
    gateway = fresh().start()
    stream = gateway.client().chat.completions.create(
        model="simulator:echo;chunks=20;delay=100", messages=HELLO, stream=True
    )
    chunks = [next(iter(stream))]
    codes: list[int] = []
    ending = threading.Thread(target=lambda: codes.append(gateway.stop()))
    ending.start()
    chunks += list(stream)
    ending.join(END_WITHIN_S)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert codes == [0]
    gateway.start()
    rows = gateway.usage(1)  # waits until they are settled
    assert GRANT_NUSD - gateway.balance_nusd() == cost_nusd(rows) > 0


def test_ctrl_c_ends_it_and_leaves_no_process(fresh: Start) -> None:
    gateway = fresh().start()
    children = gateway.process.children(recursive=True)
    assert len(children) >= len(SERVICES)
    assert gateway.stop(signal.SIGINT) == 0
    assert not [child for child in children if child.is_running()]


def test_when_it_is_killed_its_services_die_too_and_the_next_start_has_everything(fresh: Start) -> None:
    gateway = fresh().start()
    ask(gateway)
    rows, spent = gateway.usage(1), gateway.balance_nusd()
    children = gateway.process.children(recursive=True)
    gateway.process.kill()
    _, alive = psutil.wait_procs(children, timeout=END_WITHIN_S)
    assert alive == []
    gateway.close()
    gateway.start()
    assert gateway.balance_nusd() == spent
    assert gateway.usage(1) == rows


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_is_killed_comes_back_by_itself_and_the_books_balance(sturdy: Gateway, name: str) -> None:
    before, known = sturdy.balance_nusd(), len(sturdy.usage(0))
    first = sturdy.service(name)
    first.kill()
    until(lambda: any(child.pid != first.pid for child in sturdy.named(name)), within_s=5)
    until(lambda: is_answered(sturdy), within_s=30)
    rows = sturdy.usage(known + 1)[known:]
    assert before - sturdy.balance_nusd() == cost_nusd(rows) > 0


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory: pytest.TempPathFactory) -> object:
    gateway = Gateway(tmp_path_factory.mktemp("sturdy")).start()
    yield gateway
    code = gateway.stop()
    gateway.close()
    assert code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_callers_wait_while_ingress_is_replaced_and_nobody_is_turned_away(
    sturdy: Gateway, number: signal.Signals
) -> None:
    first = sturdy.service("ingress")
    first.send_signal(number)
    psutil.wait_procs([first], timeout=END_WITHIN_S)
    assert ask(sturdy) == "Hello, Tollway!", "the first try was served"


def test_of_several_ingresses_on_one_port_those_that_can_serve_do(fresh: Start) -> None:
    gateway = fresh("--ingresses", "2").start()
    for idle in gateway.named("ingress"):
        idle.suspend()
        try:
            assert [ask(gateway) for _ in range(3)] == ["Hello, Tollway!"] * 3
        finally:
            idle.resume()
    rows = gateway.usage(6)
    assert GRANT_NUSD - gateway.balance_nusd() == cost_nusd(rows) > 0


def test_several_adapters_share_the_work(fresh: Start) -> None:
    gateway = fresh("--adapters", "2").start()
    assert len(gateway.named("adapter")) == 2
    for _ in range(4):
        ask(gateway)
    rows = gateway.usage(4)  # waits until they are settled
    assert GRANT_NUSD - gateway.balance_nusd() == cost_nusd(rows)


def test_when_one_of_two_ledgers_dies_the_other_goes_on(fresh: Start) -> None:
    gateway = fresh("--ledgers", "2").start()
    ask(gateway)
    for victim in gateway.named("ledger"):
        victim.kill()
        until(lambda: is_answered(gateway), within_s=30)
    rows = gateway.usage(3)
    assert GRANT_NUSD - gateway.balance_nusd() == cost_nusd(rows) > 0


def test_a_port_in_use_is_one_sentence(fresh: Start) -> None:
    gateway = fresh()
    with socket.create_server(("127.0.0.1", gateway.port)):
        assert f"Port {gateway.port} on 127.0.0.1 is in use" in refusal(gateway)


def test_data_of_another_version_is_one_sentence(fresh: Start) -> None:
    gateway = fresh()
    gateway.data.mkdir()
    (gateway.data / "tollway.json").write_text('{"layout": 2, "version": "2.0"}')
    assert "has data of layout 2" in refusal(gateway)


def test_a_directory_that_cannot_be_used_is_one_sentence(fresh: Start) -> None:
    gateway = fresh()
    gateway.data.touch()
    assert "as data directory" in refusal(gateway)


def test_a_database_that_does_not_answer_is_one_sentence(fresh: Start) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://nobody:secret@127.0.0.1:{closed.getsockname()[1]}/none"
        said = refusal(fresh("--database-url", url))
    assert "Cannot migrate the database of journal" in said
    assert "secret" not in said


def test_a_second_start_on_data_in_use_is_one_sentence(fresh: Start, sturdy: Gateway) -> None:
    second = fresh()
    second.data = Path(sturdy.data)
    assert "Another `tollway up`" in refusal(second)

"""Ids carry their kind and sort by time; a remembered answer is forgotten in time."""

import os

import pytest

from tollway import clock, ids
from tollway.remember import Remembered
from tollway.settings import SettingsError, read
from tollway.tokens import count_tokens
from tollway.wire.refusals import Refusal, refuse


def test_ids_sort_by_the_order_of_their_making_even_within_a_millisecond() -> None:
    made = [ids.new_id("rq") for _ in range(5_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_tells_when_it_was_made() -> None:
    before = clock.now_ms()
    assert before <= ids.ulid_ms(ids.new_id("aigk")) <= clock.now_ms()


@pytest.mark.parametrize(("back_ms", "is_followed"), [(5_000, False), (60_000, True), (400 * 86_400_000, True)])
def test_a_clock_that_was_far_ahead_and_is_set_right_is_followed(
    back_ms: int, is_followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_ms = clock.now_ms() + 10_000_000
    generator = ids._Generator()  # pyright: ignore[reportPrivateUsage]  one that no other test shares
    monkeypatch.setattr(ids, "_generator", generator)
    monkeypatch.setattr(clock, "now_ms", lambda: true_ms + back_ms)
    ahead = ids.new_id("rq")
    monkeypatch.setattr(clock, "now_ms", lambda: true_ms)
    made = ids.new_id("rq")
    assert (made < ahead) == is_followed
    assert (ids.ulid_ms(made) == true_ms) == is_followed
    assert made < ids.new_id("rq")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 minds a fork beside threads
def test_a_child_process_does_not_repeat_its_parents_ids() -> None:
    ids.new_span_id()
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, f"{ids.new_span_id()} {ids.new_id('rq')}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 200).decode().split()
    os.close(read)
    os.close(write)
    assert theirs[0] != ids.new_span_id()
    assert theirs[1] != ids.new_id("rq")


@pytest.mark.parametrize("text", ["", "rq_", "rq_short", "rq_" + "I" * 26])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        ids.ulid_ms(text)


async def test_an_answer_is_remembered_until_it_is_forgotten_and_callers_share_one_question() -> None:
    asked: list[str] = []

    async def ask(key: str) -> str | Refusal:
        asked.append(key)
        return refuse("resource_missing") if key == "no" else key.upper()

    memory: Remembered[str, str] = Remembered(ask, age_max_s=60)
    assert memory.peek("a") is None
    assert await memory.get("a") == "A"
    assert memory.peek("a") == "A"
    memory.forget(lambda key, _: key == "a")
    assert memory.peek("a") is None
    assert isinstance(await memory.get("no"), Refusal)
    assert isinstance(await memory.get("no"), Refusal)
    assert asked == ["a", "no", "no"]


async def test_an_answer_on_its_way_when_the_event_comes_is_not_remembered() -> None:
    async def ask(key: str) -> str | Refusal:
        memory.clear()  # the event arrives while the question is out
        return key

    memory: Remembered[str, str] = Remembered(ask, age_max_s=60)
    assert await memory.get("a") == "a"
    assert memory.peek("a") is None


async def test_an_old_answer_does_not_serve() -> None:
    async def ask(key: str) -> str | Refusal:
        return key

    memory: Remembered[str, str] = Remembered(ask, age_max_s=0.0)
    await memory.get("a")
    assert memory.peek("a") is None


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="TOLLWAY_PORT"):
        read("ingress", {"TOLLWAY_PORT": "eighty"})
    with pytest.raises(SettingsError, match="TOLLWAY_DATABASE_URL"):
        read("ingress", {"TOLLWAY_DATABASE_URL": "mysql://x"})


def test_settings_never_show_their_secrets() -> None:
    assert "hunter2" not in repr(read("adapter", {"TOLLWAY_NATS_PASSWORD": "hunter2", "OPENAI_API_KEY": "hunter2"}))


def test_tokens_are_counted_without_a_download() -> None:
    assert count_tokens("hello world") == 2
    assert count_tokens("<|endoftext|>") > 1  # text that looks like a special token is text

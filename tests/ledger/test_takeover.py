"""A ledger whose journal another one took over: it answers nobody, ends, and the younger epoch goes on."""

from tests.ledger.house import House, fact, open_hold
from tollway import clock
from tollway.ledger import events as ev
from tollway.ledger.journal.block import Head, build
from tollway.ledger.journal.reading import load, walk
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.service import Ledger
from tollway.ledger.state import canonical
from tollway.wire import subjects
from tollway.wire.credit import HoldOpened
from tollway.wire.queries import Balance
from tollway.wire.refusals import Refusal

ACCOUNT = "acc_house"
JOURNAL = subjects.journal_of(ACCOUNT)


async def take_over(ledger: Ledger) -> None:
    """What another process does first: begin an epoch of its own."""
    await ledger.writer.settle_down()
    rival = JournalStore(ledger.journal.engine)
    head = rival.head(JOURNAL)
    started = ev.EpochStarted(epoch=head.epoch + 1, writer="rival", head=head.hash.hex())
    rival.append([build(JOURNAL, head, epoch=started.epoch, ts=clock.now_ns() // 1000, events=[started])])
    rival.let_go()


async def test_a_ledger_that_was_taken_over_answers_nobody_and_ends(house: House) -> None:
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    await take_over(ledger)
    for _ in range(2):
        command = open_hold(ACCOUNT, 10**6)
        said = await house.client.ask(subjects.hold(JOURNAL), command, HoldOpened, timeout_s=0.5)
        assert isinstance(said, Refusal)
        assert said.details["cause"] == "timeout", "neither a grant nor a refusal: it does not know"
    assert ledger in house.fenced
    assert load(ledger.journal, JOURNAL)[0].holds == {}


async def test_facts_wait_for_the_ledger_that_took_over(small_house: House) -> None:
    house = small_house
    first = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    hold = (await house.opened(ACCOUNT, 10**6)).hold_id
    await take_over(first)
    await house.put(fact(ACCOUNT, hold, tokens=100))
    await house.until(lambda: first in house.fenced)
    assert house.settled == []
    await house.close(first)
    second = await house.ledger()
    await house.until_settled(hold)
    assert await house.balance(ACCOUNT) == Balance(10**9 - 105_000, 0, 0)
    epochs = [block.epoch for block in walk(second.journal, JOURNAL, Head())]
    assert epochs == sorted(epochs), "no block of an older epoch follows a younger one"
    assert epochs[-1] == 3
    assert canonical(load(second.journal, JOURNAL)[0]) == canonical(second.desks[JOURNAL].state)

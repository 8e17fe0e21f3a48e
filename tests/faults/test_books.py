"""The checker can see: each wrong it looks for is shown to it once."""

import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.faults.books import GENESIS, HEADER, VERSION, Books, Row, Settlement, cost_of
from tests.faults.checker import charged_twice
from tests.faults.house import Wallet
from tests.faults.load import Ask, Try

Story = list[list[dict[str, Any]]]

TOKENS: Final = 1_000
COST: Final = 50_000
REPORT: Final = {
    "outcome": "complete",
    "certainty": "reported",
    "usage": {"tokens_input": 400, "tokens_output": 600},
    "attempts": [{}],
    "ended_at_ms": 1,
}


def good() -> Story:
    """Blocks of events: credit of two lots, a hold over both, what it cost, and a hold that came to nothing."""
    lot = {"source": "test", "by": "t"}
    return [
        [{"t": "journal.opened", "journal": 1}, {"t": "epoch.started", "epoch": 1, "writer": "w", "head": ""}],
        [
            {"t": "credit.granted", "a": "ac", "lot": "lot_1", "amount": 30_000, "ext_ref": "1", **lot},
            {"t": "credit.granted", "a": "ac", "lot": "lot_2", "amount": 90_000, "ext_ref": "2", **lot},
        ],
        [
            {
                "t": "hold.opened",
                "a": "ac",
                "hold": "h1",
                "amount": 60_000,
                "lots": [["lot_1", 30_000], ["lot_2", 30_000]],
                "deadline": 5,
            },
            {"t": "hold.opened", "a": "ac", "hold": "h2", "amount": 10_000, "lots": [["lot_2", 10_000]], "deadline": 5},
        ],
        [
            {
                "t": "hold.settled",
                "a": "ac",
                "hold": "h1",
                "report": REPORT,
                "cost": COST,
                "charged": COST,
                "released": 10_000,
            },
            {"t": "hold.voided", "a": "ac", "hold": "h2", "reason": "x", "released": 10_000},
        ],
    ]


def rows(story: Story, *, epochs: tuple[int, ...] = ()) -> list[Row]:
    """The story as stored blocks, chained."""
    found: list[Row] = []
    prev, first = GENESIS, 0
    for number, events in enumerate(story, 1):
        body = json.dumps(events).encode()
        epoch = epochs[number - 1] if epochs else 1
        header = struct.pack(HEADER, VERSION, 1, number, epoch, number * 1000, first, len(events), 0)
        digest = hashlib.sha256(header + prev + body).digest()
        found.append((1, number, epoch, number * 1000, prev, digest, len(events), first, 0, body))
        prev, first = digest, first + len(events)
    return found


def test_an_honest_log_has_no_breach_and_adds_up() -> None:
    books = Books(rows(good()))
    assert books.breaches == []
    account = books.accounts["ac"]
    assert (account.available, account.held, account.charged) == (120_000 - COST, 0, COST)
    assert books.settled["h1"].tokens_input + books.settled["h1"].tokens_output == TOKENS


def _twice(story: Story) -> None:
    story[3].append(story[3][0])


def _charge(**more: Any) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        story[3][0] |= more

    return change


def _lots(lots: list[list[Any]]) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        story[2][0]["lots"] = lots

    return change


def _same_payment(story: Story) -> None:
    story[1][1]["ext_ref"] = "1"


def _hold_again(story: Story) -> None:
    story[2].append(dict(story[2][1]))


def _overspent(story: Story) -> None:
    story[2][0] |= {"amount": 150_000, "lots": [["lot_1", 30_000], ["lot_2", 120_000]]}


def _not_all_back(story: Story) -> None:
    story[3][1]["released"] = 9_999


def _expired_early(story: Story) -> None:
    story.append([{"t": "lot.expired", "a": "ac", "lot": "lot_2", "amount": 70_000}])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_twice, "is not open"),
        (_charge(charged=40_000, released=20_000), "is not its usage's price"),
        (_charge(released=9_000), "what is released is not what is left"),
        (_lots([["lot_2", 60_000]]), "burn order"),
        (_same_payment, "came in twice"),
        (_hold_again, "was opened twice"),
        (_overspent, "leaves a negative balance"),
        (_not_all_back, "does not give all back"),
        (_expired_early, "before its time"),
    ],
)
def test_a_wrong_is_seen(change: Callable[[Story], None], said: str) -> None:
    story = good()
    change(story)
    assert any(said in breach for breach in Books(rows(story)).breaches)


PRICE: Final = {
    "input": 1_000_000,
    "output": 4_000_000,
    "cache_read": 100_000,
    "cache_write": 1_250_000,
    "tiers": [{"above_tokens_input": 500, "input": 2_000_000, "output": 8_000_000}],
    "services": [{"service": "priority", "input": 3_000_000, "output": 9_000_000}],
    "per_request": 7,
    "per_search": 10_000_000,
}
FEES: Final = 50 * TOKENS


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"tokens_input": 400, "tokens_output": 600}, 400 * 1 + 600 * 4),
        ({"tokens_input": 600, "tokens_output": 400}, 600 * 2 + 400 * 8),
        ({"tokens_input": 400, "tokens_output": 600, "service": "priority"}, 400 * 3 + 600 * 9),
        ({"tokens_input": 600, "tokens_output": 400, "service": "priority"}, 600 * 3 + 400 * 9),
        ({"tokens_input": 400, "tokens_output": 600, "service": "default"}, 400 * 1 + 600 * 4),
        ({"tokens_input": 400, "tokens_output": 600, "tokens_cache_read": 100}, 300 * 1 + 10 + 600 * 4),
        (
            {"tokens_input": 400, "tokens_output": 600, "tokens_cache_write": 120, "tokens_cache_write_hour": 40},
            280 * 1 + 80 * 1.25 + 40 * 2 + 600 * 4,
        ),
        ({"tokens_input": 400, "tokens_output": 600, "searches": 0}, 400 * 1 + 600 * 4),
        ({"tokens_input": 400, "tokens_output": 600, "searches": 3}, 400 * 1 + 600 * 4 + 30_000_000),
    ],
)
def test_a_price_is_worked_out_by_hand(usage: dict[str, Any], cost: int) -> None:
    report = REPORT | {"usage": usage, "price": PRICE, "is_managed": True}
    assert cost_of({"report": report}) == FEES + cost + 7


def test_searches_without_a_price_cost_nothing_and_impossible_ones_make_the_whole_usage_absurd() -> None:
    usage = {"tokens_input": 400, "tokens_output": 600, "searches": 3}
    no_price = {name: value for name, value in PRICE.items() if name != "per_search"}
    report = REPORT | {"usage": usage, "price": no_price, "is_managed": True}
    assert cost_of({"report": report}) == FEES + 400 * 1 + 600 * 4 + 7
    own_key = REPORT | {"usage": usage, "price": PRICE, "is_managed": False}
    assert cost_of({"report": own_key}) == FEES
    absurd = REPORT | {"usage": usage | {"searches": 1_000_001}, "price": PRICE, "is_managed": True}
    assert cost_of({"report": absurd}) == 0


WALLETS: Final = [Wallet("ac_1", "", "")]


def settled(hold: str, tokens_input: int, certainty: str = "reported") -> Settlement:
    return Settlement(hold, "ac_1", COST, COST, False, "complete", certainty, tokens_input, 1, 1)


def tried(hold: str, tokens_input: int) -> Try:
    return Try(WALLETS[0], Ask(), tokens_input, headers={"tollway-request-id": hold} if hold else {})


@pytest.mark.parametrize(
    ("tries", "settlements", "breaches"),
    [
        ([tried("h1", 20), tried("h2", 21)], [settled("h1", 20), settled("h2", 21)], 0),
        ([tried("", 20)], [settled("h1", 20), settled("h2", 20)], 1),
        ([tried("h2", 20)], [settled("h1", 20), settled("h2", 20)], 1),
        ([tried("h1", 20), tried("h2", 21)], [settled("h1", 20), settled("h2", 20, "counted")], 0),
    ],
)
def test_a_try_that_was_charged_twice_is_seen(tries: list[Try], settlements: list[Settlement], breaches: int) -> None:
    books = Books([])
    books.settled = {settlement.hold: settlement for settlement in settlements}
    assert len(charged_twice(books, WALLETS, tries)) == breaches


def test_a_changed_bit_a_missing_block_and_an_earlier_epoch_are_seen() -> None:
    stored = rows(good())
    changed = [row if row[1] != 2 else (*row[:9], row[9].replace(b"30000", b"30001")) for row in stored]
    assert any("block 2: its hash" in breach for breach in Books(changed).breaches)
    assert any("block 3: it does not link" in breach for breach in Books([*stored[:1], *stored[2:]]).breaches)
    assert any("earlier epoch" in breach for breach in Books(rows(good(), epochs=(1, 2, 1, 1))).breaches)

"""The checker can see: each wrong it looks for is shown to it once."""

import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.faults.books import GENESIS, HEADER, VERSION, Books, Row

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


def test_a_changed_bit_a_missing_block_and_an_earlier_epoch_are_seen() -> None:
    stored = rows(good())
    changed = [row if row[1] != 2 else (*row[:9], row[9].replace(b"30000", b"30001")) for row in stored]
    assert any("block 2: its hash" in breach for breach in Books(changed).breaches)
    assert any("block 3: it does not link" in breach for breach in Books([*stored[:1], *stored[2:]]).breaches)
    assert any("earlier epoch" in breach for breach in Books(rows(good(), epochs=(1, 2, 1, 1))).breaches)

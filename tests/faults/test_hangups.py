"""A client that hangs up pays for what the provider produced: never nothing once there was content, never twice."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.e2e.gateway import until
from tests.faults.checker import audit, books_of
from tests.faults.house import House
from tests.faults.load import Ask, Try, together

CHUNKS: Final = 10
DELAY_MS: Final = 150
NOTICED_WITHIN_MS: Final = 5_000
"""The promise is a second; the machine may be busy."""


def hang_up_after(pieces: int) -> Ask:
    """A stream of CHUNKS pieces that is left after some of them."""
    model = f"simulator:echo;chunks={CHUNKS};delay={DELAY_MS}"
    return Ask(model, is_stream=True, abort_after=pieces, tries_max=1)


def rows_of(house: House, tries: Sequence[Try]) -> dict[int, dict[str, Any]]:
    """The provider's own record of each try, by its input."""
    known = {tried.tokens_input for tried in tries}
    return {row["tokens_input"]: row for row in house.tally() if row["tokens_input"] in known}


def test_a_client_that_hangs_up_at_any_piece_pays_what_the_provider_bills(house: House) -> None:
    wallet = house.wallet()
    tries = together(house.base_url, wallet, [hang_up_after(pieces) for pieces in range(1, CHUNKS)])
    assert {tried.ending for tried in tries} == {"aborted"}
    assert audit(house, [wallet], tries).breaches == []
    books, rows = books_of(house), rows_of(house, tries)
    for tried in tries:
        settled, row = books.settled[tried.request_id], rows[tried.tokens_input]
        assert (settled.outcome, row["outcome"]) == ("client_aborted", "cancelled_by_client")
        assert settled.charged > 0
        assert settled.tokens_input == row["tokens_input"]
        per_piece = -(-tried.tokens_input // CHUNKS) + 1
        assert 0 <= row["tokens_output"] - settled.tokens_output <= per_piece, "one piece may be on its way"
        assert row["disconnected_ms"] - tried.ended_at * 1000 < NOTICED_WITHIN_MS


def test_hanging_up_before_the_answer_ends_each_hold_once(house: House) -> None:
    wallet = house.wallet()
    slow = Ask("simulator:echo;ttft=3000;delay=50", is_stream=True, abort_s=1.0, tries_max=1)
    whole = Ask("simulator:echo;ttfb=3000", abort_s=1.0, tries_max=1)
    tries = together(house.base_url, wallet, [slow, whole, slow, whole])
    assert {tried.ending for tried in tries} == {"aborted"}
    assert audit(house, [wallet], tries).breaches == []
    books = books_of(house)
    mine = [name for name, account in books.owners.items() if account == wallet.account_id]
    assert len(mine) == len(tries)
    assert all((name in books.settled) != (name in books.voided) for name in mine)
    settled = [books.settled[name] for name in mine if name in books.settled]
    charged = {settlement.tokens_input for settlement in settled if settlement.charged}
    assert charged == {tried.tokens_input for tried in tries if not tried.ask.is_stream}
    until(lambda: set(rows_of(house, tries)) == charged)  # whole answers were made, streams had no content yet


@pytest.mark.long
def test_hanging_up_between_the_last_word_and_the_terminator_is_charged_as_reported_or_counted(house: House) -> None:
    wallet = house.wallet()
    tries = together(house.base_url, wallet, [hang_up_after(CHUNKS)] * 30)
    until(lambda: len(rows_of(house, tries)) == len(tries))
    assert audit(house, [wallet], tries).breaches == []
    books, rows = books_of(house), rows_of(house, tries)
    for tried in tries:
        settled, row = books.settled[tried.request_id], rows[tried.tokens_input]
        assert settled.outcome in ("complete", "client_aborted")
        assert (settled.tokens_input, settled.tokens_output) == (row["tokens_input"], row["tokens_output"])

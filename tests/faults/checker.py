"""Lays four records beside each other: the journal, what clients got, the provider's tally, the usage rows."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import nats
from msgspec import msgpack

from tests.faults.books import Books, Row, digest, read_blocks
from tests.faults.house import House, Wallet
from tests.faults.load import Try, nusd_of

QUIET_WITHIN_S: Final = 60.0
STILL_S: Final = 18.0
COPY_WITHIN_S: Final = 20.0
CENT: Final = 10_000_000


@dataclass(frozen=True)
class Summary:
    """What a run went through. `unbilled`: whole answers of the provider that the gateway lost and did not charge.
    `cut`: whole answers of the provider that were charged though their end did not reach the client."""

    faults: tuple[str, ...]
    requests: int
    events: int
    unbilled: int
    cut: int
    open_holds: int
    breaches: list[str]


SUMMARIES: Final[list[Summary]] = []
"""Of every audit of this run, for the line at its end."""


def books_of(house: House) -> Books:
    """The journal as it is stored now."""
    return Books(read_blocks(house.journal))


def settle_down(
    house: House, wallets: Sequence[Wallet], *, stranded_max: int = 0, within_s: float = QUIET_WITHIN_S
) -> Books:
    """Wait until these accounts have no open hold and outboxes are empty. Where some holds may wait for their
    deadline: until nothing has happened to these for as long as an adapter waits for an ingress that died. Returns
    the books as they are then, or when the time is up."""
    give_up = time.monotonic() + within_s
    seen, since = -1, time.monotonic()
    while True:
        books = books_of(house)
        left = len(open_holds(books, wallets))
        if books.events != seen:
            seen, since = books.events, time.monotonic()
        is_still = left <= stranded_max and time.monotonic() - since > STILL_S
        is_quiet = (not left or is_still) and house.outbox_facts() == 0
        if is_quiet or time.monotonic() > give_up:
            return books
        time.sleep(0.25)


def open_holds(books: Books, wallets: Sequence[Wallet]) -> list[str]:
    """Open holds of these accounts."""
    accounts = {wallet.account_id for wallet in wallets}
    return [name for name, hold in books.holds.items() if hold.account in accounts]


def audit(
    house: House,
    wallets: Sequence[Wallet],
    tries: Sequence[Try],
    *,
    stranded_max: int = 0,
    is_tally_whole: bool = True,
    may_lose_answers: bool = False,
) -> Summary:
    """Everything that can be checked once nothing is in flight.

    `stranded_max`: requests whose ingress died between hold and dispatch, so that their holds wait for the deadline.
    `is_tally_whole`: the tally begins anew when the simulator does. `may_lose_answers`: whoever hands answers on was
    hurt, so that one which the provider had completed, and whose fact was durable, is charged though its end did not
    arrive. Anything else that a client was told to have failed must not be charged, then as ever.
    """
    books = settle_down(house, wallets, stranded_max=stranded_max)
    tally = house.tally() if is_tally_whole else None
    breaches = list(books.breaches)
    left_open = open_holds(books, wallets)
    if len(left_open) > stranded_max:
        breaches.append(f"holds {left_open} are open")
    failures = [tried for tried in tries if _charged_for_failure(books, tried)]
    cut = _lost_on_their_way(books, failures, tally or ()) if may_lose_answers else []
    breaches += [_about(tried, _charged_for_failure(books, tried)) for tried in failures if tried not in cut]
    breaches += [_about(tried, what) for tried in tries if (what := _said_truly(books, tried))]
    breaches += charged_twice(books, wallets, tries)
    breaches += [] if tally is None else _provider(books, tries, tally)
    for wallet in wallets:
        breaches += _usage_rows(house, books, wallet)
    breaches += copy_breaches(house, read_blocks(house.journal))
    if facts := house.outbox_facts():
        breaches.append(f"{facts} facts are still in an outbox")
    faults, house.faults = house.faults, []
    unbilled = 0 if tally is None else _unbilled(books, wallets, tries, tally)
    summary = Summary(tuple(faults), len(tries), books.events, unbilled, len(cut), len(left_open), breaches)
    SUMMARIES.append(summary)
    return summary


def _about(tried: Try, what: str) -> str:
    return f"{tried.request_id or tried.tokens_input} ({tried.ending}): {what}"


def _lost_on_their_way(books: Books, failures: Sequence[Try], tally: Sequence[dict[str, Any]]) -> list[Try]:
    """Those that were charged for what the provider completed, no less."""
    whole = {row["tokens_input"] for row in tally if row["outcome"] == "completed"}
    return [
        tried
        for tried in failures
        if books.settled[tried.request_id].outcome == "complete" and tried.tokens_input in whole
    ]


def _said_truly(books: Books, tried: Try) -> str:
    settled = books.settled.get(tried.request_id)
    if tried.ending == "hung":
        return "the client was left without an answer"
    if tried.ending == "complete":
        if settled is None:
            return "a whole answer was delivered and not settled"
        if settled.charged != tried.receipt_nusd:
            return f"charged {settled.charged}, receipt {tried.receipt_nusd}"
        if settled.tokens_input != tried.tokens_input:
            return f"{settled.tokens_input} input tokens were charged instead of {tried.tokens_input}"
    if tried.ending == "aborted" and tried.content_pieces and settled is not None and not settled.charged:
        return "content was delivered before the client hung up, and nothing was charged"
    return ""


def _charged_for_failure(books: Books, tried: Try) -> str:
    settled = books.settled.get(tried.request_id)
    if tried.ending == "refused" and settled is not None and settled.charged:
        return f"charged {settled.charged} for a refusal with status {tried.status}"
    if tried.ending == "told" and settled is not None and settled.outcome == "complete":
        return "charged as complete, the client was told of an error"
    return ""


def _by_tokens(books: Books, wallets: Sequence[Wallet], tries: Sequence[Try]) -> dict[int, list[str]]:
    """Holds of these accounts that were charged, by the input that names a try (others may send the same to another
    end, such as 500 requests of one size). Where a client knows its request's id, that says which try it was: input
    that was counted because the provider reported none may be another try's number."""
    accounts = {wallet.account_id for wallet in wallets}
    told = {tried.request_id: tried.tokens_input for tried in tries if tried.request_id}
    found: dict[int, list[str]] = defaultdict(list)
    for settlement in books.settled.values():
        if settlement.charged and settlement.account in accounts:
            found[told.get(settlement.hold, settlement.tokens_input)].append(settlement.hold)
    return found


def charged_twice(books: Books, wallets: Sequence[Wallet], tries: Sequence[Try]) -> list[str]:
    """Tries that two holds were charged for."""
    charged = _by_tokens(books, wallets, tries)
    return [f"input {tokens} was charged twice: {holds}" for tokens, holds in charged.items() if holds[1:]]


def _provider(books: Books, tries: Sequence[Try], tally: Sequence[dict[str, Any]]) -> list[str]:
    """Nothing is charged as complete that the provider did not complete, nor for another output than it bills."""
    known = {tried.tokens_input for tried in tries}
    served: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in tally:
        served[row["tokens_input"]].append(row)
    wrong: list[str] = []
    for settlement in books.settled.values():
        tokens = settlement.tokens_input
        if settlement.outcome != "complete" or tokens not in known:
            continue
        outputs = [row["tokens_output"] for row in served[tokens] if row["outcome"] == "completed"]
        if settlement.tokens_output not in outputs:
            wrong.append(f"{settlement.hold}: {settlement.tokens_output} output tokens charged, provider: {outputs}")
    return wrong


def _unbilled(books: Books, wallets: Sequence[Wallet], tries: Sequence[Try], tally: Sequence[dict[str, Any]]) -> int:
    """Whole answers of the provider beyond those that were charged."""
    known = {tried.tokens_input for tried in tries}
    whole = Counter(row["tokens_input"] for row in tally if row["outcome"] == "completed")
    charged = _by_tokens(books, wallets, tries)
    return sum(count - len(charged.get(tokens, ())) for tokens, count in whole.items() if tokens in known)


def _usage_rows(house: House, books: Books, wallet: Wallet) -> list[str]:
    """Usage rows add up to what left the balance, to the nano-dollar; each settled request has its rows."""
    account = books.accounts[wallet.account_id]
    rows = house.usage_rows(wallet)
    cost = sum(nusd_of(row["totalCost"]) for row in rows)
    left = account.came_in - account.went_out - account.available - account.held + account.debt
    wrong = [] if cost == account.charged == left else [f"rows {cost}, charged {account.charged}, left {left}"]
    attempts = Counter(row["requestId"] for row in rows)
    for settlement in books.settled.values():
        if settlement.account == wallet.account_id and attempts[settlement.hold] != settlement.attempts:
            wrong.append(f"{settlement.hold}: {attempts[settlement.hold]} usage rows, {settlement.attempts} attempts")
    if len({row["id"] for row in rows}) != len(rows):
        wrong.append("a usage row is listed twice")
    said = house.balance(wallet)
    if said["availableCents"] != account.available // CENT or said["heldCents"] != account.held // CENT:
        wrong.append(f"the API says {said}, the journal {account.available} and {account.held}")
    return [f"{wallet.account_id}: {what}" for what in wrong]


# -- the copy


def copy_breaches(house: House, blocks: Sequence[Row]) -> list[str]:
    """The LEDGER stream is the same blocks, in order, each once."""
    give_up = time.monotonic() + COPY_WITHIN_S
    while True:
        wrong = _copy_compared(house, blocks)
        if not wrong or time.monotonic() > give_up:
            return wrong
        time.sleep(0.5)


def _copy_compared(house: House, blocks: Sequence[Row]) -> list[str]:
    stored = {(row[0], row[1]): bytes(row[5]) for row in blocks}
    copied = asyncio.run(_copied(house))
    names = [key for key, _ in copied]
    wrong = [f"LEDGER has block {key} twice" for key, count in Counter(names).items() if count > 1]
    wrong += [f"LEDGER has another block {key}" for key, digest in copied if stored.get(key, digest) != digest]
    wrong += [f"LEDGER lacks block {key}" for key in stored if key not in set(names)]
    by_journal: dict[int, list[int]] = defaultdict(list)
    for journal, seq in names:
        by_journal[journal].append(seq)
    return wrong + [f"LEDGER has journal {j} out of order" for j, seqs in by_journal.items() if seqs != sorted(seqs)]


async def _copied(house: House) -> list[tuple[tuple[int, int], bytes]]:
    state = house.state
    client = await nats.connect(
        f"nats://127.0.0.1:{state['ports']['nats']}",
        user="cli",
        password=state["passwords"]["cli"],
        inbox_prefix=b"_in.cli",
    )
    try:
        stream = client.jetstream()
        last = (await stream.stream_info("LEDGER")).state.last_seq
        found: list[tuple[tuple[int, int], bytes]] = []
        for sequence in range(1, last + 1):
            message = await stream.get_msg("LEDGER", sequence)
            found += [((row[0], row[1]), digest(tuple(row))) for row in msgpack.decode(message.data or b"")]
        return found
    finally:
        await client.close()

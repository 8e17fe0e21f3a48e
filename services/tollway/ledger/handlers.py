"""Commands on their way to a desk, and questions on their way to the read models.

The hot path (`hold.j.<nn>`, `credit.j.<nn>`) is direct: no task, no await; the reply leaves when its block is durable.
A journal's subjects are served by the process that owns it; whoever does not own it stays silent.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from tollway import clock
from tollway.bus import Handles, Respond
from tollway.crash import crashpoint
from tollway.ledger.age import is_fresh, made_at_ms
from tollway.ledger.desk import Desk
from tollway.ledger.views import queries
from tollway.wire import subjects
from tollway.wire.credit import (
    HOLDS_AT_ONCE_MAX,
    SETTLED_WITHIN_S,
    AdjustBalance,
    AwaitHolds,
    ExtendHold,
    GrantCredit,
    HoldsAwaited,
    HoldsOpened,
    OpenHold,
    OpenHolds,
    ReverseCredit,
    UpdateAccount,
    VoidHold,
)
from tollway.wire.envelope import Context
from tollway.wire.queries import (
    Balance,
    GetBalance,
    GetOverview,
    GetRequest,
    ListTransactions,
    ListUsage,
    Overview,
    RequestUsage,
    TransactionList,
    UsageList,
)
from tollway.wire.refusals import Refusal, refuse

if TYPE_CHECKING:
    from tollway.ledger.service import Ledger

ASK_OWNER_S: Final = 1.0
LOOK_AGAIN_S: Final = 0.005
_TOO_MANY: Final = refuse("validation", f"At most {HOLDS_AT_ONCE_MAX} holds are opened at once.")


def open_hold(room: "Ledger", command: OpenHold, context: Context, respond: Respond) -> None:
    """Decide a hold, and answer when it is durable."""
    crashpoint("ledger.command_read")
    desk = room.desk_of(command.account_id)
    if desk is None or room.is_mute(respond):
        return
    decided = room.trouble or _decided(room, desk, command, room.now_us())
    crashpoint("ledger.decided")
    if isinstance(decided, Refusal):
        room.count_hold(decided.code)
        respond(decided)
        return
    desk.reply(command, room.traced(command, context, respond, is_repeat=not decided))
    room.writer.wake(desk)


def open_holds(room: "Ledger", command: OpenHolds, _context: Context, respond: Respond) -> None:
    """Decide holds that are alike one by one, until one is refused; the reply says how many are open, and durable."""
    desk = room.desk_of(command.account_id)
    if desk is None or room.is_mute(respond):
        return
    opened, refusal = 0, room.trouble or (_TOO_MANY if len(command.hold_ids) > HOLDS_AT_ONCE_MAX else None)
    if refusal is None:
        opened, refusal = _open_each(room, desk, command)
    if refusal is not None and not opened:
        respond(refusal)
        return
    said = HoldsOpened(opened, balance_of(desk, command.account_id).available_nusd)
    desk.after_commit(lambda: respond(said))
    room.writer.wake(desk)


def _open_each(room: "Ledger", desk: Desk, command: OpenHolds) -> tuple[int, Refusal | None]:
    """How many were opened, and why the next was not."""
    now_us = room.now_us()
    for opened, hold_id in enumerate(command.hold_ids):
        one = OpenHold(
            hold_id=hold_id,
            account_id=command.account_id,
            access_key_id=command.access_key_id,
            amount_nusd=command.amount_nusd,
            hold_deadline_ms=command.hold_deadline_ms,
            price_version=command.price_version,
            models=command.models,
        )
        decided = _decided(room, desk, one, now_us)
        if isinstance(decided, Refusal):
            return opened, decided
        room.count_hold("opened")
    return len(command.hold_ids), None


def _decided(room: "Ledger", desk: Desk, command: OpenHold, now_us: int) -> list[Any] | Refusal:
    """A refusal is remembered until the hold's deadline, so that a repeat cannot turn it around."""
    jump_ms = 0 if room.guard.may_expire else room.guard.jump_ms(made_at_ms(command.hold_id))
    if jump_ms:
        command = structs.replace(command, hold_deadline_ms=command.hold_deadline_ms - jump_ms)
    refusal = _refused_already(desk, command, now_us // 1000, jump_ms)
    if refusal is not None:
        return refusal
    decided = desk.take(command, now_us)
    if isinstance(decided, Refusal):
        desk.remember_refusal(command.hold_id, decided, until_ms=command.hold_deadline_ms)
    return decided


def _refused_already(desk: Desk, command: OpenHold, now_ms: int, jump_ms: int) -> Refusal | None:
    """New holds carry new ids: what was refused, here or by an earlier writer, or forgotten, cannot be opened.

    `jump_ms`: the clock that made the id is off by so much.
    """
    if command.hold_id in desk.state.holds:
        return None
    return is_fresh(command.hold_id, now_ms=now_ms + jump_ms, epoch_ms=desk.epoch_ms + jump_ms) or desk.refused_before(
        command.hold_id, now_ms
    )


def take(room: "Ledger", command: Any, context: Context, respond: Respond) -> None:
    """Any other command of money: decided at its account's desk, answered when durable."""
    desk = room.desk_of(command.account_id)
    if desk is None or room.is_mute(respond):
        return
    if room.trouble is not None:
        respond(room.trouble)
        return
    now_us = room.now_us()
    decided = desk.take(command, now_us)
    if isinstance(decided, Refusal):
        respond(decided)
        return
    desk.reply(command, room.traced(command, context, respond, is_repeat=not decided))
    room.writer.wake(desk)


async def await_holds(room: "Ledger", command: AwaitHolds, _context: Context) -> HoldsAwaited | None:
    """The facts of these holds are on their way: answer when they are here."""
    give_up_s = clock.monotonic_s() + SETTLED_WITHIN_S
    while (desk := room.desk_of(command.account_id)) is not None and not room.is_silent:
        left = sum(hold_id in desk.state.holds for hold_id in command.hold_ids)
        if not left or clock.monotonic_s() > give_up_s:
            return HoldsAwaited(left)
        await asyncio.sleep(LOOK_AGAIN_S)
    return None


def balance_here(room: "Ledger", command: GetBalance, _context: Context, respond: Respond) -> None:
    """The balance as decided so far, told once that is durable."""
    desk = room.desk_of(command.account_id)
    if desk is None or room.is_silent:
        return
    said = balance_of(desk, command.account_id)
    block = desk.uncommitted
    if block is None:
        respond(said)
    else:
        block.replies.append((respond, said))
        room.writer.wake(desk)


def balance_of(desk: Desk, account_id: str) -> Balance:
    """What the desk's memory says."""
    account = desk.state.accounts.get(account_id)
    return Balance(account.available, account.held, account.debt) if account else Balance(0, 0, 0)


async def get_balance(room: "Ledger", command: GetBalance, context: Context) -> Balance | Refusal:
    """The balance, exact: from the desk here, or from the process that owns the journal."""
    if room.desk_of(command.account_id) is not None and not room.is_silent:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        balance_here(room, command, context, answered.set_result)
        return await answered
    subject = subjects.credit(subjects.journal_of(command.account_id))
    return await room.bus.ask(subject, command, Balance, timeout_s=ASK_OWNER_S, context=context)


async def query(room: "Ledger", command: Any, context: Context) -> Any:
    """Read models as of now: here, if the account's journal is ours, or from the process that owns it."""
    if room.desk_of(command.account_id) is not None and not room.is_silent:
        return await query_here(room, command, context)
    subject = subjects.credit(subjects.journal_of(command.account_id))
    return await room.bus.ask(subject, command, ANSWERS[type(command)], timeout_s=ASK_OWNER_S, context=context)


async def query_here(room: "Ledger", command: Any, _context: Context) -> Any:
    """Read models, after everything that was decided here has reached them."""
    desk = room.desk_of(command.account_id)
    if desk is None or room.is_silent or room.views is None:
        return None
    await _durable(room, desk)
    await room.projector.reach({})
    return await asyncio.to_thread(queries.ask, room.views, command)


async def _durable(room: "Ledger", desk: Desk) -> None:
    """Until everything that this desk has decided is committed."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    desk.after_commit(lambda: None if done.done() else done.set_result(None))
    if not done.done():
        room.writer.wake(desk)
        await done


ANSWERS: Final[dict[type, Any]] = {
    ListTransactions: TransactionList,
    ListUsage: UsageList,
    GetOverview: Overview,
    GetRequest: RequestUsage,
}
"""Questions for the read models, and what answers them."""

HANDLERS: Final[Sequence[Handles]] = (
    Handles(subjects.LEDGER_QUERY, GetBalance, get_balance),
    *(Handles(subjects.LEDGER_QUERY, question, query) for question in ANSWERS),
)
"""Served by every ledger process, as one queue group."""


def handlers_of(journal: int) -> Sequence[Handles]:
    """Served by the process that owns the journal."""
    hold, credit = subjects.hold(journal), subjects.credit(journal)
    return (
        Handles(hold, OpenHold, open_hold, is_direct=True),
        Handles(hold, OpenHolds, open_holds, is_direct=True),
        Handles(hold, AwaitHolds, await_holds),
        Handles(hold, ExtendHold, take, is_direct=True),
        Handles(hold, VoidHold, take, is_direct=True),
        Handles(credit, GrantCredit, take, is_direct=True),
        Handles(credit, ReverseCredit, take, is_direct=True),
        Handles(credit, AdjustBalance, take, is_direct=True),
        Handles(credit, UpdateAccount, take, is_direct=True),
        Handles(credit, GetBalance, balance_here, is_direct=True),
        *(Handles(credit, question, query_here) for question in ANSWERS),
    )

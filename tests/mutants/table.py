# ruff: noqa: E501  the text of the code, as it stands there
"""Each way of breaking the money, as a change of text; a mutant that no longer applies is an error, not a pass."""

from typing import Final

import msgspec

LEDGER: Final = "services/tollway/ledger"


class Mutant(msgspec.Struct, frozen=True):
    """`before` occurs exactly once in `path`. `tests` are tried in order until one fails."""

    name: str
    path: str
    before: str
    after: str
    tests: tuple[str, ...]


CORE: Final = (
    "tests/ledger/test_holds.py",
    "tests/ledger/test_settling.py",
    "tests/ledger/test_credit.py",
    "tests/ledger/test_expiry.py",
    "tests/ledger/test_reference.py",
)
SERVICE: Final = (
    "tests/ledger/test_desk.py",
    "tests/ledger/test_service.py",
    "tests/ledger/test_trouble.py",
    "tests/ledger/test_journal.py",
)

MUTANTS: Final = (
    Mutant(
        "a taken key counts as written (the key conflict removed)",
        f"{LEDGER}/writer.py",
        "        except ConflictError:\n            pass\n",
        "        except ConflictError:\n            return\n",
        ("tests/ledger/test_journal.py", *SERVICE),
    ),
    Mutant(
        "reply before commit",
        f"{LEDGER}/desk.py",
        "        if block is None:\n            respond(said)\n        else:\n            block.replies.append((respond, said))\n",
        "        respond(said)\n",
        SERVICE,
    ),
    Mutant(
        "a hold is opened past its deadline",
        f"{LEDGER}/domain.py",
        '    if command.hold_deadline_ms <= now_ms:\n        return refuse("hold_expired")\n',
        "",
        CORE,
    ),
    Mutant(
        "a command past its deadline is still taken",
        "libs/tollway/bus/reading.py",
        "        if 0 < envelope.deadline_ms < clock.now_ms():",
        "        if envelope.deadline_ms < 0:",
        ("tests/bus",),
    ),
    Mutant(
        "the second fact of a hold charges again",
        f"{LEDGER}/state.py",
        "def _hold_settled(state: State, event: ev.HoldSettled) -> None:\n    hold = state.holds.pop(event.hold)",
        "def _hold_settled(state: State, event: ev.HoldSettled) -> None:\n    hold = state.holds[event.hold]",
        CORE,
    ),
    Mutant(
        "a payment is booked twice",
        f"{LEDGER}/domain.py",
        '        return [] if booked.amount == command.amount_nusd else refuse("duplicate_payment")\n',
        "        pass\n",
        CORE,
    ),
    Mutant(
        "void forgets to give the credit back",
        f"{LEDGER}/state.py",
        "    account = state.accounts[hold.account]\n    _release(account, hold, 0)",
        "    account = state.accounts[hold.account]\n    _release(account, hold, 0)\n    account.available -= hold.amount",
        CORE,
    ),
    Mutant(
        "lots burn in the order of purchase",
        f"{LEDGER}/lots.py",
        "    return lot.priority, NEVER_MS if lot.expires_at is None else lot.expires_at, lot.created",
        "    return lot.priority, 0, lot.created",
        CORE,
    ),
    Mutant(
        "credit expires when it is read instead of by an event",
        f"{LEDGER}/lots.py",
        "        if free > 0 and not lot.is_expired:",
        "        if free > 0 and not lot.is_expired and (lot.expires_at or NEVER_MS) > 1_800_500_000_000:",
        CORE,
    ),
    Mutant(
        "charges are rounded down",
        "libs/tollway/wire/money.py",
        "    return Nusd(-(-total // TOKENS_PER_PRICE))",
        "    return Nusd(total // TOKENS_PER_PRICE)",
        ("tests/wire/test_money.py",),
    ),
    Mutant(
        "a provider's negative usage is believed",
        f"{LEDGER}/charges.py",
        "    return all(count is None or 0 <= count <= TOKENS_SANE_MAX for count in counts)",
        "    return all(count is None or count <= TOKENS_SANE_MAX for count in counts)",
        CORE,
    ),
    Mutant(
        "USAGE is acknowledged before the commit",
        f"{LEDGER}/settle.py",
        "        desk.after_commit(lambda: self._done(delivery))",
        "        self._done(delivery)",
        SERVICE,
    ),
    Mutant(
        "the previous block's hash is not looked at",
        f"{LEDGER}/journal/block.py",
        "    if block.prev_hash != head.hash:",
        "    if False:",
        ("tests/ledger/test_journal.py",),
    ),
    Mutant(
        "the witness is dropped",
        f"{LEDGER}/domain.py",
        "    if hold is None or hold.account != witness.account_id or hold.witness is not None:",
        "    if hold is not None or True:",
        CORE,
    ),
    Mutant(
        "a late settlement gives the hold back once more",
        f"{LEDGER}/state.py",
        "    _charge(state, account, event)\n    account.keys[expired.key].add(event.charged, state.ts_ms)",
        "    account.available += expired.amount\n    _charge(state, account, event)\n"
        "    account.keys[expired.key].add(event.charged, state.ts_ms)",
        CORE,
    ),
    Mutant(
        "money is divided as a float",
        "libs/tollway/wire/money.py",
        "    return Nusd(-(-total // TOKENS_PER_PRICE))",
        "    return Nusd(-int(-total / TOKENS_PER_PRICE // 1))",
        ("tests/wire/test_money.py", "tests/architecture/test_arrows.py"),
    ),
    Mutant(
        "an unknown commit is taken for done, without a look",
        f"{LEDGER}/writer.py",
        "        except UnknownError as fault:\n            on_trouble(fault.kind)\n        standing",
        "        except UnknownError as fault:\n            on_trouble(fault.kind)\n            return\n        standing",
        SERVICE,
    ),
    Mutant(
        "a hold may be larger than the credit",
        f"{LEDGER}/domain.py",
        "    if account.debt or account.available < amount:\n"
        "        return _too_little(0 if account.debt else account.available, amount)\n"
        "    slices, shortage = pick(account.lots, amount)\n"
        "    if shortage:\n"
        "        return _too_little(amount - shortage, amount)\n"
        "    return [\n"
        "        ev.HoldOpened(",
        "    slices, shortage = pick(account.lots, amount)\n    return [\n        ev.HoldOpened(",
        CORE,
    ),
)

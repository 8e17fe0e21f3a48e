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
    "tests/ledger/test_adversary.py",
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
        f"{LEDGER}/deciding/holds.py",
        '    if command.hold_deadline_ms <= now_ms:\n        return refuse("hold_expired")\n',
        "",
        CORE,
    ),
    Mutant(
        "a command past its deadline is still taken",
        "libs/tollway/bus/reading.py",
        "        if 0 < envelope.deadline_ms < clock.now_ms() and envelope.deadline_ms < self._believed_ms():",
        "        if envelope.deadline_ms < 0:",
        ("tests/bus",),
    ),
    Mutant(
        "the second fact of a hold charges again",
        f"{LEDGER}/applying.py",
        "def _hold_settled(state: State, event: ev.HoldSettled) -> None:\n    hold = state.holds.pop(event.hold)",
        "def _hold_settled(state: State, event: ev.HoldSettled) -> None:\n    hold = state.holds[event.hold]",
        CORE,
    ),
    Mutant(
        "a payment is booked twice",
        f"{LEDGER}/deciding/credit.py",
        '        return [] if booked.amount == command.amount_nusd else refuse("duplicate_payment")\n',
        "        pass\n",
        CORE,
    ),
    Mutant(
        "void forgets to give the credit back",
        f"{LEDGER}/applying.py",
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
        "        _after_commits(desks, lambda: self._done(delivery, taken))",
        "        self._done(delivery, taken)",
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
        f"{LEDGER}/deciding/unheard.py",
        "    if hold is None or hold.account != witness.account_id or hold.witness is not None:",
        "    if hold is not None or True:",
        CORE,
    ),
    Mutant(
        "a late settlement gives the hold back once more",
        f"{LEDGER}/applying.py",
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
        f"{LEDGER}/deciding/holds.py",
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
    Mutant(
        "a block of an older epoch may follow",
        f"{LEDGER}/journal/block.py",
        "    if block.epoch < head.epoch:",
        "    if False:",
        ("tests/ledger/test_journal.py",),
    ),
    Mutant(
        "a block's content may differ from its hash",
        f"{LEDGER}/journal/block.py",
        "    if hash_of(block) != block.hash:",
        "    if False:",
        ("tests/ledger/test_journal.py", "tests/ledger/test_flips.py"),
    ),
    Mutant(
        "blocks outside of every journal are not looked for",
        f"{LEDGER}/audit/verifying.py",
        "for journal, seq in store.strays()]",
        "for journal, seq in ()]",
        ("tests/ledger/test_flips.py",),
    ),
    Mutant(
        "the writer's digests are not compared",
        f"{LEDGER}/audit/replaying.py",
        "        if event.digest != root(self.state):",
        "        if False:",
        ("tests/ledger/test_auditor.py",),
    ),
    Mutant(
        "a snapshot's seal is not looked at",
        f"{LEDGER}/audit/snapshots.py",
        "    if not any(is_signed(key, sealed.signature, message) for key in keys):",
        "    if False:",
        ("tests/ledger/test_auditor.py",),
    ),
    Mutant(
        "a copy that knows more than the database is not noticed",
        f"{LEDGER}/relay.py",
        "        if last.seq > head_seq or (last.seq and not await self._has(journal, last)):",
        "        if False:",
        ("tests/ledger/test_relay.py",),
    ),
    Mutant(
        "a repeated extension adds again",
        f"{LEDGER}/deciding/holds.py",
        "    if command.nth <= hold.extensions:\n        return []\n    if command.nth != hold.extensions + 1 or not",
        "    if not",
        CORE,
    ),
    Mutant(
        "debt does not block new holds",
        f"{LEDGER}/deciding/holds.py",
        "    amount = command.amount_nusd\n    if account.debt or account.available < amount:",
        "    amount = command.amount_nusd\n    if account.available < amount:",
        CORE,
    ),
    Mutant(
        "debt is not repaid",
        f"{LEDGER}/domain.py",
        "    if not account.debt:\n",
        "    if True:\n",
        CORE,
    ),
    Mutant(
        "a chargeback is booked twice",
        f"{LEDGER}/deciding/credit.py",
        '    if payment.reversed == command.amount_nusd:\n        return []\n    if payment.reversed:\n        return refuse("duplicate_payment", "That payment was reversed before with another amount.")\n',
        "",
        CORE,
    ),
    Mutant(
        "accounts share their payments' references",
        f"{LEDGER}/state.py",
        '    return f"{account}/{source}/{ext_ref}"',
        '    return f"{source}/{ext_ref}"',
        CORE,
    ),
    Mutant(
        "an overrun has no cap",
        "libs/tollway/wire/pricing.py",
        "    return min(cost_nusd, hold_nusd + overrun_max(hold_nusd))",
        "    return cost_nusd",
        CORE,
    ),
    Mutant(
        "an expired lot is burned",
        f"{LEDGER}/lots.py",
        "        if free > 0 and not lot.is_expired:",
        "        if free > 0:",
        CORE,
    ),
    Mutant(
        "a hold expires at its deadline, without grace",
        f"{LEDGER}/deciding/unheard.py",
        "now_ms < hold.deadline + HOLD_GRACE_MS",
        "now_ms < hold.deadline",
        CORE,
    ),
    Mutant(
        "a key's limit does not count what is held",
        f"{LEDGER}/spend.py",
        "        return self.held + (self.day_spent",
        "        return (self.day_spent",
        CORE,
    ),
    Mutant(
        "a fact of another account settles the hold",
        f"{LEDGER}/deciding/facts.py",
        '    if hold.account != fact.account_id:\n        return [conflict(fact, "account", "")]\n    account = state.accounts[hold.account]',
        "    account = state.accounts[hold.account]",
        CORE,
    ),
    Mutant(
        "a second witness turns a served request into a refund",
        f"{LEDGER}/deciding/unheard.py",
        "    if hold is None or hold.account != witness.account_id or hold.witness is not None:",
        "    if hold is None or hold.account != witness.account_id:",
        CORE,
    ),
    Mutant(
        "figures that cannot be true are charged",
        f"{LEDGER}/charges.py",
        "    if not is_sane(fact.usage):",
        "    if False:",
        CORE,
    ),
    Mutant(
        "a refused hold is opened by a repeat",
        f"{LEDGER}/desk.py",
        "        return found[1] if found and found[0] > now_ms else None",
        "        return None",
        SERVICE,
    ),
    Mutant(
        "credit expires while the clocks disagree",
        f"{LEDGER}/deadlines.py",
        "        if not self._room.guard.may_expire or",
        "        if",
        ("tests/ledger/test_robust.py",),
    ),
    Mutant(
        "the read models count a block twice",
        f"{LEDGER}/views/store.py",
        "    if moved:\n        return\n",
        "    return\n",
        ("tests/ledger/test_views.py",),
    ),
    Mutant(
        "a writer that meets a bug goes on as if it could write",
        f"{LEDGER}/writer.py",
        "                self._loop.call_soon_threadsafe(self._fenced)\n        self.store",
        "                continue\n        self.store",
        ("tests/ledger/test_robust.py",),
    ),
)

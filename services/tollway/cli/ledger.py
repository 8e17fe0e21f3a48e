"""`tollway ledger`: look at the money without trusting who keeps it. Reads the database and the streams themselves.

Every command ends with one line of JSON for scripts. Exit codes: 0 all is well, 1 something is wrong and was named,
2 a wrong call, 3 it could not be looked at.
"""

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.exc import SQLAlchemyError

from tollway import clock
from tollway.bus import BusError
from tollway.cli.errors import CommandError
from tollway.cli.journal_access import EXIT_BLIND, EXIT_WRONG, Access, Data, DatabaseUrl, access, reason
from tollway.ledger.audit import checkpoints as signed
from tollway.ledger.audit import history, projection, repairing, replays, verifying
from tollway.ledger.audit.keys import BadKeyError, fingerprint, read_public, read_signer
from tollway.ledger.audit.rerating import Prices, below_zero, rerate
from tollway.ledger.journal.block import Block, DamagedError
from tollway.ledger.journal.store import JournalStore, UnknownError
from tollway.ledger.state import canonical
from tollway.wire.money import dollars
from tollway.wire.subjects import JOURNALS, journal_of

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

Journal = Annotated[list[int] | None, typer.Option(help="Only this journal (repeatable).", min=0, max=JOURNALS - 1)]
Account = Annotated[str, typer.Option(help="The account's id.")]


@contextmanager
def reading() -> Generator[None]:
    """What keeps a command from looking is one sentence and exit code 3; the last line says so to scripts, too."""
    try:
        yield
    except (UnknownError, SQLAlchemyError) as fault:
        raise failure(f"The database cannot be read: {reason(fault.__cause__ or fault)}.", EXIT_BLIND) from None
    except OSError as fault:
        raise failure(f"{fault.filename or 'A file'}: {fault.strerror or type(fault).__name__}.", EXIT_BLIND) from None
    except (BusError, BadKeyError) as fault:
        raise failure(f"{fault}.", EXIT_BLIND) from None
    except DamagedError as fault:
        raise failure(f"The journal is damaged: {fault}.", EXIT_WRONG) from None
    except CommandError as error:
        raise failure(str(error), error.exit_code) from None


def failure(sentence: str, exit_code: int) -> CommandError:
    """The end of a command that could not do what it was asked."""
    print(msgspec.json.encode({"ok": False, "error": sentence}).decode())
    return CommandError(sentence, exit_code=exit_code)


def conclude(ok: bool, **fields: Any) -> None:
    """The last line, and the exit code that goes with it."""
    print(msgspec.json.encode({"ok": ok, **fields}).decode())
    if not ok:
        raise typer.Exit(EXIT_WRONG)


def chosen(journal: list[int] | None) -> list[int]:
    """Journals to look at."""
    return sorted(set(journal)) if journal else list(range(JOURNALS))


# -- verify


@app.command()
def verify(
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    journal: Journal = None,
    cross: Annotated[bool, typer.Option(help="Compare with the LEDGER stream, block by block.")] = False,
    checkpoints: Annotated[Path | None, typer.Option(help="A file of checkpoints kept elsewhere.")] = None,
    key: Annotated[list[Path] | None, typer.Option(help="Public keys that may have signed (PEM).")] = None,
) -> None:
    """Replay every block from the first: hashes, links, each event's effect, invariants, signed heads.

    Names each block that is not as it was written. A byte changed anywhere in the journal is found.
    """
    with reading(), access(data, database_url) as found:
        report = verifying.Report()
        verifying.verify(found.journal, report, journals=chosen(journal))
        verifying.verify_table(found.journal, report)
        if not journal:
            _verify_checkpoints(found, report, checkpoints, key or [])
        if cross:
            asyncio.run(_verify_copy(found, report, chosen(journal)))
    for finding in report.findings:
        print(f"WRONG  {finding}")
    print(
        f"{report.journals} journals, {report.blocks} blocks, {report.events} events, {report.roots} state digests, "
        f"{report.checkpoints} checkpoints, {report.copied_blocks} copied blocks: {len(report.findings)} findings"
    )
    fields = {name: getattr(report, name) for name in ("journals", "blocks", "events", "roots", "checkpoints")}
    conclude(report.is_good, **fields, copiedBlocks=report.copied_blocks, findings=report.findings)


def _verify_checkpoints(found: Access, report: verifying.Report, file: Path | None, keys: list[Path]) -> None:
    """Those of the database with the key of the data directory, and those of the file with the keys given."""
    trusted = {fingerprint(one): one for one in _keys(found, keys)}
    stored = signed.read(found.journal.engine)
    kept = _kept(file, report) if file else []
    report.checkpoints = len(stored) + len(kept)
    report.findings += signed.faults(found.journal, stored, trusted) if trusted else []
    if kept and not trusted:
        report.findings.append("there is no key to check the checkpoints with: give --key")
    report.findings += signed.faults(found.journal, kept, trusted) if trusted else []


def _kept(file: Path, report: verifying.Report) -> list[signed.Checkpoint]:
    """Those of a file; a line that is none is a finding, and the others are looked at all the same. Raises OSError."""
    kept: list[signed.Checkpoint] = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            kept.append(signed.read_line(line))
        except msgspec.DecodeError as fault:
            report.findings.append(f"{file} line {number} is not a checkpoint: {fault}")
    return kept


def _keys(found: Access, keys: list[Path]) -> list[Ed25519PublicKey]:
    own = found.public_key_file
    return [read_public(path) for path in [*keys, *([own] if own.exists() else [])]]


async def _verify_copy(found: Access, report: verifying.Report, journals: list[int]) -> None:
    comparison = verifying.CopyComparison(found.journal, report)
    async with found.stream(journals) as messages:
        async for blocks in messages:
            comparison.take(blocks)


# -- replay, audit, export


@app.command()
def replay(
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    until: Annotated[str, typer.Option(help="A block number, or a time like 2026-01-31T12:00:00Z.")] = "",
    journal: Journal = None,
    account: Account = "",
    dump: Annotated[bool, typer.Option(help="Print the whole state, in its canonical form.")] = False,
) -> None:
    """Rebuild balances from the log alone, as they were at a block or a time."""
    journals = [journal_of(account)] if account else chosen(journal)
    with reading(), access(data, database_url) as found:
        try:
            states = [replays.until(found.journal, number, until) for number in journals]
        except ValueError as fault:
            raise CommandError(str(fault), exit_code=2) from None
    if dump:
        for state in states:
            print(canonical(state).decode())
    for state in states if not dump else []:
        for name, kept in sorted(state.accounts.items()):
            if account in ("", name):
                print(
                    f"{name}  available ${dollars(kept.available)}  held ${dollars(kept.held)}  "
                    f"debt ${dollars(kept.debt)}  charged ${dollars(kept.charged)}"
                )
    conclude(True, journals=len(states), events=sum(state.events for state in states))


@app.command()
def audit(
    account: Account,
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    hold: Annotated[str, typer.Option(help="Only this hold (its request's id).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
) -> None:
    """Every event of an account or one request, with the block it is in and that block's hash."""
    count = 0
    with reading(), access(data, database_url) as found:
        for line in history.lines(found.journal, journal_of(account), account=account, hold=hold):
            count += 1
            print(_json_of(line) if as_json else _text_of(line))
    conclude(True, account=account, journal=journal_of(account), events=count)


def _json_of(line: history.Line) -> str:
    return msgspec.json.encode(line).decode()


def _text_of(line: history.Line) -> str:
    event = msgspec.json.encode(line.event).decode()
    return f"{replays.shown(line.at_us)}  block {line.block}  {line.hash[:16]}  #{line.event_number}  {event}"


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write; '-' is standard output.")],
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    journal: Journal = None,
    account: Account = "",
    checkpoints: Annotated[bool, typer.Option(help="Export the signed checkpoints instead of events.")] = False,
) -> None:
    """Write the log as JSON lines: one event each with its place, or the signed checkpoints."""
    journals = [journal_of(account)] if account else chosen(journal)
    with reading(), access(data, database_url) as found, _opened(file) as out:
        lines = signed.read(found.journal.engine) if checkpoints else _lines(found, journals, account)
        count = sum(out.write(msgspec.json.encode(line) + b"\n") > 0 for line in lines)
    conclude(True, file=str(file), lines=count)


@contextmanager
def _opened(file: Path) -> Generator[IO[bytes]]:
    """A new file, removed again if it cannot be finished, or standard output. Raises OSError."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with file.open("xb") as out:
        try:
            yield out
        except BaseException:
            file.unlink(missing_ok=True)
            raise


def _lines(found: Access, journals: list[int], account: str) -> Generator[history.Line]:
    for number in journals:
        yield from history.lines(found.journal, number, account=account)


@app.command()
def seal(
    key: Annotated[Path, typer.Option(help="An Ed25519 private key (PEM) that the ledger does not have.")],
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    file: Annotated[Path | None, typer.Option(help="Append the checkpoint to this file.")] = None,
) -> None:
    """Verify everything and sign the heads with a key of your own. Keep the result elsewhere; writes no database."""
    with reading(), access(data, database_url) as found:
        report = verifying.Report()
        whole = verifying.verify(found.journal, report)
        verifying.verify_table(found.journal, report)
        if report.findings:
            conclude(False, findings=report.findings)
        heads = {number: one.head for number, one in whole.items() if one.head.seq}
        made = signed.make(read_signer(key), heads, clock.now_ms(), number=0, before="")
    if file is not None:
        with file.open("ab") as out:
            out.write(msgspec.json.encode(made) + b"\n")
    conclude(True, checkpoint=msgspec.to_builtins(made))


# -- the read models, prices


@app.command(name="diff-projection")
def diff_projection(
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    rebuild: Annotated[bool, typer.Option(help="Empty the read models; the running ledger fills them again.")] = False,
) -> None:
    """Compare the read models with a rebuild from the journal, row by row."""
    with reading(), access(data, database_url) as found:
        compared = projection.compare(found.journal, found.views)
        if rebuild:
            found.views.drop()
    for one in compared.shown:
        print(f"DIFFERS  {one.table}  only in the {one.where}: {one.row}")
    print(f"{compared.rows} rows compared, {compared.differing} differ")
    conclude(compared.differing == 0 or rebuild, rows=compared.rows, differing=compared.differing, rebuilt=rebuild)


@app.command()
def simulate(
    prices: Annotated[Path, typer.Option(help='JSON: {"provider:model": {"input": …, "output": …}}, nano-dollars/M.')],
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    account: Account = "",
) -> None:
    """What the past would have cost at other prices. Writes nothing."""
    with reading(), access(data, database_url) as found:
        try:
            told = msgspec.json.decode(prices.read_bytes(), type=Prices)
        except msgspec.DecodeError as fault:
            raise CommandError(f"{prices}: {fault}.", exit_code=2) from None
        if wrong := below_zero(told):
            raise CommandError(f"{prices}: the price of {wrong} is below zero.", exit_code=2)
        rated = rerate(found.journal, told, account=account)
    print(f"{rated.requests} requests, {rated.repriced} with another price")
    print(f"charged ${dollars(rated.cost)}, would be ${dollars(rated.new_cost)}")
    conclude(True, requests=rated.requests, repriced=rated.repriced, costNusd=rated.cost, newCostNusd=rated.new_cost)


# -- repair


@app.command()
def repair(
    source: Annotated[str, typer.Option("--from", help="The copy to believe: 'stream' or 'sql'.")],
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    journal: Journal = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only the plan is shown.")] = False,
) -> None:
    """Bring lost or damaged blocks back from the LEDGER stream; the ledger halts such journals and opens them after.

    `--from sql` needs no command: the ledger rebuilds a stream that is gone or behind by itself, so remove the stream
    (`nats stream rm LEDGER` with an administrator's credentials) and it is published again from the database.
    """
    if source == "sql":
        raise failure("Remove the LEDGER stream; the running ledger publishes it again from SQL.", 2)
    if source != "stream":
        raise failure("--from is 'stream' or 'sql'.", 2)
    with reading(), access(data, database_url, is_writer=yes) as found:
        copied = asyncio.run(_copied(found, chosen(journal)))
        plans = [repairing.plan(found.journal, number, blocks) for number, blocks in sorted(copied.items())]
        plans = [plan for plan in plans if not plan.is_empty]
        for plan in plans:
            _show(plan)
        if yes:
            for plan in plans:
                _carry_out(found.journal, plan)
    refused = [plan.journal for plan in plans if plan.refused]
    conclude(not refused, journals=[plan.journal for plan in plans], refused=refused, done=yes)


async def _copied(found: Access, journals: list[int]) -> dict[int, list[Block]]:
    copied: dict[int, list[Block]] = {}
    async with found.stream(journals) as messages:
        async for blocks in messages:
            for block in blocks:
                copied.setdefault(block.journal, []).append(block)
    return copied


def _show(plan: repairing.Plan) -> None:
    if plan.refused:
        print(f"journal {plan.journal}: {plan.refused}")
        return
    missing, replaced = [block.seq for block in plan.missing], [block.seq for block in plan.replaced]
    print(f"journal {plan.journal}: blocks to add {missing or 'none'}, blocks to put right {replaced or 'none'}")


def _carry_out(store: JournalStore, plan: repairing.Plan) -> None:
    if plan.refused:
        return
    head = repairing.carry_out(store, plan, at_us=clock.now_ns() // 1000, by="repair")
    print(f"journal {plan.journal}: repaired, now at block {head.seq}")


# -- doctor


@app.command()
def doctor(data: Data = Path(".tollway"), database_url: DatabaseUrl = "") -> None:
    """Whether the money rests on something: durability settings, clock, heads, copies' lag, oldest open hold."""
    from tollway.cli.ledger_doctor import examine

    with reading(), access(data, database_url) as found:
        findings = examine(found)
    for finding in findings:
        print(f"{finding.level:<5}{finding.what:<22}{finding.detail}")
    failed = [finding.what for finding in findings if finding.level == "fail"]
    conclude(not failed, checked=len(findings), failed=failed)

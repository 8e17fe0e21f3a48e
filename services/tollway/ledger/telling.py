"""What operators see of the ledger: spans and metrics of its decisions."""

from typing import Any, Final

from tollway import clock
from tollway.bus import Respond
from tollway.ledger import events as ev
from tollway.ledger.desk import Desk
from tollway.telemetry import Telemetry, names
from tollway.wire.credit import ExtendHold, OpenHold
from tollway.wire.envelope import Context
from tollway.wire.usage import UsageFact

_SPANS: Final[dict[type, str]] = {OpenHold: names.HOLD_OPEN, ExtendHold: names.HOLD_EXTEND}


class Telling:
    """Cells are bound once; each is written by the loop's thread only."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._opened = telemetry.counter("tollway_holds", "opened")
        self._blocks = telemetry.counter("tollway_blocks")
        self._commits = telemetry.histogram("tollway_commit_seconds")
        self._charged = telemetry.counter("tollway_charged_nusd")
        self._together = telemetry.histogram("tollway_commit_blocks")

    def hold(self, outcome: str) -> None:
        """A hold was refused."""
        self._telemetry.counter("tollway_holds", outcome).add()

    def commit(self, took_s: float, blocks: int) -> None:
        """A commit returned."""
        self._commits.observe(took_s)
        self._blocks.add(blocks)
        self._together.observe(blocks)

    def found(self) -> None:
        """The auditor found a journal that does not add up."""
        self._telemetry.counter("tollway_audit_findings", "journal").add()

    def bug(self, fault: Exception) -> None:
        """Something that only a bug could break has broken."""
        self._telemetry.log("error", "ledger_bug", error=fault)

    def halted(self, journals: int) -> None:
        """So many journals do not add up."""
        self._telemetry.gauge("tollway_ledger_halted").set(journals)

    def traced(self, command: Any, context: Context, respond: Respond, *, is_repeat: bool) -> Respond:
        """Count the command, and let its reply end its span where spans are made."""
        if type(command) is OpenHold:
            self._opened.add()
        name = _SPANS.get(command.__class__)
        if name is None or not context.trace or not self._telemetry.is_tracing:
            return respond
        return self._ending(name, command, context, respond, is_repeat=is_repeat)

    def _ending(self, name: str, command: Any, context: Context, respond: Respond, *, is_repeat: bool) -> Respond:
        started_ns = clock.now_ns()

        def end(said: Any) -> None:
            respond(said)
            self._telemetry.span(
                name,
                trace=context.trace,
                start_ns=started_ns,
                end_ns=clock.now_ns(),
                kind="server",
                attributes={
                    names.HOLD_ID: command.hold_id,
                    names.REQUEST_ID: command.hold_id,
                    names.ACCOUNT_ID: command.account_id,
                    names.HOLD_NUSD: getattr(said, "amount_nusd", 0),
                    names.IS_REPEAT: is_repeat,
                },
            )

        return end

    def settled(self, desk: Desk, fact: UsageFact, events: list[Any]) -> None:
        """Count what a fact did, and let the commit end its span."""
        event = events[0]
        charged = getattr(event, "charged", 0)
        self._charged.add(charged)
        self._count(event, fact)
        if fact.trace and self._telemetry.is_tracing:
            self._span(desk, fact, event, charged)

    def _count(self, event: Any, fact: UsageFact) -> None:
        if isinstance(event, ev.HoldVoided):
            self._telemetry.counter("tollway_voided", event.reason).add()
        elif isinstance(event, ev.UsageConflicted):
            self._telemetry.counter("tollway_audit_findings", f"usage_conflict_{event.reason}").add()
        else:
            self._telemetry.counter("tollway_settled", fact.certainty).add()

    def _span(self, desk: Desk, fact: UsageFact, event: Any, charged: int) -> None:
        started_ns = clock.now_ns()
        name = names.VOID if isinstance(event, ev.HoldVoided) else names.SETTLE

        def end() -> None:
            self._telemetry.span(
                name,
                trace=fact.trace,
                start_ns=started_ns,
                end_ns=clock.now_ns(),
                kind="consumer",
                attributes={
                    names.HOLD_ID: fact.hold_id,
                    names.REQUEST_ID: fact.hold_id,
                    names.ACCOUNT_ID: fact.account_id,
                    names.COST_NUSD: charged,
                    names.OUTCOME: fact.outcome,
                    names.CERTAINTY: fact.certainty,
                },
            )

        desk.after_commit(end)

"""Holds whose usage fact does not come: what ingress saw of the request, and what happens at their deadline."""

import hashlib
from typing import Final

import msgspec

from tollway.ledger import events as ev
from tollway.ledger.charges import IS_CHARGED
from tollway.ledger.deciding.facts import settled
from tollway.ledger.deciding.holds import voided
from tollway.ledger.state import Hold, State
from tollway.wire.usage import Attempt, Usage, UsageFact, Witness

HOLD_GRACE_MS: Final = 60_000
"""How long after its deadline a hold waits for its fact."""
BYTES_PER_TOKEN: Final = 4
"""How a witness's bytes are turned into tokens where nothing better is known."""


class ExpireHold(msgspec.Struct, frozen=True):
    """The tick found a hold past its deadline and grace."""

    hold_id: str


def witness_said(state: State, witness: Witness, _now_ms: int) -> ev.Events:
    """The gateway failed the client and no fact came: give the credit back now. Anything else is remembered."""
    hold = state.holds.get(witness.hold_id)
    if hold is None or hold.account != witness.account_id or hold.witness is not None:
        return []
    if witness.outcome == "gateway_failed":
        return [voided(witness.hold_id, hold, "witness")]
    return [
        ev.HoldWitnessed(
            account=hold.account,
            hold=witness.hold_id,
            outcome=witness.outcome,
            bytes_out=witness.bytes_out,
            tokens_input=witness.tokens_input_estimate,
            ended_at=witness.ended_at_ms,
            model=witness.model,
            is_streaming=witness.is_streaming,
            is_managed=witness.is_managed,
            price=witness.price,
        )
    ]


def expire_hold(state: State, command: ExpireHold, now_ms: int) -> ev.Events:
    """Past deadline and grace: settle from the witness if it says that the client was served, else give it back."""
    hold = state.holds.get(command.hold_id)
    if hold is None or now_ms < hold.deadline + HOLD_GRACE_MS:
        return []
    if hold.witness is not None and IS_CHARGED[hold.witness.outcome]:
        return [settled(state.accounts[hold.account], hold, fact_of_witness(command.hold_id, hold))]
    return [ev.HoldExpired(account=hold.account, hold=command.hold_id, key=hold.key, released=hold.amount)]


def fact_of_witness(hold_id: str, hold: Hold) -> UsageFact:
    """The estimate that a witness allows: input as ingress bounded it, output from the bytes it handed over."""
    seen = hold.witness
    assert seen is not None, "only a witnessed hold is settled from its witness"
    return UsageFact(
        hold_id=hold_id,
        account_id=hold.account,
        access_key_id=hold.key,
        outbox="",
        outcome=seen.outcome,
        certainty="estimated",
        usage=Usage(seen.tokens_input, -(-seen.bytes_out // BYTES_PER_TOKEN)),
        attempts=[_attempt_of_witness(hold_id, seen)],
        ended_at_ms=seen.ended_at,
        is_managed=seen.is_managed,
        price=seen.price,
        price_version=hold.price_version,
    )


def _attempt_of_witness(hold_id: str, seen: ev.HoldWitnessed) -> Attempt:
    """The row that shows the charge; nobody knows more of the attempt than that it served."""
    provider, _, model = seen.model.partition(":")
    return Attempt(
        id=hashlib.blake2b(hold_id.encode(), digest_size=8).hexdigest(),
        number=1,
        provider=provider,
        provider_name=provider,
        model=model,
        model_name=model,
        key_source="managed" if seen.is_managed else "user",
        started_at_ms=seen.ended_at,
        duration_ms=0,
        retry_action="succeeded",
        completion="unknown",
        is_streaming=seen.is_streaming,
        is_served=True,
        reason="witness",
    )

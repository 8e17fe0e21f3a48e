"""Try a provider out: does its address answer, is it one that may be reached, does it take the key."""

import msgspec

from tollway.wire.plan import Candidate


class ProbeProvider(msgspec.Struct, frozen=True):
    """Send the smallest request there is (one token) to a candidate. Bills nobody; the provider may bill its key."""

    account_id: str
    candidate: Candidate


class Probed(msgspec.Struct, frozen=True):
    """What came of it. `status` None: no answer; then `problem` says why, in words without addresses or secrets."""

    is_reachable: bool
    duration_ms: int
    status: int | None = None
    problem: str = ""

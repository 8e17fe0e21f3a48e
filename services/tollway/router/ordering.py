"""In which order candidates are tried: what health says comes last, because it overrules every wish."""

from collections.abc import Sequence

import msgspec

from tollway.router.health import Health, Key
from tollway.wire.plan import Candidate, Skipped, health_id


class Ordered(msgspec.Struct, frozen=True):
    """Candidates in order. `probe`: the first one is half open, and this request tries whether it is back.

    `is_repeatable` False: the next question may have another answer, so nobody is to remember this one.
    """

    candidates: tuple[Candidate, ...]
    moved: tuple[Skipped, ...] = ()
    probe: Candidate | None = None
    is_repeatable: bool = True


def health_key(candidate: Candidate) -> Key:
    """The candidate's circuit."""
    return candidate.provider, candidate.model, health_id(candidate.credential_id, candidate.base_url)


def by_health(candidates: Sequence[Candidate], health: Health, *, is_prober: bool) -> Ordered:
    """Those that are out go last, in their old order: a plan never becomes empty, and the last resort is still tried.

    A half-open candidate that would come first does so for one request. Only the prober among several routers lets
    it; the others' plans are not remembered, so that the prober is asked.
    """
    if not health.trouble:
        return Ordered(tuple(candidates))
    fit: list[Candidate] = []
    out: list[Candidate] = []
    moved: list[Skipped] = []
    probe: Candidate | None = None
    is_waiting = False
    for candidate in candidates:
        standing = health.standing(*health_key(candidate))
        is_next = standing.is_free and not fit and probe is None
        if standing.state == "closed":
            fit.append(candidate)
        elif is_next and is_prober:
            probe = candidate
        else:
            is_waiting = is_waiting or is_next
            out.append(candidate)
            moved.append(_moved(candidate, f"{standing.state}:{standing.reason}"))
    first = (probe,) if probe is not None else ()
    return Ordered((*first, *fit, *out), tuple(moved), probe, probe is None and not is_waiting)


def _moved(candidate: Candidate, reason: str) -> Skipped:
    return Skipped(candidate.provider, candidate.model, candidate.credential_id, reason)

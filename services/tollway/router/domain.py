"""A question in, a plan or a refusal out.

Names are resolved to targets (`resolve`, `auto`), targets become candidates as far as scope, capability, credentials
and price allow (`ways`), a strategy puts them in order (`strategies`), and health has the last word (`ordering`).
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tollway.router import auto
from tollway.router.health import Circuit
from tollway.router.ordering import Ordered, by_health, health_key
from tollway.router.resolve import resolve
from tollway.router.strategies import (
    AUTO,
    ORDERED,
    Lately,
    Strategy,
    arrange,
    blended_nusd,
    errors_permille,
    read_strategy,
)
from tollway.router.ways import View, Way, way_to
from tollway.wire.money import dollars
from tollway.wire.plan import Candidate, Plan, PlanRoute, Skipped
from tollway.wire.refusals import Refusal, refuse

CANDIDATES_MAX: Final = 64
AUTO_MODELS_MAX: Final = 8
MODELS_MAX: Final = 32


class Planned(msgspec.Struct, frozen=True):
    """A plan, and the candidate that it lets probe."""

    plan: Plan
    probe: Candidate | None = None


def plan(view: View, question: PlanRoute, *, now_ms: int, draw: int = 0) -> Planned | Refusal:
    """Candidates in order for the models asked. `draw` decides the strategy `weighted`.

    A name that yields no candidate is skipped where another one does. Refusals (of the first name that yields none,
    if none yields any): `model_unknown`, `provider_not_allowed`, `model_not_allowed`, `no_provider_key`,
    `model_unpriced`, `unsupported_parameter`, `input_too_large`, `gateway_unavailable` while no adapter was heard yet;
    `invalid_request_body` for a strategy that is none.
    """
    strategy = _strategy(question)
    if strategy is None:
        return refuse("invalid_request_body", f"There is no strategy '{question.strategy[:64]}'.", param="strategy")
    if len(question.models_asked) > MODELS_MAX:
        return refuse("invalid_request_body", f"At most {MODELS_MAX} models may be listed.", param="models")
    ways = [way for index, name in enumerate(question.models_asked) for way in _ways(view, question, name, index)]
    candidates = _distinct(candidate for way in ways for candidate in way.candidates)
    if not candidates:
        return next((way.refusal for way in ways if way.refusal is not None), refuse("model_unknown"))

    def lately(candidate: Candidate) -> Circuit | None:
        return view.health.lately(*health_key(candidate), now_ms)

    arranged = arrange(candidates, strategy, lately, draw=draw)
    ordered = by_health(arranged, view.health, is_prober=view.is_prober)
    return Planned(_plan(view, question, strategy, ordered, ways, lately), ordered.probe)


def _strategy(question: PlanRoute) -> Strategy | None:
    """The request's own, else the account's; an account's that we do not know is `ordered`."""
    if question.strategy:
        return read_strategy(question.strategy)
    own = question.principal.settings.strategy
    if own == "ordered":
        return AUTO if any(name.lower() == auto.AUTO for name in question.models_asked) else ORDERED
    return read_strategy(own) or ORDERED


def _ways(view: View, question: PlanRoute, name: str, index: int) -> list[Way]:
    """The ways that one name stands for: its model's, or several models' where the choice is left to us."""
    param = "model" if index == 0 else f"models[{index - 1}]"
    if name.lower() == auto.AUTO:
        return _auto_ways(view, question, param=param)
    target = resolve(view.catalog, view.offers, question.principal, name, param=param)
    if isinstance(target, Refusal):
        return [Way(name, refusal=target)]
    return [way_to(view, question, target, asked=name, param=param)]


def _auto_ways(view: View, question: PlanRoute, *, param: str) -> list[Way]:
    """As many as are useful. Where the first choice cannot serve, its reason is the refusal."""
    found: list[Way] = []
    refusal: Refusal | None = None
    for target in auto.targets(view.catalog, view.offers, question.principal, view.auto_models):
        way = way_to(view, question, target, asked=auto.AUTO, param=param)
        refusal = refusal or way.refusal
        found += [way] if way.candidates else []
        if len(found) == AUTO_MODELS_MAX:
            break
    nobody = refuse("no_provider_key", "There is no credential for any provider of the catalog.", param=param)
    return found or [Way(auto.AUTO, refusal=refusal or nobody)]


def _distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Each (provider, model, credential) once, where it came first."""
    first: dict[tuple[str, str, str], Candidate] = {}
    for candidate in candidates:
        first.setdefault((candidate.provider, candidate.model_sent, candidate.credential_id), candidate)
    return tuple(first.values())[:CANDIDATES_MAX]


def _plan(
    view: View, question: PlanRoute, strategy: Strategy, ordered: Ordered, ways: Iterable[Way], lately: Lately
) -> Plan:
    return Plan(
        candidates=ordered.candidates,
        price_version=view.catalog.price_version,
        health_version=view.health.version,
        skipped=(*_skipped(ways, is_explained=question.is_explained), *ordered.moved),
        strategy=strategy.name,
        is_cacheable=ordered.is_repeatable and strategy.is_repeatable and not question.tokens_input,
        reasons=tuple(_reason(each, lately(each)) for each in ordered.candidates) if question.is_explained else (),
    )


def _skipped(ways: Iterable[Way], *, is_explained: bool) -> Iterator[Skipped]:
    for way in ways:
        if way.refusal is not None:
            told = f"{way.refusal.code}: {way.refusal.message}" if is_explained else way.refusal.code
            yield Skipped("", way.asked, "", told)
        yield from way.skipped


def _reason(candidate: Candidate, lately: Circuit | None) -> str:
    """What the strategies know of a candidate, in words for people."""
    key = "managed" if candidate.is_managed else f"key {candidate.credential_id or 'none'}"
    has_price = candidate.price is not None
    price = f"{dollars(blended_nusd(candidate))} dollars a million tokens" if has_price else "no price"
    return f"step {candidate.step}, {key}; {price}; {_record(candidate, lately)}"


def _record(candidate: Candidate, lately: Circuit | None) -> str:
    tried = lately.successes + lately.failures if lately is not None else 0
    if lately is None or not tried:
        return "not tried lately"
    failed = errors_permille(candidate, lately) // 10
    return f"{tried} tries lately, {failed}% failed, first token after {lately.ttft_ms} ms"

"""A question in, a plan or a refusal out. The way of a plan: names are resolved to targets, each target is checked
against the key's scope, its rule's steps become candidates, and those are put in order.

Scope, credentials and price are checked for every candidate on every route: rules, fallbacks and strategies only
choose among what passed.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tollway.dialects.providers import dialect_for, dialect_of
from tollway.dialects.rows import ProviderRow
from tollway.router import scope
from tollway.router.catalog import Catalog
from tollway.router.offers import DEFAULT_POOL, Offers
from tollway.router.resolve import Target, resolve
from tollway.wire.access import CustomProvider, ProviderKeyRef, Step
from tollway.wire.plan import Candidate, DialectName, Plan, PlanRoute, Skipped, Surface
from tollway.wire.refusals import Refusal, refuse

CANDIDATES_MAX: Final = 64
MODELS_MAX: Final = 32
MANAGED: Final = Step("managed")


class View(msgspec.Struct, frozen=True):
    """What the router knows at the moment of a question."""

    catalog: Catalog
    offers: Offers


class Way(msgspec.Struct, frozen=True):
    """One name's candidates, or why it has none."""

    candidates: tuple[Candidate, ...] = ()
    refusal: Refusal | None = None


def plan(view: View, question: PlanRoute) -> Plan | Refusal:
    """Candidates in order for the models asked.

    A name that yields no candidate is skipped where another one does. Refusals (of the first name that yields none,
    if none yields any): `model_unknown`, `provider_not_allowed`, `model_not_allowed`, `no_provider_key`,
    `model_unpriced`, `unsupported_parameter`, `gateway_unavailable` while no adapter was heard yet.
    """
    if len(question.models_asked) > MODELS_MAX:
        return refuse("invalid_request_body", f"At most {MODELS_MAX} models may be listed.", param="models")
    ways = [_way(view, question, name, param=_param(index)) for index, name in enumerate(question.models_asked)]
    candidates = _distinct(candidate for way in ways for candidate in way.candidates)
    if not candidates:
        return next((way.refusal for way in ways if way.refusal is not None), refuse("model_unknown"))
    names = zip(question.models_asked, ways, strict=True)
    skipped = tuple(Skipped("", name, "", way.refusal.code) for name, way in names if way.refusal is not None)
    return Plan(candidates, view.catalog.price_version, skipped=skipped)


def _param(index: int) -> str:
    return "model" if index == 0 else f"models[{index - 1}]"


def _distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Each (provider, model, credential) once, where it came first."""
    first: dict[tuple[str, str, str], Candidate] = {}
    for candidate in candidates:
        first.setdefault((candidate.provider, candidate.model_sent, candidate.credential_id), candidate)
    return tuple(first.values())[:CANDIDATES_MAX]


def _way(view: View, question: PlanRoute, name: str, *, param: str) -> Way:
    target = resolve(view.catalog, view.offers, question.principal, name, param=param)
    if isinstance(target, Refusal):
        return Way(refusal=target)
    return way_to(view, question, target, param=param)


def way_to(view: View, question: PlanRoute, target: Target, *, param: str) -> Way:
    """The candidates of one target, as far as scope, surface, credentials and price allow."""
    refusal = scope.check(question.principal.access, target.provider, target.model_id, param=param)
    if refusal is not None:
        return Way(refusal=refusal)
    dialect = dialect_for(target.row, question.surface, target.model_sent)
    if dialect is None:
        return Way(refusal=_no_surface(target, question.surface, param=param))
    entries = list(_entries(view.offers, question, target))
    affordable = [entry for entry in entries if entry.key is not None or _is_priced(target)]
    if not affordable:
        return Way(refusal=_no_entry(view.offers, target, is_unpriced=bool(entries), param=param))
    return Way(tuple(_candidate(target, dialect, entry) for entry in affordable))


class Entry(msgspec.Struct, frozen=True):
    """A way into a provider: the account's key, or the operator's credential (None) in a pool."""

    key: ProviderKeyRef | None
    step: int
    pool: str


KEYLESS: Final = ProviderKeyRef("", "", "")
"""For an account's own provider that wants no key."""


def _entries(offers: Offers, question: PlanRoute, target: Target) -> Iterator[Entry]:
    principal = question.principal
    keys = [key for key in principal.provider_keys if key.provider == target.provider]
    steps = scope.steps_for(principal.rules, target.provider, target.model_id)
    pool = target.custom.pool if target.custom is not None else DEFAULT_POOL
    managed_pool = offers.pools.get(target.provider) if target.custom is None else None
    for number, step in enumerate(_default_steps(keys, target.custom) if steps is None else steps):
        if step.type == "user":
            yield from (Entry(key, number, pool) for key in _keys_of(step, keys, target, offers))
        elif managed_pool is not None:
            yield Entry(None, number, managed_pool)


def _default_steps(keys: list[ProviderKeyRef], custom: CustomProvider | None) -> tuple[Step, ...]:
    """Without a rule: the account's keys, the most recently added first, then the operator's credential."""
    own = Step("user", tuple(key.id for key in keys))
    return (own,) if custom is not None else (own, MANAGED)


def _keys_of(
    step: Step, keys: list[ProviderKeyRef], target: Target, offers: Offers
) -> tuple[ProviderKeyRef, ...] | list[ProviderKeyRef]:
    if target.custom is not None and not keys:
        return (KEYLESS,)
    if not _is_addressable(target.row, offers):
        return ()
    return [key for key_id in step.key_ids for key in keys if key.id == key_id]


def _is_addressable(row: ProviderRow, offers: Offers) -> bool:
    """Whether the adapters know where the provider is: some addresses need a variable of the operator's."""
    return row.id in offers.pools or (bool(row.base_url) and "$" not in row.base_url)


def _is_priced(target: Target) -> bool:
    return target.model is not None and target.model.price is not None


def _candidate(target: Target, dialect: DialectName, entry: Entry) -> Candidate:
    model, custom, key = target.model, target.custom, entry.key
    return Candidate(
        provider=target.provider,
        provider_name=target.provider_name,
        model=target.model_id,
        model_name=target.model_name,
        model_sent=target.model_sent,
        dialect=dialect,
        credential_id=f"managed:{target.provider}" if key is None else key.id,
        is_managed=key is None,
        credential_name="" if key is None else key.name,
        base_url=custom.base_url if custom is not None else "",
        pool=entry.pool,
        price=model.price if model is not None else None,
        tokens_window=model.tokens_window if model is not None else 0,
        tokens_output_max=model.tokens_output_max if model is not None else 0,
        is_output_cap_with_reasoning=_is_cap_whole(target),
        step=entry.step,
        is_private_address_allowed=custom is not None and custom.is_private_address_allowed,
        supported_params=_supported_params(custom, dialect) if custom is not None else None,
    )


def _is_cap_whole(target: Target) -> bool:
    """A model that does not reason has nothing that an output limit could leave out."""
    return target.row.is_output_cap_with_reasoning or (target.model is not None and not target.model.is_reasoning)


def _supported_params(custom: CustomProvider, dialect: DialectName) -> tuple[str, ...] | None:
    surfaces = (each for each in custom.surfaces if dialect_of(each.format, each.surface) == dialect)
    return next((surface.supported_params for surface in surfaces), None)


def _no_surface(target: Target, surface: Surface, *, param: str) -> Refusal:
    return refuse(
        "unsupported_parameter",
        f"The provider '{target.provider}' cannot serve {surface} requests.",
        param=param,
        details={"provider": target.provider, "surface": surface},
    )


def _no_entry(offers: Offers, target: Target, *, is_unpriced: bool, param: str) -> Refusal:
    if is_unpriced:
        return refuse(
            "model_unpriced",
            f"The model '{target.provider}:{target.model_id}' has no price, so it needs your own provider key.",
            param=param,
            details={"provider": target.provider, "model": target.model_id},
        )
    if not offers.is_known:
        return refuse("gateway_unavailable", "No adapter was heard yet.", retry_after_s=1, details={"cause": "offers"})
    return refuse(
        "no_provider_key",
        f"There is no credential for the provider '{target.provider}' under this key's configuration;"
        " add a provider key or allow managed.",
        param=param,
        details={"provider": target.provider},
    )

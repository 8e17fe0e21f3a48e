"""The ways into one target: its rule's steps become candidates, as far as scope, capability, surface, credentials and
price allow. Every candidate of every plan comes through `way_to`.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from tollway.dialects.providers import dialect_for, listed_params
from tollway.dialects.rows import ProviderRow
from tollway.router import capability, scope
from tollway.router.auto import PREFERRED
from tollway.router.catalog import Catalog
from tollway.router.health import Health
from tollway.router.offers import DEFAULT_POOL, Offers
from tollway.router.resolve import Target
from tollway.wire.access import CustomProvider, ProviderKeyRef, Step
from tollway.wire.plan import Candidate, DialectName, PlanRoute, Skipped, Surface
from tollway.wire.refusals import Refusal, refuse

MANAGED: Final = Step("managed")


class View(msgspec.Struct, frozen=True):
    """What the router knows at the moment of a question. `is_prober`: of several routers, the one that lets probe."""

    catalog: Catalog
    offers: Offers
    health: Health
    is_prober: bool = True
    auto_models: tuple[str, ...] = PREFERRED


class Way(msgspec.Struct, frozen=True):
    """One target's candidates and those left out, or why it has none. `asked`: the name that led here."""

    asked: str
    candidates: tuple[Candidate, ...] = ()
    refusal: Refusal | None = None
    skipped: tuple[Skipped, ...] = ()


def way_to(view: View, question: PlanRoute, target: Target, *, asked: str, param: str) -> Way:
    """The candidates of one target, as far as scope, surface, credentials and price allow."""
    refusal = scope.check(question.principal.access, target.provider, target.model_id, param=param)
    refusal = refusal or capability.check(target, question, param=param)
    if refusal is not None:
        return Way(asked, refusal=refusal)
    dialect = dialect_for(target.row, question.surface, target.model_sent)
    if dialect is None:
        return Way(asked, refusal=_no_surface(target, question.surface, param=param))
    entries = list(_entries(view.offers, question, target))
    unmanaged = _stored(target, question, dialect, param=param) or _unpriced(target, question, dialect, param=param)
    allowed = [entry for entry in entries if entry.key is not None or unmanaged is None]
    if not allowed:
        nobody = _no_entry(view.offers, target, param=param)
        return Way(asked, refusal=unmanaged or nobody if entries else nobody)
    skipped: tuple[Skipped, ...] = ()
    if unmanaged is not None and len(entries) > len(allowed):
        skipped = (Skipped(target.provider, target.model_id, "managed", unmanaged.code),)
    return Way(asked, tuple(_candidate(target, dialect, entry) for entry in allowed), None, skipped)


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


def _stored(target: Target, question: PlanRoute, dialect: DialectName, *, param: str) -> Refusal | None:
    """Why the operator's credential cannot serve a request for what the provider keeps: it is no account's in
    particular, and costs input that no hold covers. Ids of files are carried to other dialects, the rest is not."""
    is_carried = dialect == _OWN_DIALECT[question.surface]
    if "stored_file" not in question.needs and not ("stored" in question.needs and is_carried):
        return None
    sentence = (
        "The request rests on what the provider keeps (an earlier response, a conversation, a file, a prompt), or has"
        " it go on in the background: send all of it, or use your own provider key."
    )
    details = {"provider": target.provider, "model": target.model_id, "needs": "stored"}
    return refuse("unsupported_parameter", sentence, param=param, details=details)


def _unpriced(target: Target, question: PlanRoute, dialect: DialectName, *, param: str) -> Refusal | None:
    """Why the operator's credential cannot serve it: the model has no price, or a tool has none. A tool is carried to
    the request's own dialect alone: the bridge to another refuses it."""
    price = target.model.price if target.model is not None else None
    model = f"{target.provider}:{target.model_id}"
    details = {"provider": target.provider, "model": target.model_id}
    if price is None:
        sentence = f"The model '{model}' has no price, so it needs your own provider key."
        return refuse("model_unpriced", sentence, param=param, details=details)
    if price.per_request or dialect != _OWN_DIALECT[question.surface]:
        return None
    is_search_unpriced = question.is_searching and price.per_search is None
    if not question.billed_tools and not is_search_unpriced:
        return None
    tool = question.billed_tools[0] if question.billed_tools else "web_search"
    settings = "cost.request" if question.billed_tools else "cost.search or cost.request"
    sentence = (
        f"The tool '{tool}' is billed per use and has no price for '{model}': use your own provider key,"
        f" or have the operator set a price per request ({settings})."
    )
    return refuse("model_unpriced", sentence, param=param, details=details | {"tool": tool})


_OWN_DIALECT: Final[dict[Surface, DialectName]] = {
    "chat": "openai_chat",
    "responses": "openai_responses",
    "completions": "openai_completions",
    "embeddings": "openai_embeddings",
    "messages": "anthropic_messages",
    "count_tokens": "anthropic_messages",
}
"""What a request of each surface is written in."""


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
        supported_params=listed_params(custom.surfaces, dialect) if custom is not None else None,
        is_reasoning=model is None or model.is_reasoning,
    )


def _is_cap_whole(target: Target) -> bool:
    """A model that does not reason has nothing that an output limit could leave out."""
    return target.row.is_output_cap_with_reasoning or (target.model is not None and not target.model.is_reasoning)


def _no_surface(target: Target, surface: Surface, *, param: str) -> Refusal:
    return refuse(
        "unsupported_parameter",
        f"The provider '{target.provider}' cannot serve {surface} requests.",
        param=param,
        details={"provider": target.provider, "surface": surface},
    )


def _no_entry(offers: Offers, target: Target, *, param: str) -> Refusal:
    if not offers.is_known:
        return refuse("gateway_unavailable", "No adapter was heard yet.", retry_after_s=1, details={"cause": "offers"})
    return refuse(
        "no_provider_key",
        f"There is no credential for the provider '{target.provider}' under this key's configuration;"
        " add a provider key or allow managed.",
        param=param,
        details={"provider": target.provider},
    )

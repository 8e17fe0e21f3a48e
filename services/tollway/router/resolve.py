"""From a name asked to the model it means: catalog names, `provider:model`, and the account's own providers."""

from difflib import get_close_matches
from typing import Final

import msgspec

from tollway.dialects.providers import surface_dialects
from tollway.dialects.rows import ProviderRow
from tollway.router.catalog import Catalog, Model
from tollway.router.offers import Offers
from tollway.wire.access import CustomProvider, Principal
from tollway.wire.refusals import Refusal, refuse

NAME_CHARS_MAX: Final = 256
SUGGESTIONS_MAX: Final = 3


class Target(msgspec.Struct, frozen=True):
    """A model of a provider. `model` None: not in the catalog, passed through as it was asked."""

    provider: str
    provider_name: str
    model_id: str
    model_name: str
    model_sent: str
    row: ProviderRow
    model: Model | None = None
    custom: CustomProvider | None = None


def resolve(catalog: Catalog, offers: Offers, principal: Principal, name: str, *, param: str) -> Target | Refusal:
    """What `name` means to this account. Refusals: `model_unknown`, with near names."""
    provider, mark, model = name.partition(":")
    if mark and model and len(name) <= NAME_CHARS_MAX:
        custom = next((custom for custom in principal.providers if custom.provider == provider), None)
        if custom is not None:
            return custom_target(custom, model)
        if provider in catalog.rows:
            return _qualified(catalog, provider, model)
    return _bare(catalog, offers, principal, name) or _unknown(catalog, offers, principal, name, param=param)


def _qualified(catalog: Catalog, provider: str, name: str) -> Target:
    found = catalog.find(provider, name)
    if found is not None:
        return listed_target(catalog, found.model, found.model_sent)
    row = catalog.rows[provider]
    return Target(provider, row.name, name, name, name, row)


def listed_target(catalog: Catalog, model: Model, model_sent: str) -> Target:
    """The target of a catalog model."""
    row = catalog.rows[model.provider]
    return Target(model.provider, row.name, model.id, model.name, model_sent, row, model)


def _bare(catalog: Catalog, offers: Offers, principal: Principal, name: str) -> Target | None:
    """The catalog's default provider for a name is the preferred one of those that the account has a way into; an
    account's own provider counts where nobody in the catalog can serve the name."""
    models = catalog.named(name)
    reachable = next((model for model in models if is_reachable(offers, principal, model.provider)), None)
    if reachable is not None:
        return listed_target(catalog, reachable, reachable.id)
    own = _own(principal, name)
    if own is not None:
        return own
    return listed_target(catalog, models[0], models[0].id) if models else None


def is_reachable(offers: Offers, principal: Principal, provider: str) -> bool:
    """Whether the account or the operator has a credential for the provider."""
    return provider in offers.pools or any(key.provider == provider for key in principal.provider_keys)


def _own(principal: Principal, name: str) -> Target | None:
    wanted = name.lower()
    return next(
        (
            custom_target(custom, name)
            for custom in principal.providers
            if any(model.lower() == wanted for model in custom.models)
        ),
        None,
    )


def custom_target(custom: CustomProvider, name: str) -> Target:
    """The target of a model of the account's own provider, spelled as the account listed it."""
    wanted = name.lower()
    model = next((model for model in custom.models if model.lower() == wanted), name)
    return Target(custom.provider, custom.name, model, model, model, custom_row(custom), None, custom)


def custom_row(custom: CustomProvider) -> ProviderRow:
    """What the router needs to know of an account's own provider: the dialects."""
    dialects = surface_dialects((surface.format, surface.surface) for surface in custom.surfaces)
    return ProviderRow(id=custom.provider, name=custom.name, base_url=custom.base_url, dialects=dialects)


def _unknown(catalog: Catalog, offers: Offers, principal: Principal, name: str, *, param: str) -> Refusal:
    near = near_names(catalog, offers, principal, name)
    hint = f" Near names: {', '.join(near)}." if near else ""
    return refuse(
        "model_unknown",
        f"The model '{name[:NAME_CHARS_MAX]}' is not in the catalog.{hint}"
        " Qualify it as 'provider:model' to send it as it is.",
        param=param,
        details={"near": ", ".join(near)} if near else None,
    )


def near_names(catalog: Catalog, offers: Offers, principal: Principal, name: str) -> list[str]:
    """Names much like this one among the models that the account can reach, or among all if it can reach none."""
    if len(name) > NAME_CHARS_MAX:
        return []
    reachable = [provider for provider in catalog.by_provider if is_reachable(offers, principal, provider)]
    pool = {
        model.id.lower(): model.ref
        for provider in reversed(reachable or list(catalog.by_provider))
        for model in catalog.by_provider[provider].values()
    }
    wanted = name.rpartition(":")[2].lower()
    return [pool[close] for close in get_close_matches(wanted, pool, n=SUGGESTIONS_MAX, cutoff=0.6)]

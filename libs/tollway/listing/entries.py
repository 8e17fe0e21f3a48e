"""The shape of a price list (models.dev's), and how one is laid over another."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

Entry = TypeVar("Entry", bound=msgspec.Struct)


class ListedTierBound(msgspec.Struct, frozen=True):
    """What a tier depends on; only `context` tiers have a `size` in tokens."""

    type: str = ""
    size: int = 0


class ListedTier(msgspec.Struct, frozen=True):
    """Prices that replace the base ones above a bound."""

    tier: ListedTierBound
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None


class ListedCost(msgspec.Struct, frozen=True):
    """Dollars per million tokens; `request` is dollars per request, `search` dollars per thousand web searches."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    request: Decimal | None = None
    search: Decimal | None = None
    tiers: tuple[ListedTier, ...] = ()


class ListedChange(msgspec.Struct, frozen=True):
    """What a mode changes in a request: fields of its body."""

    body: Mapping[str, object] = {}


class ListedMode(msgspec.Struct, frozen=True):
    """Another service of the same model, at another price."""

    cost: ListedCost | None = None
    provider: ListedChange = ListedChange()


class ListedExperimental(msgspec.Struct, frozen=True):
    """What the list may still change its mind about."""

    modes: Mapping[str, ListedMode] = {}


class ListedLimit(msgspec.Struct, frozen=True):
    """Tokens; 0 is unknown."""

    context: int = 0
    input: int = 0
    output: int = 0


class ListedModalities(msgspec.Struct, frozen=True):
    """What goes in and what comes out."""

    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)


class ListedModel(msgspec.Struct, frozen=True):
    """A model of a provider; None is unknown, and in an overrides file: as the list below has it."""

    name: str | None = None
    release_date: str | None = None
    attachment: bool | None = None
    reasoning: bool | None = None
    tool_call: bool | None = None
    structured_output: bool | None = None
    modalities: ListedModalities | None = None
    limit: ListedLimit | None = None
    cost: ListedCost | None = None
    status: str | None = None
    experimental: ListedExperimental | None = None


class ListedProvider(msgspec.Struct, frozen=True):
    """A provider with its models by id."""

    name: str | None = None
    npm: str | None = None
    api: str | None = None
    env: tuple[str, ...] | None = None
    models: Mapping[str, ListedModel] = {}


PriceEntries = Mapping[str, ListedProvider]


def lay_over(base: PriceEntries, above: PriceEntries) -> dict[str, ListedProvider]:
    """`above` on top of `base`: field by field for providers and models, and new ones added."""
    return {**base, **{key: _over_provider(base.get(key), entry) for key, entry in above.items()}}


def _over_provider(base: ListedProvider | None, above: ListedProvider) -> ListedProvider:
    if base is None:
        return above
    models = {
        key: _merged(base.models[key], model) if key in base.models else model for key, model in above.models.items()
    }
    return msgspec.structs.replace(_merged(base, above), models={**base.models, **models})


def _merged(base: Entry, above: Entry) -> Entry:
    given = {name: value for name in above.__struct_fields__ if (value := getattr(above, name)) is not None}
    return msgspec.structs.replace(base, **given)

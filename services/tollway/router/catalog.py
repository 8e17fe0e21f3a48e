"""The catalog: the price list compiled for the request path. Names are found without regard to case."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from tollway.dialects.built_in import LISTED_AS
from tollway.dialects.rows import ProviderRow
from tollway.dialects.services import SERVICE_FIELDS
from tollway.listing.entries import (
    ListedCost,
    ListedExperimental,
    ListedModalities,
    ListedModel,
    ListedTier,
    PriceEntries,
)
from tollway.listing.searches import search_dollars
from tollway.wire.money import price_of_dollars
from tollway.wire.plan import Price, PriceTier, ServicePrice

_FIRST_PARTY: Final = ("xai", "mistral", "cohere", "perplexity", "alibaba", "minimax", "stepfun", "xiaomi", "upstage")
"""After the built-in providers of the product: who makes models, before who resells them."""

_AFTER_VENDORS: Final = ("groq", "hyperbolic", "inference-net", "openrouter")
"""Built-in providers that serve other vendors' models: a bare name means the vendor first."""

_OPTION_MARKS: Final[dict[str, str]] = {"simulator": ";?"}
"""Providers whose model names carry options: `simulator:echo;chunks=20` is the model `echo`."""

UNKNOWN: Final = frozenset[str]()


class Model(msgspec.Struct, frozen=True):
    """A model of a provider. `price` None: not known. `tokens_window`, `tokens_output_max`: 0 is unknown."""

    provider: str
    id: str
    name: str
    price: Price | None
    tokens_window: int
    tokens_output_max: int
    modalities_input: tuple[str, ...]
    modalities_output: tuple[str, ...]
    is_tool_capable: bool
    is_reasoning: bool
    is_schema_capable: bool | None
    is_embedding: bool
    is_deprecated: bool
    released_on: str

    @property
    def ref(self) -> str:
        """`provider:model`, the name that means this one and no other."""
        return f"{self.provider}:{self.id}"


class Found(msgspec.Struct, frozen=True):
    """A model and the name it is sent under (with options, where the provider's names carry them)."""

    model: Model
    model_sent: str


class Catalog(msgspec.Struct, frozen=True):
    """All that can be called. `by_provider` and `by_name` are keyed by the lower-case model id; the models of a name
    are in order of preference, the vendor's own first."""

    rows: Mapping[str, ProviderRow]
    by_provider: Mapping[str, Mapping[str, Model]]
    by_name: Mapping[str, tuple[Model, ...]]
    price_version: str

    def find(self, provider: str, name: str) -> Found | None:
        """The provider's model of this name, whatever its case."""
        models = self.by_provider.get(provider, {})
        model = models.get(name.lower())
        if model is not None:
            return Found(model, model.id)
        base = _without_options(provider, name)
        model = models.get(base.lower())
        return Found(model, model.id + name[len(base) :]) if model is not None else None

    def named(self, name: str) -> tuple[Model, ...]:
        """Every provider's model of this name, the preferred provider's first."""
        return self.by_name.get(name.lower(), ())


def _without_options(provider: str, name: str) -> str:
    marks = _OPTION_MARKS.get(provider, "")
    cuts = [at for mark in marks if (at := name.find(mark)) >= 0]
    return name[: min(cuts)] if cuts else name


def compile_catalog(entries: PriceEntries, rows: Mapping[str, ProviderRow], price_version: str) -> Catalog:
    """Make a catalog of every priced or unpriced model that answers in text or embeds."""
    by_provider = {id: {model.id.lower(): model for model in _models(id, entries)} for id in _preferred(rows)}  # noqa: A001
    by_name: dict[str, tuple[Model, ...]] = {}
    for models in by_provider.values():
        for name, model in models.items():
            by_name[name] = (*by_name.get(name, ()), model)
    return Catalog(rows, by_provider, by_name, price_version)


def _preferred(rows: Iterable[str]) -> list[str]:
    """Provider ids in order of preference: `rows` has the built-in ones first, the resellers among them come later."""
    order = list(rows)
    late = [provider for provider in order if provider in _AFTER_VENDORS]
    first = order[: order.index("simulator") + 1] if "simulator" in order else []
    vendors = [provider for provider in first if provider not in late]
    makers = [provider for provider in _FIRST_PARTY if provider in order]
    return list(dict.fromkeys((*vendors, *makers, *late, *order)))


def _models(provider: str, entries: PriceEntries) -> Iterator[Model]:
    own, listed = entries.get(provider), entries.get(LISTED_AS.get(provider, ""))
    models = {**(listed.models if listed else {}), **(own.models if own else {})}
    for model_id, entry in models.items():
        modalities = entry.modalities or ListedModalities()
        if "text" in modalities.output or "embedding" in modalities.output:
            yield _model(provider, model_id, entry, modalities)


def _model(provider: str, model_id: str, entry: ListedModel, modalities: ListedModalities) -> Model:
    limit = entry.limit
    return Model(
        provider=provider,
        id=model_id,
        name=entry.name or model_id,
        price=_price(provider, model_id, entry.cost, entry.experimental) if entry.cost is not None else None,
        tokens_window=limit.context if limit else 0,
        tokens_output_max=limit.output if limit else 0,
        modalities_input=modalities.input,
        modalities_output=modalities.output,
        is_tool_capable=bool(entry.tool_call),
        is_reasoning=bool(entry.reasoning),
        is_schema_capable=entry.structured_output,
        is_embedding="embedding" in modalities.output or "embed" in model_id.lower(),
        is_deprecated=entry.status == "deprecated",
        released_on=entry.release_date or "",
    )


def _price(provider: str, model_id: str, cost: ListedCost, experimental: ListedExperimental | None) -> Price:
    searches = search_dollars(provider, model_id) if cost.search is None else cost.search
    return Price(
        input=price_of_dollars(cost.input),
        output=price_of_dollars(cost.output),
        cache_read=_optional(cost.cache_read),
        cache_write=_optional(cost.cache_write),
        reasoning=_optional(cost.reasoning),
        audio_input=_optional(cost.input_audio),
        audio_output=_optional(cost.output_audio),
        per_request=price_of_dollars(cost.request) if cost.request is not None else 0,
        tiers=tuple(_tier(tier) for tier in cost.tiers if tier.tier.type == "context"),
        services=tuple(_services(experimental)) if experimental is not None else (),
        per_search=None if searches is None else price_of_dollars(searches / 1_000),
    )


def _services(experimental: ListedExperimental) -> Iterator[ServicePrice]:
    """Modes that a request asks for by a field of its body, under the word that it asks with."""
    for mode in experimental.modes.values():
        words = (mode.provider.body.get(name) for name in SERVICE_FIELDS)
        word = next((word for word in words if isinstance(word, str)), None)
        if word is not None and mode.cost is not None:
            yield _service(word, mode.cost)


def _service(word: str, cost: ListedCost) -> ServicePrice:
    return ServicePrice(
        service=word,
        input=price_of_dollars(cost.input),
        output=price_of_dollars(cost.output),
        cache_read=_optional(cost.cache_read),
        cache_write=_optional(cost.cache_write),
    )


def _tier(tier: ListedTier) -> PriceTier:
    return PriceTier(
        above_tokens_input=tier.tier.size,
        input=price_of_dollars(tier.input),
        output=price_of_dollars(tier.output),
        cache_read=_optional(tier.cache_read),
        cache_write=_optional(tier.cache_write),
    )


def _optional(dollars: Decimal | None) -> int | None:
    return None if dollars is None else price_of_dollars(dollars)

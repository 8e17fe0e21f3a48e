"""`tollway/auto`: models that the router chooses from when the caller leaves it to us."""

from collections.abc import Iterator, Sequence
from typing import Final

from tollway.router.catalog import Catalog, Model
from tollway.router.offers import Offers
from tollway.router.resolve import Target, is_reachable, listed_target
from tollway.wire.access import Principal

AUTO: Final = "tollway/auto"

PREFERRED: Final = (
    "openai:gpt-5.4-mini",
    "anthropic:claude-haiku-4-5",
    "google:gemini-3.1-flash-lite",
    "deepseek:deepseek-v4-flash",
    "moonshotai:kimi-k2.6",
    "zai:glm-4.7",
    "mistral:mistral-small-latest",
    "xai:grok-4.3",
    "groq:openai/gpt-oss-120b",
    "cerebras:gpt-oss-120b",
    "inceptionlabs:mercury-2",
    "openrouter:openai/gpt-5.4-mini",
    "simulator:echo",
)
"""Quick, able and cheap; one of each vendor. `TOLLWAY_AUTO_MODELS` replaces the list."""


def targets(catalog: Catalog, offers: Offers, principal: Principal, preferred: Sequence[str]) -> Iterator[Target]:
    """Targets in order of preference: the list, then whatever else can be reached, newest first."""
    wanted = [model for name in preferred if (model := _model(catalog, name)) is not None]
    for model in wanted:
        if is_reachable(offers, principal, model.provider):
            yield listed_target(catalog, model, model.id)
    for model in _others(catalog, offers, principal):
        if model not in wanted:
            yield listed_target(catalog, model, model.id)


def _model(catalog: Catalog, name: str) -> Model | None:
    provider, _, model = name.strip().partition(":")
    found = catalog.find(provider, model)
    return found.model if found is not None else None


def _others(catalog: Catalog, offers: Offers, principal: Principal) -> list[Model]:
    found = [
        model
        for provider, models in catalog.by_provider.items()
        if provider != "simulator" and is_reachable(offers, principal, provider)
        for model in models.values()
        if not model.is_deprecated and model.price is not None
    ]
    return sorted(found, key=lambda model: model.released_on, reverse=True)

"""What `/v1/models` shows: the models that this access key may call and that some credential can serve."""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from tollway.router.auto import AUTO
from tollway.router.catalog import Catalog
from tollway.router.offers import Offers
from tollway.router.resolve import Target, custom_target, is_reachable, listed_target, resolve
from tollway.router.ways import View, way_to
from tollway.wire.access import Access, Principal, Rule
from tollway.wire.plan import ListModels, ModelCard, ModelList, PlanRoute, Surface
from tollway.wire.refusals import Refusal

AUTO_CARD: Final = ModelCard(AUTO, "tollway", "Chosen by the router")


LISTS_MAX: Final = 16
_Asker = tuple[str, int, Access, tuple[Rule, ...]]


class Lists:
    """Whole lists as they were made: one takes 50 ms where the operator has a credential for every provider. A list
    depends on the account's configuration and on what the adapters offer, and not on health."""

    def __init__(self) -> None:
        self._made: OrderedDict[_Asker, ModelList] = OrderedDict()
        self._offers: Offers | None = None

    def of(self, view: View, question: ListModels) -> ModelList | Refusal:
        """All models, or the one asked for. Keys of one account with the same access share a list."""
        if question.model_id:
            return list_models(view, question)
        if view.offers is not self._offers and view.offers != self._offers:
            self._made.clear()
        self._offers = view.offers
        principal = question.principal
        asker = (principal.account_id, principal.version, principal.access, principal.rules)
        made = self._made.pop(asker, None) or list_models(view, question)
        if isinstance(made, ModelList):
            self._made[asker] = made
            if len(self._made) > LISTS_MAX:
                self._made.popitem(last=False)
        return made


def list_models(view: View, question: ListModels) -> ModelList | Refusal:
    """All models, or the one asked for under the name it was asked by. Refusals: as for a plan of that one model."""
    if question.model_id:
        return _one(view, question.principal, question.model_id)
    targets = _targets(view, question.principal)
    cards = [_card(target, target_id(target)) for target in targets if _refusal(view, question, target) is None]
    return ModelList((*cards, AUTO_CARD) if cards else ())


def _one(view: View, principal: Principal, name: str) -> ModelList | Refusal:
    if name.lower() == AUTO:
        return ModelList((AUTO_CARD,))
    target = resolve(view.catalog, view.offers, principal, name, param="model")
    if isinstance(target, Refusal):
        return target
    refusal = _refusal(view, ListModels(principal), target)
    if refusal is not None:
        return refusal
    is_bare = not name.startswith(f"{target.provider}:")
    return ModelList((_card(target, target.model_id if is_bare else target_id(target)),))


def target_id(target: Target) -> str:
    """The name that means this model and no other."""
    return f"{target.provider}:{target.model_id}"


def _targets(view: View, principal: Principal) -> Iterator[Target]:
    catalog = view.catalog
    for provider in catalog.by_provider:
        if is_reachable(view.offers, principal, provider):
            yield from _listed(catalog, provider)
    for custom in principal.providers:
        yield from (custom_target(custom, model) for model in custom.models)


def _listed(catalog: Catalog, provider: str) -> Iterator[Target]:
    return (listed_target(catalog, model, model.id) for model in catalog.by_provider[provider].values())


def _refusal(view: View, question: ListModels, target: Target) -> Refusal | None:
    surface: Surface = "embeddings" if target.model is not None and target.model.is_embedding else "chat"
    return way_to(view, PlanRoute(question.principal, (), surface), target, asked="", param="model").refusal


def _card(target: Target, model_id: str) -> ModelCard:
    model = target.model
    if model is None:
        return ModelCard(model_id, target.provider, target.model_name)
    return ModelCard(
        id=model_id,
        provider=target.provider,
        name=model.name,
        created_s=released_s(model.released_on),
        tokens_window=model.tokens_window,
        tokens_output_max=model.tokens_output_max,
        modalities_input=model.modalities_input,
        modalities_output=model.modalities_output,
        is_tool_capable=model.is_tool_capable,
        is_reasoning=model.is_reasoning,
        price=model.price,
    )


def released_s(day: str) -> int:
    """A release date (`2025-09-29`, `2025-09`) as Unix seconds, 0 if it is none."""
    parts = day.split("-")
    try:
        year, month, date = (*map(int, parts), *(1,) * (3 - len(parts)))
        return int(datetime(year, month, date, tzinfo=UTC).timestamp())
    except ValueError:
        return 0

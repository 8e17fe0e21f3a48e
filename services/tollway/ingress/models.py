"""`/v1/models`, `/v1/models/{id}` and `/v1/messages/count_tokens`: answers that need no provider and no credit."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tollway import clock
from tollway.dialects.bridge import CONTENT_TYPE_JSON, read_intake
from tollway.ingress import domain
from tollway.ingress.exchange import Exchange
from tollway.ingress.journey import House
from tollway.ingress.life import ask_patiently, authenticate
from tollway.ingress.surfaces import MODELS
from tollway.tokens import count_tokens
from tollway.wire import subjects
from tollway.wire.access import Principal
from tollway.wire.envelope import Context
from tollway.wire.money import dollars
from tollway.wire.plan import ListModels, ModelCard, ModelList, Price
from tollway.wire.refusals import Refusal, refuse

UNCALLABLE: Final = frozenset(
    {"model_unknown", "model_unpriced", "no_provider_key", "provider_not_allowed", "model_not_allowed"}
)
"""Why a plan cannot be made for a model: it is not among those of this access key, so its address is a 404."""
OUT_OF_SCOPE: Final = frozenset({"provider_not_allowed", "model_not_allowed"})


async def list_models(house: House, exchange: Exchange, request_id: str) -> Refusal | None:
    """What this access key may call, in OpenAI's shape with prices, window and modalities as extra fields.

    Anthropic's fields are among them, so that its clients read the same list.
    """
    principal = await authenticate(house, exchange)
    if isinstance(principal, Refusal):
        return principal
    wanted = exchange.path.removeprefix(MODELS).strip("/")
    found = await _ask(house, principal, wanted, request_id)
    if isinstance(found, Refusal):
        is_missing = wanted and found.code in UNCALLABLE
        return refuse("not_found", found.message, param="model") if is_missing else found
    if wanted and not found.models:
        return refuse("not_found", f"There is no model '{wanted}' that this access key may call.", param="model")
    cards = [_card(card) for card in found.models]
    body = cards[0] if wanted else _page(cards)
    headers = {"tollway-request-id": request_id}
    await exchange.answer(200, msgspec.json.encode(body), CONTENT_TYPE_JSON, headers)
    return None


async def _ask(house: House, principal: Principal, wanted: str, request_id: str) -> ModelList | Refusal:
    question = ListModels(principal, wanted)
    return await ask_patiently(house.bus, subjects.ROUTE_MODELS, question, ModelList, Context(request_id))


def _page(cards: list[dict[str, Any]]) -> dict[str, Any]:
    ends = {"first_id": cards[0]["id"], "last_id": cards[-1]["id"]} if cards else {"first_id": None, "last_id": None}
    return {"object": "list", "data": cards, "has_more": False, **ends}


def _card(card: ModelCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "object": "model",
        "type": "model",
        "created": card.created_s,
        "created_at": datetime.fromtimestamp(card.created_s, UTC).isoformat(),
        "owned_by": card.provider,
        "name": card.name,
        "display_name": card.name,
        "context_window": card.tokens_window or None,
        "max_input_tokens": card.tokens_window or None,
        "max_output_tokens": card.tokens_output_max or None,
        "max_tokens": card.tokens_output_max or None,
        "modalities": {"input": card.modalities_input, "output": card.modalities_output},
        "tools": card.is_tool_capable,
        "reasoning": card.is_reasoning,
        "pricing": None if card.price is None else _pricing(card.price),
    }


def _pricing(price: Price) -> dict[str, str | None]:
    """Dollars per million tokens, exact."""
    rates = {
        "input": price.input,
        "output": price.output,
        "cache_read": price.cache_read,
        "cache_write": price.cache_write,
    }
    return {name: None if rate is None else dollars(rate) for name, rate in rates.items()}


async def count(house: House, exchange: Exchange, request_id: str) -> Refusal | None:
    """Anthropic's token count, by tiktoken: an estimate for other families, which coding agents ask for often. It is a
    request as far as the key's limits and scope are concerned."""
    principal = exchange.head_refusal() or await authenticate(house, exchange)
    if isinstance(principal, Refusal):
        return principal
    crowd = house.admission.knock(principal, clock.monotonic_s())
    body = crowd or await exchange.body()
    if isinstance(body, Refusal):
        return body
    intake = read_intake("anthropic_messages", body, surface="count_tokens")
    if isinstance(intake, Refusal):
        return intake
    planned = await _ask(house, principal, intake.model, request_id)
    if isinstance(planned, Refusal) and planned.code in OUT_OF_SCOPE:
        return planned
    counted = await asyncio.to_thread(count_tokens, body.decode("utf-8", "replace"))
    tokens = min(counted, domain.tokens_input_bound(intake))
    answer = msgspec.json.encode({"input_tokens": tokens})
    await exchange.answer(200, answer, CONTENT_TYPE_JSON, {"tollway-request-id": request_id})
    return None

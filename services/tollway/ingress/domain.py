"""What ingress decides, pure: how much a request may cost at most, how long it may take, what its receipt says."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tollway.dialects.bridge import Intake
from tollway.ingress.stock import Kind
from tollway.wire.access import Principal, Settings
from tollway.wire.money import dollars
from tollway.wire.plan import Candidate, DialectName, Plan, Skipped, Surface
from tollway.wire.pricing import worst_case_nusd
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.work import End, Limits

STREAM_SLICE_TOKENS: Final = 2_048
"""Output that a stream's first hold covers; the adapter asks for more before it is used up."""
OUTPUT_TOKENS_UNKNOWN: Final = 8_192
"""Output limit of a model whose limit the catalog does not know."""
REASONING_TOKENS_EXTRA: Final = 32_768
"""Held besides where a provider's output limit does not count reasoning."""
OVERHEAD_TOKENS: Final = 64
"""What a provider's own template adds around a conversation."""
LONG_INPUT_BYTES: Final = 64 * 1024
BYTES_PER_TOKEN_MOST: Final = 8
MEDIA_TOKENS: Final = 2_000
MEDIA_BYTES_PER_TOKEN: Final = 100
STREAM_SECONDS_MAX: Final = 1_800
HOLD_MARGIN_S: Final = 15
DISPATCH_STALE_S: Final = 1.5
"""Work that no adapter took up within this is not taken up later: it has been given to another."""

SKIPPED_MAX: Final = 32
NAME_CHARS_MAX: Final = 128

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNIT_S: Final[dict[str | None, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class Sizing(msgspec.Struct, frozen=True):
    """What is set aside for a request, and the limits that it buys.

    `tokens_output_cap`: covered by the hold; `tokens_output_wanted`: up to which a stream may extend it. `searches`:
    web searches that are covered.
    """

    amount_nusd: int
    tokens_input_bound: int
    tokens_output_cap: int
    tokens_output_wanted: int
    searches: int = 0


def tokens_input_bound(intake: Intake) -> int:
    """No tokenizer makes more tokens of a text than it has bytes; media by generous allowances."""
    media = intake.media * MEDIA_TOKENS + intake.media_bytes // MEDIA_BYTES_PER_TOKEN
    return intake.text_bytes + media + OVERHEAD_TOKENS


def tokens_input_least(intake: Intake) -> int:
    """What a long input surely has, for the check of the model's window; 0 for the others, whose plans are shared.

    Text takes 3 to 5 bytes a token in most languages and code; twice that is taken here.
    """
    return intake.text_bytes // BYTES_PER_TOKEN_MOST if intake.text_bytes >= LONG_INPUT_BYTES else 0


def tokens_input_counted(counted: int, intake: Intake) -> int:
    """A tokenizer's count as a bound: other families' tokenizers differ from it by a fifth at most on such text."""
    media = intake.media * MEDIA_TOKENS + intake.media_bytes // MEDIA_BYTES_PER_TOKEN
    return min(counted * 6 // 5 + media + OVERHEAD_TOKENS, tokens_input_bound(intake))


def size(
    candidates: Sequence[Candidate],
    intake: Intake,
    settings: Settings,
    surface: Surface,
    *,
    tokens_input: int,
) -> Sizing:
    """The worst case over all candidates: nothing that may happen costs more than is held."""
    wanted = 0 if surface == "embeddings" else _tokens_output_wanted(candidates, intake, settings)
    cap = min(wanted, STREAM_SLICE_TOKENS) if intake.is_stream else wanted
    amount = max(
        worst_case_of(candidate, intake, tokens_input=tokens_input, tokens_output=cap) for candidate in candidates
    )
    searches = intake.searches if any(candidate.is_managed for candidate in candidates) else 0
    return Sizing(amount, tokens_input, cap, wanted, searches)


def _tokens_output_wanted(candidates: Sequence[Candidate], intake: Intake, settings: Settings) -> int:
    model_max = max(candidate.tokens_output_max or OUTPUT_TOKENS_UNKNOWN for candidate in candidates)
    limits = (intake.tokens_output_wanted, settings.tokens_output_max, model_max)
    return min(limit for limit in limits if limit is not None)


def worst_case_of(candidate: Candidate, intake: Intake, *, tokens_input: int, tokens_output: int) -> int:
    """What this candidate can cost at most, in nano-dollars."""
    extra = 0 if candidate.is_output_cap_with_reasoning or not tokens_output else REASONING_TOKENS_EXTRA
    return worst_case_nusd(
        candidate.price,
        is_managed=candidate.is_managed,
        tokens_input=tokens_input,
        tokens_output=(tokens_output + extra) * intake.choices,
        is_caching=intake.is_caching,
        searches=intake.searches,
    )


def with_service(plan: Plan, service: str, dialect: DialectName) -> Plan:
    """The plan with candidates that may be charged for the service asked, and for no other: their hold covers it. A
    candidate of another dialect is not asked for any service."""
    if not any(candidate.price is not None and candidate.price.services for candidate in plan.candidates):
        return plan
    kept = tuple(_with_service(each, service if each.dialect == dialect else "") for each in plan.candidates)
    return msgspec.structs.replace(plan, candidates=kept)


def _with_service(candidate: Candidate, service: str) -> Candidate:
    price = candidate.price
    if price is None or not price.services:
        return candidate
    kept = tuple(special for special in price.services if special.service == service and candidate.is_managed)
    return msgspec.structs.replace(candidate, price=msgspec.structs.replace(price, services=kept))


def input_refusal(tokens: int, settings: Settings) -> Refusal | None:
    """The account's cap on input, with both numbers."""
    cap = settings.tokens_input_max
    if cap is None or tokens <= cap:
        return None
    message = (
        f"The input is about {tokens} tokens and the account's limit is {cap}; shorten it or raise maxInputTokens."
    )
    return refuse("input_too_large", message, details={"tokens": str(tokens), "limit": str(cap)})


def read_timeout_s(text: str) -> float | None:
    """The caller's `tollway-timeout`: `30`, `30s`, `1.5s`, `500ms`, `2m`. None for anything else."""
    found = _DURATION.fullmatch(text.strip())
    return float(found.group(1)) * _UNIT_S[found.group(2)] if found else None


def total_timeout_s(settings: Settings, asked: str) -> float | Refusal:
    """The account's total timeout, which the caller may tighten and never widen."""
    if not asked:
        return settings.total_timeout_s
    own = read_timeout_s(asked)
    if own is None or own <= 0:
        return refuse("invalid_request_body", "tollway-timeout: expected a time such as 30s or 500ms.")
    return min(own, settings.total_timeout_s)


def passed_over(plan: Plan, models_asked: Sequence[str]) -> tuple[Skipped, ...]:
    """What the plan skipped, for the books. A name that means nothing is the caller's own text, so that its place in
    the request is written down in its stead."""
    return tuple(_nameless(skipped, models_asked) for skipped in plan.skipped[:SKIPPED_MAX])


def _nameless(skipped: Skipped, models_asked: Sequence[str]) -> Skipped:
    if skipped.reason != "model_unknown":
        return msgspec.structs.replace(skipped, model=skipped.model[:NAME_CHARS_MAX])
    place = models_asked.index(skipped.model) if skipped.model in models_asked else 0
    return msgspec.structs.replace(skipped, model=f"models[{place - 1}]" if place else "model")


def limits_of(settings: Settings) -> Limits:
    """The limits that travel with the work."""
    return Limits(
        settings.attempt_timeout_s,
        settings.first_token_timeout_s,
        settings.chunk_gap_timeout_s,
        settings.connect_timeout_s,
    )


def hold_deadline_ms(deadline_ms: int, *, is_stream: bool) -> int:
    """When the hold may be given up: a stream may go on long after its first token."""
    return deadline_ms + (STREAM_SECONDS_MAX + HOLD_MARGIN_S if is_stream else HOLD_MARGIN_S) * 1000


def models_of(plan: Plan) -> tuple[str, ...]:
    """The candidates, as a hold names them."""
    return tuple(f"{candidate.provider}:{candidate.model}" for candidate in plan.candidates)


def kind_of_hold(principal: Principal, plan: Plan, sizing: Sizing, *, is_stream: bool) -> Kind | None:
    """What the hold has in common with others that may be opened ahead; None where money is limited by the key.

    The amount is rounded up, by less than a quarter, so that requests of about one size share their holds.
    """
    if principal.limits.spend_day_nusd is not None or principal.limits.spend_month_nusd is not None:
        return None
    return Kind(
        principal.account_id,
        principal.access_key_id,
        rounded_up(sizing.amount_nusd),
        hold_deadline_ms(int(principal.settings.total_timeout_s * 1000), is_stream=is_stream),
        plan.price_version,
        models_of(plan),
    )


def rounded_up(amount: int) -> int:
    """To three significant bits: less than a quarter more."""
    step = 1 << max(0, amount.bit_length() - 3)
    return -(-amount // step) * step


def credit_refusal(refusal: Refusal, sizing: Sizing, *, is_stream: bool) -> Refusal:
    """`insufficient_credits`, with what the request needs and what the balance could cover."""
    available = int(refusal.details.get("availableNusd", "0"))
    what = "the first part of the stream" if is_stream else "the request"
    searches = f", {sizing.searches} web searches" if sizing.searches else ""
    limit = "the output limit, or that of searches" if sizing.searches else "the output limit"
    message = (
        f"The balance is ${dollars(available)} and {what} may cost up to ${dollars(sizing.amount_nusd)} "
        f"({sizing.tokens_input_bound} input and {sizing.tokens_output_cap} output tokens{searches} at most). "
        f"{_affordable(available, sizing)} Buy credit, or lower {limit}."
    )
    return refuse("insufficient_credits", message, details=dict(refusal.details))


def _affordable(available: int, sizing: Sizing) -> str:
    total = sizing.tokens_input_bound + sizing.tokens_output_cap
    tokens = total * available // sizing.amount_nusd if sizing.amount_nusd else 0
    return f"It could cover about {tokens} tokens in all." if available > 0 else "It covers nothing."


def receipt_headers(request_id: str, trace: str, end: End | None, *, attempts: int, model: str) -> dict[str, str]:
    """The headers of every inference answer; the cost is known only when the answer is whole."""
    headers = {"tollway-request-id": request_id, "tollway-attempts": str(attempts)}
    if trace:
        headers["traceparent"] = trace
    if model:
        headers["tollway-model"] = model
    if end is not None and end.cost_nusd is not None:
        headers["tollway-cost"] = dollars(end.cost_nusd)
    if end is not None and end.dropped:
        headers["tollway-dropped"] = ", ".join(end.dropped)
    return headers


PASSED_ON: Final = frozenset({"anthropic-beta", "anthropic-version", "openai-beta", "http-referer", "x-title"})
"""Headers of the caller that a provider may see; which of them it does see is its dialect's choice."""


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of them that were sent."""
    return {name: value for name, value in headers.items() if name in PASSED_ON}

"""Routing rules of a configuration: from a draft to what is kept, with the provider keys that come along. Pure."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tollway.auth.events import Record
from tollway.auth.rules import KEYS_MAX, RULES_MAX, STEPS_MAX, Surroundings, invalid
from tollway.auth.state import State
from tollway.wire.management import (
    Provider,
    ProviderKey,
    RouteRule,
    RouteStep,
    RuleDraft,
    StepDraft,
    StepKey,
    StepKeyDraft,
)
from tollway.wire.refusals import Refusal

Place = tuple[int, int, int]
"""Which rule, step and key of a draft."""


class Routed(msgspec.Struct, frozen=True):
    """Rules that may be kept, and the records of the keys given inline."""

    rules: tuple[RouteRule, ...]
    new_keys: tuple[Record, ...]


def inline_keys(rules: Sequence[RuleDraft]) -> Iterator[tuple[Place, RuleDraft, StepKeyDraft]]:
    """The keys of a draft that must be created, with their place."""
    for r, rule in enumerate(rules):
        for s, step in enumerate(rule.steps):
            for k, key in enumerate(step.keys):
                if key.id is None:
                    yield (r, s, k), rule, key


def provider_of(rule: RuleDraft | RouteRule) -> str | None:
    """The provider a rule is about: said, or the qualifier of its model."""
    if rule.provider is not None:
        return rule.provider
    provider, colon, _ = (rule.model or "").partition(":")
    return provider if colon else None


def route(
    state: State,
    account_id: str,
    drafts: Sequence[RuleDraft],
    inline: Mapping[Place, Record],
    around: Surroundings,
) -> Routed | Refusal:
    """Check every rule and put its keys in place. The first thing wrong is named by its path."""
    if len(drafts) > RULES_MAX:
        return invalid("router.rules", f"has more than {RULES_MAX} entries")
    rules: list[RouteRule] = []
    for index, draft in enumerate(drafts):
        rule = _rule(state, account_id, draft, index, inline, around)
        if isinstance(rule, Refusal):
            return rule
        rules.append(rule)
    return Routed(tuple(rules), tuple(inline.values()))


def _rule(
    state: State,
    account_id: str,
    draft: RuleDraft,
    index: int,
    inline: Mapping[Place, Record],
    around: Surroundings,
) -> RouteRule | Refusal:
    path = f"router.rules[{index}]"
    problem = _scope_problem(state, account_id, draft, path, around)
    if problem is not None:
        return problem
    steps: list[RouteStep] = []
    for s, step in enumerate(draft.steps):
        keys = _step(state, account_id, draft, step, (index, s), inline, around)
        if isinstance(keys, Refusal):
            return keys
        steps.append(RouteStep(step.type, keys, step.key_selection_strategy))
    return RouteRule(tuple(steps), draft.provider, draft.model)


def _scope_problem(state: State, account_id: str, draft: RuleDraft, path: str, around: Surroundings) -> Refusal | None:
    if not draft.provider and not draft.model:
        return invalid(path, "needs a provider, a model or both")
    if not 1 <= len(draft.steps) <= STEPS_MAX:
        return invalid(f"{path}.steps", f"must have 1 to {STEPS_MAX} entries")
    provider = provider_of(draft)
    if provider is not None and not is_provider(state, account_id, provider, around):
        return invalid(f"{path}.provider", f"there is no provider {provider!r}, built-in or of this account")
    return None


def is_provider(state: State, account_id: str, provider_id: str, around: Surroundings) -> bool:
    """Whether a provider id means anything to this account."""
    return provider_id in around.builtin_providers or any(
        provider.provider_id == provider_id for provider in state.faces(Provider, account_id)
    )


def _step(
    state: State,
    account_id: str,
    rule: RuleDraft,
    step: StepDraft,
    at: tuple[int, int],
    inline: Mapping[Place, Record],
    around: Surroundings,
) -> tuple[StepKey, ...] | Refusal:
    path = f"router.rules[{at[0]}].steps[{at[1]}]"
    problem = _step_problem(rule, step, path, around)
    if problem is not None:
        return problem
    ids: list[str] = []
    for k, key in enumerate(step.keys):
        id_ = _key_id(state, account_id, rule, key, f"{path}.keys[{k}]", inline.get((*at, k)))
        if isinstance(id_, Refusal):
            return id_
        if id_ in ids:
            return invalid(f"{path}.keys[{k}].id", "appears twice in this step")
        ids.append(id_)
    return tuple(StepKey(id_) for id_ in ids)


def _step_problem(rule: RuleDraft, step: StepDraft, path: str, around: Surroundings) -> Refusal | None:
    provider = provider_of(rule)
    is_builtin = provider is None or provider in around.builtin_providers
    if len(step.keys) > KEYS_MAX:
        return invalid(f"{path}.keys", f"has more than {KEYS_MAX} entries")
    if step.type == "managed" and step.keys:
        return invalid(f"{path}.keys", "must be absent in a managed step")
    if step.type == "managed" and not is_builtin:
        return invalid(f"{path}.type", "a custom provider has no managed credential; use 'user'")
    if step.type == "user" and not step.keys and is_builtin:
        return invalid(f"{path}.keys", "a user step needs at least one provider key")
    return None


def _key_id(
    state: State, account_id: str, rule: RuleDraft, key: StepKeyDraft, path: str, made: Record | None
) -> str | Refusal:
    if key.id is None:
        return _inline_id(key, path, made)
    if key.value is not None or key.name is not None:
        return invalid(path, "has an id and a new key; give one of them")
    face = state.face(ProviderKey, key.id, account_id)
    if face is None:
        return invalid(f"{path}.id", "there is no such provider key")
    provider = provider_of(rule)
    if provider is not None and face.provider_id != provider:
        return invalid(f"{path}.id", f"is a key of {face.provider_id!r}, not of {provider!r}")
    return face.id


def _inline_id(key: StepKeyDraft, path: str, made: Record | None) -> str | Refusal:
    if key.value is None:
        return invalid(f"{path}.value", "a new key needs a value")
    if made is None:
        return invalid(path, "a new key needs a rule with a provider, so that it is known what it opens")
    return made.face.id

"""Which (provider, model) an access key may use, and which routing rule speaks of it.

An entry names a model as `openai/gpt-4o`, `openai:gpt-4o` or `openai:openai/gpt-4o`; an entry of another form names
nothing. Provider ids are exact, models ignore case.
"""

from collections.abc import Sequence

from tollway.wire.access import Access, Rule, Step
from tollway.wire.refusals import Refusal, refuse


def spellings(provider: str, model: str) -> tuple[str, str, str]:
    """The ways to write a model of a provider."""
    return f"{provider}:{model}", f"{provider}/{model}", f"{provider}:{provider}/{model}"


def check(access: Access, provider: str, model: str, *, param: str) -> Refusal | None:
    """None if the key may use this model of this provider. Refusals: `provider_not_allowed`, `model_not_allowed`."""
    if access.providers is not None and provider not in access.providers:
        return refuse(
            "provider_not_allowed",
            f"This access key may not use the provider '{provider}'.",
            param=param,
            details={"provider": provider},
        )
    if access.models is not None and not _is_listed(access.models, provider, model):
        return refuse(
            "model_not_allowed",
            f"This access key may not use the model '{provider}:{model}'.",
            param=param,
            details={"model": f"{provider}:{model}"},
        )
    return None


def _is_listed(entries: tuple[str, ...], provider: str, model: str) -> bool:
    names = spellings(provider, model)
    if any(name in entries for name in names):
        return True
    wanted = {_folded(name, provider) for name in names}
    return any(_folded(entry, provider) in wanted for entry in entries if entry.startswith(provider))


def _folded(entry: str, provider: str) -> str:
    return provider + entry[len(provider) :].lower()


def steps_for(rules: Sequence[Rule], provider: str, model: str) -> tuple[Step, ...] | None:
    """The steps of the rule that fits best, None if none does: a model's rule wins over a provider's, the first one
    among equals."""
    fitting = [(_rank(rule), rule) for rule in rules if _is_about(rule, provider, model)]
    return max(fitting, key=lambda pair: pair[0])[1].steps if fitting else None


def _rank(rule: Rule) -> int:
    return 2 * (rule.model is not None) + (rule.provider is not None)


def _is_about(rule: Rule, provider: str, model: str) -> bool:
    if rule.provider is not None and rule.provider != provider:
        return False
    return rule.model is None or rule.model.lower() == model.lower() or _is_listed((rule.model,), provider, model)

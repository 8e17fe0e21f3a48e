"""What a model can do, against what a request needs: known before a provider is called.

A model that is not in the catalog is believed to be able to do everything.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tollway.router.catalog import Model
from tollway.router.resolve import Target
from tollway.wire.plan import PlanRoute
from tollway.wire.refusals import Refusal, refuse

_DOCUMENTS: Final = frozenset({"pdf", "image"})
"""The price list has many models for images alone that their vendors show documents to, gpt-5 among them."""

_LACKS: Final[Mapping[str, tuple[str, Callable[[Model], bool]]]] = {
    "tools": ("does not call tools", lambda model: not model.is_tool_capable),
    "image": ("does not take images", lambda model: "image" not in model.modalities_input),
    "audio": ("does not take audio", lambda model: "audio" not in model.modalities_input),
    "file": ("does not take files", lambda model: not _DOCUMENTS.intersection(model.modalities_input)),
    "json_schema": ("does not hold to a JSON schema", lambda model: model.is_schema_capable is False),
}
"""Need → what to say of a model that lacks it, and how to know."""


def check(target: Target, question: PlanRoute, *, param: str) -> Refusal | None:
    """None if the model can serve the request. Refusals: `unsupported_parameter`, `input_too_large`."""
    model = target.model
    if model is None:
        return None
    lack = _lack(model, question)
    if lack is not None:
        return _refusal(model, *lack, param=param)
    if model.tokens_window and question.tokens_input > model.tokens_window:
        sentence = f"The input has {question.tokens_input} tokens, the window of '{model.ref}' {model.tokens_window}."
        return refuse("input_too_large", sentence, details={"model": model.ref})
    return None


def _lack(model: Model, question: PlanRoute) -> tuple[str, str] | None:
    if model.is_embedding != (question.surface == "embeddings"):
        return "embeddings", "only embeds" if model.is_embedding else "does not embed"
    for need in question.needs:
        words, is_lacking = _LACKS.get(need, ("", _never))
        if is_lacking(model):
            return need, words
    return None


def _never(_model: Model) -> bool:
    return False


def _refusal(model: Model, need: str, words: str, *, param: str) -> Refusal:
    details = {"model": model.ref, "needs": need}
    return refuse("unsupported_parameter", f"The model '{model.ref}' {words}.", param=param, details=details)

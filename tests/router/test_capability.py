"""What a request needs, against what models can do."""

import pytest

from tests.router.conftest import Router, principal_of
from tollway.wire.access import ProviderKeyRef
from tollway.wire.plan import Plan
from tollway.wire.refusals import Refusal

BLIND = "openai:gpt-3.5-turbo"


@pytest.mark.parametrize("need", ["image", "audio", "file", "json_schema", "tools"])
def test_a_model_that_lacks_what_is_needed_is_refused_before_it_is_called(router: Router, need: str) -> None:
    answer = router.ask(BLIND, needs=(need,))
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.details["needs"]) == ("unsupported_parameter", need)
    assert "gpt-3.5-turbo" in answer.message


def test_a_fallback_that_can_serve_is_taken_instead(router: Router) -> None:
    answer = router.ask(BLIND, "gpt-4o", needs=("image", "tools"))
    assert isinstance(answer, Plan)
    assert [candidate.model for candidate in answer.candidates] == ["gpt-4o"]
    assert [(skipped.model, skipped.reason) for skipped in answer.skipped] == [(BLIND, "unsupported_parameter")]


def test_a_need_that_we_do_not_know_excludes_nobody(router: Router) -> None:
    assert router.candidates("gpt-4o", needs=("reasoning", "telepathy"))


def test_a_model_that_is_not_in_the_catalog_is_believed_to_do_everything(router: Router) -> None:
    own = principal_of(provider_keys=(ProviderKeyRef("aigpk_1", "openai", "mine"),))
    assert router.candidates("openai:some-new-model", needs=("image", "audio"), principal=own)


def test_models_that_only_embed_do_not_chat_and_the_others_do_not_embed(router: Router) -> None:
    assert router.refusal("text-embedding-3-small") == "unsupported_parameter"
    assert router.refusal("gpt-4o", surface="embeddings") == "unsupported_parameter"
    assert router.candidates("simulator:embed", surface="embeddings")


def test_an_input_beyond_the_window_goes_to_a_larger_one(router: Router) -> None:
    answer = router.ask("gpt-4o", "gpt-4.1", tokens_input=200_000)
    assert isinstance(answer, Plan)
    assert [candidate.model for candidate in answer.candidates] == ["gpt-4.1"]
    assert not answer.is_cacheable
    refusal = router.ask("gpt-4o", tokens_input=200_000)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "input_too_large"
    assert "200000" in refusal.message
    assert "128000" in refusal.message

"""Requests that rest on what the provider keeps: nobody's in particular on the operator's credential."""

from typing import Any

import msgspec
import pytest

from tests.router.conftest import Router, principal_of
from tollway.dialects.bridge import read_intake
from tollway.dialects.exchange import Intake
from tollway.wire.access import ProviderKeyRef
from tollway.wire.plan import DialectName, Plan, Surface
from tollway.wire.refusals import Refusal

OWN = principal_of(provider_keys=(ProviderKeyRef("aigpk_1", "openai", "own"),))
DATA = "data:application/pdf;base64,aGVsbG8="


def user(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*parts], **more}


def needs(dialect: DialectName, **body: Any) -> tuple[str, ...]:
    told = {"model": "m", "max_tokens": 9} | body if dialect != "openai_responses" else {"model": "m"} | body
    intake = read_intake(dialect, msgspec.json.encode(told))
    assert isinstance(intake, Intake), intake
    return intake.needs


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_responses", {"input": "Go on", "previous_response_id": "resp_1"}),
        ("openai_responses", {"input": "Go on", "conversation": {"id": "conv_1"}}),
        ("openai_responses", {"prompt": {"id": "pmpt_1"}}),
        ("openai_responses", {"input": "Hello", "background": True}),
        ("openai_responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("openai_responses", {"input": [user({"type": "input_file", "file_id": "file_1"})]}),
        ("openai_responses", {"input": [user({"type": "input_image", "file_id": "file_1"})]}),
        ("openai_chat", {"messages": [user({"type": "file", "file": {"file_id": "file_1"}})]}),
        ("openai_chat", {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}, user()]}),
        ("anthropic_messages", {"messages": [user({"type": "document", "source": {"type": "file", "file_id": "f"}})]}),
        ("anthropic_messages", {"messages": [user({"type": "text", "text": "Hello"})], "container": "container_1"}),
    ],
)
def test_what_the_provider_keeps_is_seen(dialect: DialectName, body: dict[str, Any]) -> None:
    assert {"stored", "stored_file"}.intersection(needs(dialect, **body))


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_responses", {"input": "Hello", "previous_response_id": None, "background": False, "store": True}),
        ("openai_responses", {"input": [user({"type": "input_file", "filename": "a.pdf", "file_data": DATA})]}),
        ("openai_chat", {"messages": [user({"type": "file", "file": {"file_data": DATA, "filename": "a.pdf"}})]}),
        ("anthropic_messages", {"messages": [user({"type": "text", "text": "Hello"})], "container": None}),
    ],
)
def test_what_is_sent_whole_is_not(dialect: DialectName, body: dict[str, Any]) -> None:
    assert not {"stored", "stored_file"}.intersection(needs(dialect, **body))


@pytest.mark.parametrize(
    ("model", "surface", "needs"),
    [
        ("openai:gpt-5", "responses", "stored"),
        ("openai:gpt-5", "chat", "stored"),
        ("openai:gpt-5", "chat", "stored_file"),
        ("openai:gpt-5-pro", "chat", "stored_file"),  # speaks responses alone, and ids are carried there
    ],
)
def test_on_the_operators_credential_it_is_refused_with_the_way_out(
    router: Router, model: str, surface: Surface, needs: str
) -> None:
    answer = router.ask(model, surface=surface, needs=(needs,))
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.details["needs"]) == ("unsupported_parameter", "stored")
    assert "your own provider key" in answer.message


def test_what_is_not_carried_to_another_dialect_is_left_to_the_bridge_which_names_it(router: Router) -> None:
    assert router.candidates("anthropic:claude-sonnet-4-5", surface="responses", needs=("stored",))


def test_on_the_accounts_own_key_it_passes_and_the_managed_candidate_is_left_out(router: Router) -> None:
    answer = router.ask("openai:gpt-5", surface="responses", principal=OWN, needs=("stored",))
    assert isinstance(answer, Plan)
    assert [each.credential_id for each in answer.candidates] == ["aigpk_1"]
    assert [(each.credential_id, each.reason) for each in answer.skipped] == [("managed", "unsupported_parameter")]

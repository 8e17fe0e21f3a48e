"""Every behaviour in every dialect, without a socket."""

import json
from typing import Any

import pytest

from tollway.simulator import BEHAVIOURS
from tollway.simulator.desk import Desk
from tollway.simulator.frames import Frame
from tollway.simulator.http import request
from tollway.simulator.steps import Close, HalfClose, Hang, Opening, Reset, Step, Wait

SAID = [{"role": "user", "content": "hello big wide world"}]
CONTENTS = [{"role": "user", "parts": [{"text": "hello big wide world"}]}]

DIALECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": SAID}),
    "chat stream": ("/v1/chat/completions", {"messages": SAID, "stream": True}),
    "completions": ("/v1/completions", {"prompt": "hello big wide world"}),
    "completions stream": ("/v1/completions", {"prompt": "hello big wide world", "stream": True}),
    "responses": ("/v1/responses", {"input": SAID}),
    "responses stream": ("/v1/responses", {"input": SAID, "stream": True}),
    "embeddings": ("/v1/embeddings", {"input": "hello big wide world"}),
    "messages": ("/v1/messages", {"messages": SAID, "max_tokens": 100}),
    "messages stream": ("/v1/messages", {"messages": SAID, "max_tokens": 100, "stream": True}),
    "count": ("/v1/messages/count_tokens", {"messages": SAID}),
    "gemini": ("/v1beta/models/{model}:generateContent", {"contents": CONTENTS}),
    "gemini stream": ("/v1beta/models/{model}:streamGenerateContent?alt=sse", {"contents": CONTENTS}),
    "gemini array": ("/v1beta/models/{model}:streamGenerateContent", {"contents": CONTENTS}),
    "gemini embed": ("/v1beta/models/{model}:embedContent", {"content": CONTENTS[0]}),
    "gemini batch": ("/v1beta/models/{model}:batchEmbedContents", {"requests": [{"content": CONTENTS[0]}]}),
    "gemini count": ("/v1beta/models/{model}:countTokens", {"contents": CONTENTS}),
}

SILENT = ("fail-timeout", "fail-reset", "fail-close")


def steps(desk: Desk, dialect: str, model: str) -> list[Step]:
    """All that a request leads to, carried out on nothing, and written into the tally."""
    target, body = DIALECTS[dialect]
    raw = json.dumps({"model": model, **body}).encode()
    task = desk.receive(request("POST", target.replace("{model}", model), {}, raw), now_ms=1000)
    done = list(task.script)
    assert task.exchange
    task.exchange.sent_bytes = sum(step.size_bytes for step in done if isinstance(step, Frame))
    desk.close(task.exchange, "cut" if any(isinstance(step, Close | Reset) for step in done) else "end", 2000)
    return done


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_behaviour_runs_to_its_end(dialect: str) -> None:
    for model in BEHAVIOURS:
        done = steps(Desk("x"), dialect, f"{model};bytes=1000")
        kinds = [type(step) for step in done if step != Wait(0)]
        assert kinds[0] is Opening or model in SILENT, model
        assert kinds[-1] in (bytes, Frame, Opening, Wait, Hang, Close, Reset, HalfClose)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_honest_answers_are_billed_alike_in_every_dialect(dialect: str) -> None:
    desk = Desk("x")
    steps(desk, dialect, "echo")
    entry = desk.room.tally.entries()[0]
    output = 0 if "embed" in dialect or "batch" in dialect else 5
    expected = (0, 0) if "count" in dialect else (5, output)
    assert (entry.tokens_input, entry.tokens_output) == expected
    assert entry.outcome == "completed"


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if "stream" in name or "array" in name])
@pytest.mark.parametrize("after", [-1, 0, 2])
def test_a_stream_is_cut_after_so_many_pieces_in_every_dialect(dialect: str, after: int) -> None:
    desk = Desk("x")
    done = steps(desk, dialect, f"fail-cut;after={after}")
    contents = [step for step in done if isinstance(step, Frame) and step.kind == "content"]
    assert len(contents) == max(0, after)
    entry = desk.room.tally.entries()[0]
    assert (entry.outcome, entry.tokens_output) == ("cut", 3 if after == 2 else 0)


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if "stream" in name or "array" in name])
def test_pieces_add_up_to_the_answer_in_every_dialect(dialect: str) -> None:
    done = steps(Desk("x"), dialect, "echo")
    assert sum(step.size_bytes for step in done if isinstance(step, Frame)) == len("hello big wide world")


def test_waits_are_as_long_as_asked() -> None:
    done = steps(Desk("x"), "chat stream", "echo;ttfb=1;ttft=20;delay=300")
    assert [step.delay_ms for step in done if isinstance(step, Wait)] == [1, 20, 300, 300, 300]
    whole = steps(Desk("x"), "chat", "echo;ttfb=1;ttft=20;delay=300;chunks=4")
    assert [step.delay_ms for step in whole if isinstance(step, Wait)] == [921]


def test_slow_takes_a_tenth_of_a_second_between_pieces() -> None:
    done = steps(Desk("x"), "messages stream", "slow")
    assert [step.delay_ms for step in done if isinstance(step, Wait)] == [0, 0, 100, 100, 100]

"""For every dialect and feature: the smallest request that uses it, and the path by which it is named."""

from typing import Any

from tollway.dialects.features import Feature
from tollway.wire.plan import DialectName

Exemplar = tuple[str, dict[str, Any]]
PNG = "data:image/png;base64,AAAA"
TOOL = {"type": "function", "function": {"name": "f"}}
MARK = {"type": "ephemeral"}


def _chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages) or [{"role": "user", "content": "hi"}], **more}


def _user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


_CALLED: Any = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}

CHAT: dict[Feature, Exemplar] = {
    "system": ("messages[0].role", _chat({"role": "system", "content": "s"}, {"role": "user", "content": "q"})),
    "developer": ("messages[0].role", _chat({"role": "developer", "content": "s"}, {"role": "user", "content": "q"})),
    "message_name": ("messages[0].name", _chat({"role": "user", "name": "ann", "content": "q"})),
    "image_url": (
        "messages[0].content[0].image_url",
        _chat(_user({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}})),
    ),
    "image_data": ("messages[0].content[0].image_url", _chat(_user({"type": "image_url", "image_url": {"url": PNG}}))),
    "image_detail": (
        "messages[0].content[0].image_url.detail",
        _chat(_user({"type": "image_url", "image_url": {"url": PNG, "detail": "high"}})),
    ),
    "audio_input": (
        "messages[0].content[0].input_audio",
        _chat(_user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
    ),
    "file_data": (
        "messages[0].content[0].file",
        _chat(_user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}})),
    ),
    "file_id": ("messages[0].content[0].file", _chat(_user({"type": "file", "file": {"file_id": "file_1"}}))),
    "assistant_refusal": (
        "messages[0].refusal",
        _chat({"role": "assistant", "refusal": "no"}, {"role": "user", "content": "q"}),
    ),
    "thinking": (
        "messages[0].reasoning_content",
        _chat({"role": "assistant", "content": "a", "reasoning_content": "t"}, {"role": "user", "content": "q"}),
    ),
    "thinking_signature": (
        "messages[0].reasoning_details",
        _chat(
            {"role": "assistant", "content": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
            {"role": "user", "content": "q"},
        ),
    ),
    "cache_control": (
        "messages[0].content[0].cache_control",
        _chat(_user({"type": "text", "text": "q", "cache_control": MARK})),
    ),
    "unknown_part": ("messages[0].content[0].type", _chat(_user({"type": "video_url", "video_url": {"url": "x"}}))),
    "tools": ("tools[0]", _chat(tools=[TOOL])),
    "tool_strict": (
        "tools[0].function.strict",
        _chat(tools=[{"type": "function", "function": {"name": "f", "strict": True}}]),
    ),
    "tool_choice": ("tool_choice", _chat(tools=[TOOL], tool_choice="required")),
    "tool_choice_named": (
        "tool_choice",
        _chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}}),
    ),
    "one_tool_call_at_a_time": ("parallel_tool_calls", _chat(tools=[TOOL], parallel_tool_calls=False)),
    "one_call_of_one_tool": (
        "parallel_tool_calls",
        _chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}}, parallel_tool_calls=False),
    ),
    "tool_result_media": (
        "messages[2].content",
        _chat(
            {"role": "user", "content": "q"},
            _CALLED,
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "text", "text": "r"}, {"type": "image_url", "image_url": {"url": PNG}}],
            },
        ),
    ),
    "custom_tools": ("tools[0]", _chat(tools=[{"type": "custom", "custom": {"name": "f"}}])),
    "other_tools": ("tools[0]", _chat(tools=[{"type": "web_search"}])),
    "temperature": ("temperature", _chat(temperature=0.5)),
    "temperature_above_1": ("temperature", _chat(temperature=1.5)),
    "top_p": ("top_p", _chat(top_p=0.5)),
    "top_k": ("top_k", _chat(top_k=5)),
    "presence_penalty": ("presence_penalty", _chat(presence_penalty=1)),
    "frequency_penalty": ("frequency_penalty", _chat(frequency_penalty=1)),
    "seed": ("seed", _chat(seed=1)),
    "stop": ("stop", _chat(stop="x")),
    "stop_space": ("stop", _chat(stop=["\n\n"])),
    "choices": ("n", _chat(n=2)),
    "logprobs": ("logprobs", _chat(logprobs=True)),
    "json_object": ("response_format", _chat(response_format={"type": "json_object"})),
    "json_schema": (
        "response_format",
        _chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}),
    ),
    "reasoning_effort": ("reasoning_effort", _chat(reasoning_effort="low")),
    "reasoning_budget": ("reasoning.max_tokens", _chat(reasoning={"max_tokens": 2000})),
    "verbosity": ("verbosity", _chat(verbosity="low")),
    "audio_output": ("audio", _chat(audio={"voice": "alloy", "format": "wav"})),
    "user": ("user", _chat(user="u")),
    "metadata": ("metadata", _chat(metadata={"a": "b"})),
    "hint": ("service_tier", _chat(service_tier="flex")),
    "unknown_field": ("brand_new", _chat(brand_new=1)),
    "unread_field": ("messages[0].brand_new", _chat({"role": "user", "content": "q", "brand_new": 1})),
}


def _input(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "input": list(items) or "hi", **more}


_FUNCTION = {"type": "function", "name": "f", "parameters": {}}

RESPONSES: dict[Feature, Exemplar] = {
    "system": ("instructions", _input(instructions="s")),
    "developer": ("input[0].role", _input({"role": "developer", "content": "s"}, {"role": "user", "content": "q"})),
    "image_url": (
        "input[0].content[0].image_url",
        _input(_user({"type": "input_image", "image_url": "https://x.test/a.png"})),
    ),
    "image_data": ("input[0].content[0].image_url", _input(_user({"type": "input_image", "image_url": PNG}))),
    "image_file_id": ("input[0].content[0].file_id", _input(_user({"type": "input_image", "file_id": "file_1"}))),
    "image_detail": (
        "input[0].content[0].detail",
        _input(_user({"type": "input_image", "image_url": PNG, "detail": "high"})),
    ),
    "file_data": (
        "input[0].content[0].file_data",
        _input(_user({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"})),
    ),
    "file_url": (
        "input[0].content[0].file_url",
        _input(_user({"type": "input_file", "file_url": "https://x.test/a.pdf"})),
    ),
    "file_id": ("input[0].content[0].file_id", _input(_user({"type": "input_file", "file_id": "file_1"}))),
    "assistant_refusal": (
        "input[0].content[0]",
        _input(
            {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "user", "content": "q"},
        ),
    ),
    "thinking": (
        "input[0].summary",
        _input(
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "t"}]},
            {"role": "user", "content": "q"},
        ),
    ),
    "thinking_signature": (
        "input[0].encrypted_content",
        _input(
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
            {"role": "user", "content": "q"},
        ),
    ),
    "cache_control": (
        "input[0].content[0].prompt_cache_breakpoint",
        _input(_user({"type": "input_text", "text": "q", "prompt_cache_breakpoint": {"mode": "explicit"}})),
    ),
    "unknown_part": ("input[0].type", _input({"type": "computer_call", "call_id": "c"})),
    "tools": ("tools[0]", _input(tools=[_FUNCTION])),
    "tool_strict": ("tools[0].strict", _input(tools=[{**_FUNCTION, "strict": True}])),
    "tool_choice": ("tool_choice", _input(tools=[_FUNCTION], tool_choice="required")),
    "tool_choice_named": ("tool_choice", _input(tools=[_FUNCTION], tool_choice={"type": "function", "name": "f"})),
    "one_tool_call_at_a_time": ("parallel_tool_calls", _input(tools=[_FUNCTION], parallel_tool_calls=False)),
    "one_call_of_one_tool": (
        "parallel_tool_calls",
        _input(tools=[_FUNCTION], tool_choice={"type": "function", "name": "f"}, parallel_tool_calls=False),
    ),
    "tool_result_media": (
        "input[2].output",
        _input(
            {"role": "user", "content": "q"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": PNG}]},
        ),
    ),
    "custom_tools": ("tools[0]", _input(tools=[{"type": "custom", "name": "f"}])),
    "other_tools": ("tools[0]", _input(tools=[{"type": "web_search"}])),
    "temperature": ("temperature", _input(temperature=0.5)),
    "temperature_above_1": ("temperature", _input(temperature=1.5)),
    "top_p": ("top_p", _input(top_p=0.5)),
    "logprobs": ("include", _input(include=["message.output_text.logprobs"])),
    "json_object": ("text.format", _input(text={"format": {"type": "json_object"}})),
    "json_schema": (
        "text.format",
        _input(text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}}),
    ),
    "reasoning_effort": ("reasoning.effort", _input(reasoning={"effort": "low"})),
    "verbosity": ("text.verbosity", _input(text={"verbosity": "low"})),
    "user": ("user", _input(user="u")),
    "metadata": ("metadata", _input(metadata={"a": "b"})),
    "hint": ("store", _input(store=True)),
    "stored_state": ("previous_response_id", _input(previous_response_id="resp_1")),
    "unknown_field": ("brand_new", _input(brand_new=1)),
    "unread_field": ("input[0].brand_new", _input({"role": "user", "content": "q", "brand_new": 1})),
}


def _messages(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9000, "messages": list(messages) or [{"role": "user", "content": "hi"}], **more}


_IMAGE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
_SCHEMA: Any = {"type": "json_schema", "schema": {"type": "object"}}
_OURS = {"name": "f", "input_schema": {"type": "object"}}
_USED: Any = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}


def _result(**more: Any) -> dict[str, Any]:
    return _user({"type": "tool_result", "tool_use_id": "t", **more})


MESSAGES: dict[Feature, Exemplar] = {
    "system": ("system", _messages(system="s")),
    "image_url": (
        "messages[0].content[0].source",
        _messages(_user({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}})),
    ),
    "image_data": ("messages[0].content[0].source", _messages(_user({"type": "image", "source": _IMAGE}))),
    "file_data": (
        "messages[0].content[0].source",
        _messages(
            _user({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}})
        ),
    ),
    "file_url": (
        "messages[0].content[0].source",
        _messages(_user({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}})),
    ),
    "stored_file": (
        "messages[0].content[0].source",
        _messages(_user({"type": "document", "source": {"type": "file", "file_id": "file_1"}})),
    ),
    "thinking": (
        "messages[0].content[0].thinking",
        _messages(
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""}]},
            {"role": "user", "content": "q"},
        ),
    ),
    "thinking_signature": (
        "messages[0].content[0].data",
        _messages(
            {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
            {"role": "user", "content": "q"},
        ),
    ),
    "cache_control": (
        "messages[0].content[0].cache_control",
        _messages(_user({"type": "text", "text": "q", "cache_control": MARK})),
    ),
    "unknown_part": ("messages[0].content[0].type", _messages(_user({"type": "container_upload", "file_id": "x"}))),
    "tools": ("tools[0]", _messages(tools=[_OURS])),
    "tool_strict": ("tools[0].strict", _messages(tools=[{**_OURS, "strict": True}])),
    "tool_choice": ("tool_choice", _messages(tools=[_OURS], tool_choice={"type": "any"})),
    "tool_choice_named": ("tool_choice", _messages(tools=[_OURS], tool_choice={"type": "tool", "name": "f"})),
    "one_tool_call_at_a_time": (
        "tool_choice.disable_parallel_tool_use",
        _messages(tools=[_OURS], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
    ),
    "one_call_of_one_tool": (
        "tool_choice.disable_parallel_tool_use",
        _messages(tools=[_OURS], tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
    ),
    "tool_result_media": (
        "messages[2].content[0].content",
        _messages({"role": "user", "content": "q"}, _USED, _result(content=[{"type": "image", "source": _IMAGE}])),
    ),
    "tool_result_error": (
        "messages[2].content[0].is_error",
        _messages({"role": "user", "content": "q"}, _USED, _result(content="bad", is_error=True)),
    ),
    "other_tools": ("tools[0]", _messages(tools=[{"type": "web_search_20250305", "name": "web_search"}])),
    "temperature": ("temperature", _messages(temperature=0.5)),
    "top_p": ("top_p", _messages(top_p=0.5)),
    "top_k": ("top_k", _messages(top_k=5)),
    "stop": ("stop_sequences", _messages(stop_sequences=["x"])),
    "json_schema": ("output_config.format", _messages(output_config={"format": _SCHEMA})),
    "reasoning_effort": ("output_config.effort", _messages(output_config={"effort": "low"})),
    "reasoning_budget": ("thinking", _messages(thinking={"type": "enabled", "budget_tokens": 2000})),
    "user": ("metadata.user_id", _messages(metadata={"user_id": "u"})),
    "hint": ("service_tier", _messages(service_tier="auto")),
    "stored_state": ("thread", _messages(thread={"type": "create"})),
    "unknown_field": ("brand_new", _messages(brand_new=1)),
    "unread_field": ("messages[0].brand_new", _messages({"role": "user", "content": "q", "brand_new": 1})),
}


def _contents(*contents: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "contents": list(contents) or [{"role": "user", "parts": [{"text": "hi"}]}], **more}


def _parts(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def _config(**config: Any) -> dict[str, Any]:
    return _contents(generationConfig=config)


_DECLARED = {"functionDeclarations": [{"name": "f"}]}
_CALL = _parts({"functionCall": {"name": "f", "args": {}}}, role="model")


def _calling(**config: Any) -> dict[str, Any]:
    return _contents(tools=[_DECLARED], toolConfig={"functionCallingConfig": config})


def _returned(**more: Any) -> dict[str, Any]:
    return _contents(_parts({"text": "q"}), _CALL, _parts({"functionResponse": {"name": "f", **more}}))


GEMINI: dict[Feature, Exemplar] = {
    "system": ("systemInstruction", _contents(systemInstruction={"parts": [{"text": "s"}]})),
    "image_url": (
        "contents[0].parts[0].fileData",
        _contents(_parts({"fileData": {"fileUri": "https://x.test/a.png", "mimeType": "image/png"}})),
    ),
    "image_data": (
        "contents[0].parts[0].inlineData",
        _contents(_parts({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})),
    ),
    "audio_input": (
        "contents[0].parts[0].inlineData",
        _contents(_parts({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}})),
    ),
    "file_data": (
        "contents[0].parts[0].inlineData",
        _contents(_parts({"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}})),
    ),
    "file_url": (
        "contents[0].parts[0].fileData",
        _contents(_parts({"fileData": {"fileUri": "https://x.test/a.pdf", "mimeType": "application/pdf"}})),
    ),
    "thinking": (
        "contents[0].parts[0].thought",
        _contents(_parts({"text": "t", "thought": True}, role="model"), _parts({"text": "q"})),
    ),
    "thinking_signature": (
        "contents[0].parts[0].thoughtSignature",
        _contents(_parts({"text": "a", "thoughtSignature": "AAAA"}, role="model"), _parts({"text": "q"})),
    ),
    "unknown_part": ("contents[0].parts[0]", _contents(_parts({"executableCode": {"code": "x"}}))),
    "tools": ("tools[0]", _contents(tools=[_DECLARED])),
    "tool_choice": ("toolConfig.functionCallingConfig", _calling(mode="ANY")),
    "tool_choice_named": ("toolConfig.functionCallingConfig", _calling(mode="ANY", allowedFunctionNames=["f"])),
    "tool_result_media": (
        "contents[2].parts[0].functionResponse.parts",
        _returned(response={"result": "r"}, parts=[{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]),
    ),
    "tool_result_error": (
        "contents[2].parts[0].functionResponse.response.error",
        _returned(response={"error": "bad"}),
    ),
    "other_tools": ("tools[0]", _contents(tools=[{"googleSearch": {}}])),
    "temperature": ("generationConfig.temperature", _config(temperature=0.5)),
    "temperature_above_1": ("generationConfig.temperature", _config(temperature=1.5)),
    "top_p": ("generationConfig.topP", _config(topP=0.5)),
    "top_k": ("generationConfig.topK", _config(topK=5)),
    "presence_penalty": ("generationConfig.presencePenalty", _config(presencePenalty=1)),
    "frequency_penalty": ("generationConfig.frequencyPenalty", _config(frequencyPenalty=1)),
    "seed": ("generationConfig.seed", _config(seed=1)),
    "stop": ("generationConfig.stopSequences", _config(stopSequences=["x"])),
    "stop_space": ("generationConfig.stopSequences", _config(stopSequences=["\n"])),
    "choices": ("generationConfig.candidateCount", _config(candidateCount=2)),
    "logprobs": ("generationConfig.responseLogprobs", _config(responseLogprobs=True)),
    "json_object": ("generationConfig.responseMimeType", _config(responseMimeType="application/json")),
    "json_schema": (
        "generationConfig.responseMimeType",
        _config(responseMimeType="application/json", responseSchema={"type": "OBJECT"}),
    ),
    "reasoning_effort": (
        "generationConfig.thinkingConfig.thinkingLevel",
        _config(thinkingConfig={"thinkingLevel": "LOW"}),
    ),
    "reasoning_budget": (
        "generationConfig.thinkingConfig.thinkingBudget",
        _config(thinkingConfig={"thinkingBudget": 2000}),
    ),
    "audio_output": ("generationConfig.responseModalities", _config(responseModalities=["AUDIO"])),
    "metadata": ("labels", _contents(labels={"a": "b"})),
    "hint": ("safetySettings", _contents(safetySettings=[{"category": "x", "threshold": "y"}])),
    "stored_state": ("cachedContent", _contents(cachedContent="cachedContents/1")),
    "unknown_field": ("brandNew", _contents(brandNew=1)),
    "unread_field": ("contents[0].parts[0].brandNew", _contents(_parts({"text": "q", "brandNew": 1}))),
}

EXEMPLARS: dict[DialectName, dict[Feature, Exemplar]] = {
    "openai_chat": CHAT,
    "openai_responses": RESPONSES,
    "anthropic_messages": MESSAGES,
    "gemini": GEMINI,
}

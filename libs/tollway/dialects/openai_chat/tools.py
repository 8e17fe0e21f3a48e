"""Tools of OpenAI chat: on offer, chosen and called. Functions take JSON, custom tools free text."""

from typing import Final

import msgspec

from tollway.dialects.dialect import Target
from tollway.dialects.features import Use, one_call
from tollway.dialects.openai_chat import schema
from tollway.dialects.reading import Uses, is_given, object_schema, present, read_cache
from tollway.wire import chat

# -- reading -----------------------------------------------------------------------------------------------------------


def read_tools(request: schema.Request, uses: Uses) -> tuple[chat.Tool, ...]:
    """Those on offer; where the choice is among some of them, these."""
    choice = request.tool_choice
    some = choice.allowed_tools if isinstance(choice, schema.ToolChoice) else None
    tools = [
        found
        for number, tool in enumerate(request.tools or ())
        if (found := _read_tool(tool, f"tools[{number}]", uses)) is not None
    ]
    allowed = {tool.name for tool in some.tools} if some is not None else None
    return tuple(tool for tool in tools if allowed is None or tool.name in allowed)


def _read_tool(tool: schema.Tool, path: str, uses: Uses) -> chat.Tool | None:
    if tool.custom is not None:
        return _read_custom(tool.custom, path, uses)
    uses.append(Use("tools" if tool.function is not None else "other_tools", path))
    if tool.function is None:
        return None
    cache = read_cache(tool.cache_control, f"{path}.cache_control", uses)
    function = tool.function
    if function.strict:
        uses.append(Use("tool_strict", f"{path}.function.strict"))
    parameters = function.parameters if is_given(function.parameters) else chat.NOTHING
    return chat.Tool(function.name, function.description or "", parameters, function.strict, cache)


def _read_custom(tool: schema.CustomSpec, path: str, uses: Uses) -> chat.Tool:
    uses.append(Use("custom_tools", path))
    given = tool.format.grammar if tool.format is not None else None
    grammar = chat.Grammar(given.syntax, given.definition) if given is not None else None
    return chat.Tool(tool.name, tool.description or "", is_custom=True, grammar=grammar)


def read_choice(choice: str | schema.ToolChoice | None, uses: Uses) -> chat.ToolChoice | None:
    """What may or must be called. A choice among some tools is one among all that `read_tools` left."""
    if choice is None:
        return None
    if isinstance(choice, schema.ToolChoice) and choice.allowed_tools is None:
        uses.append(Use("tool_choice_named" if choice.name else "other_tools", "tool_choice"))
        return chat.ToolChoice("named", choice.name) if choice.name else None
    some = choice.allowed_tools if isinstance(choice, schema.ToolChoice) else None
    mode = _MODES.get(choice if isinstance(choice, str) else some.mode if some is not None else "")
    is_known = mode is not None and (some is None or all(tool.name for tool in some.tools))
    uses.append(Use("tool_choice" if is_known else "other_tools", "tool_choice"))
    return chat.ToolChoice(mode) if mode is not None else None


_MODES: Final[dict[str, chat.ChoiceMode]] = {"auto": "auto", "none": "none", "required": "required"}


def read_parallel(request: schema.Request, uses: Uses) -> bool | None:
    """Whether several calls may come at once."""
    if request.parallel_tool_calls is False and request.tools:
        uses.append(one_call("parallel_tool_calls", is_of_one_tool=_is_one_demanded(request)))
    return request.parallel_tool_calls


def _is_one_demanded(request: schema.Request) -> bool:
    choice = request.tool_choice
    if isinstance(choice, schema.ToolChoice):
        return choice.allowed_tools is None
    return choice == "required" and len(request.tools or ()) == 1


def read_call(call: schema.Call, number: int = 0) -> chat.ToolCall | None:
    """A call of a request or an answer, or the part of one that a delta has; None for other types."""
    call_id = call.id or f"call_{number}"
    if call.custom is not None:
        return chat.ToolCall(call_id, call.custom.name or "", call.custom.input or "", is_custom=True)
    if call.function is None:
        return None
    return chat.ToolCall(call_id, call.function.name or "", _read_arguments(call.function.arguments))


def _read_arguments(arguments: object) -> str:
    """JSON text; some providers send the object."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


# -- writing -----------------------------------------------------------------------------------------------------------


def write_tool(tool: chat.Tool, target: Target) -> dict[str, object]:
    """A tool on offer."""
    if tool.is_custom:
        return {"type": "custom", "custom": _write_custom(tool)}
    function = present(
        name=tool.name,
        description=tool.description or None,
        parameters=object_schema(tool.parameters) if is_given(tool.parameters) else None,
        strict=tool.is_strict,
    )
    cache = tool.cache if "cache_control" in target.carries else None
    marked = {} if cache is None else {"cache_control": present(type="ephemeral", ttl=cache.ttl or None)}
    return {"type": "function", "function": function, **marked}


def _write_custom(tool: chat.Tool) -> dict[str, object]:
    grammar = None
    if tool.grammar is not None:
        grammar = {"type": "grammar", "grammar": msgspec.to_builtins(tool.grammar)}
    return present(name=tool.name, description=tool.description or None, format=grammar)


def write_choice(conversation: chat.Conversation) -> object:
    """Nothing where there are no tools: some providers refuse that."""
    choice = conversation.tool_choice
    if choice is None or not conversation.tools:
        return None
    if choice.mode != "named":
        return choice.mode
    is_custom = any(tool.is_custom for tool in conversation.tools if tool.name == choice.name)
    kind = "custom" if is_custom else "function"
    return {"type": kind, kind: {"name": choice.name}}


def write_call(call: chat.ToolCall, *, empty: str = "") -> dict[str, object]:
    """A call, whole; as it opens in a stream if its arguments are empty. `empty`: what stands for no arguments."""
    if call.is_custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments or empty}
    return {"id": call.id, "type": "function", "function": function}


def write_more(call: chat.ToolCall, text: str) -> dict[str, object]:
    """More of a call's arguments in a stream."""
    return {"custom": {"input": text}} if call.is_custom else {"function": {"arguments": text}}

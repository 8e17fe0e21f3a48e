"""Tools of OpenAI responses: on offer and chosen. Functions take JSON, custom tools free text."""

from typing import Final

from tollway.dialects.features import Use, one_call
from tollway.dialects.openai_responses import schema
from tollway.dialects.reading import Uses, is_given, object_schema, present
from tollway.wire import chat

# -- reading -----------------------------------------------------------------------------------------------------------


def read_tools(request: schema.Request, uses: Uses) -> tuple[chat.Tool, ...]:
    """Those on offer; where the choice is among some of them, these."""
    choice = request.tool_choice
    some = choice.tools if isinstance(choice, schema.ToolChoice) else None
    tools = [
        found
        for number, tool in enumerate(request.tools or ())
        if (found := _read_tool(tool, f"tools[{number}]", uses)) is not None
    ]
    allowed = {tool.name for tool in some} if some is not None else None
    return tuple(tool for tool in tools if allowed is None or tool.name in allowed)


def _read_tool(tool: schema.Tool, path: str, uses: Uses) -> chat.Tool | None:
    if tool.type == "custom":
        uses.append(Use("custom_tools", path))
        return chat.Tool(tool.name or "", tool.description or "", is_custom=True, grammar=_read_grammar(tool.format))
    if tool.strict:
        uses.append(Use("tool_strict", f"{path}.strict"))
    uses.append(Use("tools" if tool.type == "function" else "other_tools", path))
    if tool.type != "function":
        return None
    parameters = tool.parameters if is_given(tool.parameters) else chat.NOTHING
    return chat.Tool(tool.name or "", tool.description or "", parameters, tool.strict)


def _read_grammar(given: schema.CustomFormat | None) -> chat.Grammar | None:
    if given is None or given.syntax is None:
        return None
    return chat.Grammar(given.syntax, given.definition or "")


def read_choice(choice: str | schema.ToolChoice | None, uses: Uses) -> chat.ToolChoice | None:
    """What may or must be called. A choice among some tools is one among all that `read_tools` left."""
    if choice is None:
        return None
    if isinstance(choice, schema.ToolChoice) and choice.type != "allowed_tools":
        is_ours = choice.type in _OURS
        uses.append(Use("tool_choice_named" if is_ours else "other_tools", "tool_choice"))
        return chat.ToolChoice("named", choice.name or "") if is_ours else None
    some = choice.tools or [] if isinstance(choice, schema.ToolChoice) else []
    mode = _MODES.get(choice if isinstance(choice, str) else choice.mode or "")
    is_known = mode is not None and all(tool.type in _OURS for tool in some)
    uses.append(Use("tool_choice" if is_known else "other_tools", "tool_choice"))
    return chat.ToolChoice(mode) if mode is not None else None


_OURS: Final = ("function", "custom")
_MODES: Final[dict[str, chat.ChoiceMode]] = {"auto": "auto", "none": "none", "required": "required"}


def read_parallel(request: schema.Request, uses: Uses) -> bool | None:
    """Whether several calls may come at once."""
    if request.parallel_tool_calls is False and request.tools:
        uses.append(one_call("parallel_tool_calls", is_of_one_tool=_is_one_demanded(request)))
    return request.parallel_tool_calls


def _is_one_demanded(request: schema.Request) -> bool:
    choice = request.tool_choice
    if isinstance(choice, schema.ToolChoice):
        return choice.type != "allowed_tools"
    return choice == "required" and len(request.tools or ()) == 1


# -- writing -----------------------------------------------------------------------------------------------------------


def write_tool(tool: chat.Tool) -> dict[str, object]:
    """For a request. Here strictness is the default, so it is always said."""
    if tool.is_custom:
        return write_custom(tool)
    return present(
        type="function",
        name=tool.name,
        description=tool.description or None,
        parameters=object_schema(tool.parameters),
        strict=bool(tool.is_strict),
    )


def echo_tool(tool: chat.Tool) -> dict[str, object]:
    """For an answer, as it was asked."""
    if tool.is_custom:
        return write_custom(tool)
    return {
        "type": "function",
        "name": tool.name,
        "parameters": tool.parameters if is_given(tool.parameters) else None,
        "strict": tool.is_strict,
        **present(description=tool.description or None),
    }


def write_custom(tool: chat.Tool) -> dict[str, object]:
    """A custom tool."""
    given = tool.grammar
    grammar = {"type": "grammar", "syntax": given.syntax, "definition": given.definition} if given is not None else None
    return present(type="custom", name=tool.name, description=tool.description or None, format=grammar)


def write_choice(conversation: chat.Conversation) -> object:
    """For a request, and for the echo in an answer."""
    choice = conversation.tool_choice
    if choice is None or not conversation.tools:
        return None
    if choice.mode != "named":
        return choice.mode
    is_custom = any(tool.is_custom for tool in conversation.tools if tool.name == choice.name)
    return {"type": "custom" if is_custom else "function", "name": choice.name}

"""Tools that run at the provider, and what they cost beside tokens.

On the operator's credential nothing is served that its hold does not cover. Web searches that the provider counts have
a price each: a request holds for as many as it allows, or for SEARCHES_MAX, which is then sent as its limit. Any other
tool that is billed per use, and any that is not known here, is billed for all we know: who has no price per request
does not get it. Tools that run at the client pass, and so do those that cost tokens alone. On the account's own key
everything passes.

Sources, read 2026-11: Anthropic "Tool use: server tools" and "Pricing"; OpenAI "Responses: tools" and "Pricing:
built-in tools"; Google "Gemini API: tools" and "Pricing"; xAI "Live search"; OpenRouter "Web search" and "PDF inputs";
Groq "Compound"; Alibaba "Web search"; Venice "API reference".
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeGuard

import msgspec

from tollway.dialects import bodies
from tollway.dialects.bodies import Fields
from tollway.wire.plan import DialectName, Surface
from tollway.wire.refusals import Refusal

SEARCHES_MAX: Final = 10
"""Searches that a request may make which sets no limit itself."""
TOOLS_NAMED_MAX: Final = 8

Kind = Literal["free", "search", "billed"]


class Hosted(msgspec.Struct, frozen=True):
    """What a request may have its provider do. `searches`: so many at most, that are counted and billed each; `billed`:
    the names of other tools that are billed per use, or unknown."""

    searches: int = 0
    billed: tuple[str, ...] = ()


NOTHING: Final = Hosted()


class _Place(msgspec.Struct):
    type: str | None = None


class _Tool(msgspec.Struct):
    type: Any = None
    max_uses: Any = None
    environment: Any = None
    tools: msgspec.Raw = msgspec.Raw(b"null")


_tools: Final = msgspec.json.Decoder(list[_Tool] | None)
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])
_object: Final = msgspec.json.Decoder(Fields)
_keyed: Final[msgspec.json.Decoder[list[dict[str, Any]] | None]] = msgspec.json.Decoder(list[dict[str, Any]] | None)

# -- what the dialects call their tools --------------------------------------------------------------------------------

_FREE: Final[dict[DialectName, frozenset[str]]] = {
    "openai_chat": frozenset(("function", "custom", "mcp")),
    "openai_responses": frozenset(
        ("function", "custom", "local_shell", "apply_patch", "computer_use_preview", "computer", "mcp", "tool_search")
    ),
    "anthropic_messages": frozenset(
        (
            "custom",
            "bash",
            "text_editor",
            "computer",
            "memory",
            "web_fetch",
            "tool_search_tool_regex",
            "tool_search_tool_bm25",
            "mcp_toolset",
        )
    ),
    "gemini": frozenset(("functionDeclarations", "urlContext", "codeExecution", "computerUse")),
}
"""Those that run at the client or cost tokens alone, without the date of their version."""

_SEARCHES: Final[dict[DialectName, frozenset[str]]] = {
    "openai_responses": frozenset(("web_search",)),
    "anthropic_messages": frozenset(("web_search",)),
    "gemini": frozenset(("googleSearch", "googleSearchRetrieval")),
}
"""Searches that are counted in the answer at one price. OpenAI's preview has another for models that do not reason."""

_FIELDS: Final = (
    "web_search_options",
    "search_parameters",
    "plugins",
    "compound_custom",
    "enable_search",
    "venice_parameters",
)
"""Top-level fields by which the chat providers are asked to search, or to read documents, for a fee."""
_OFF: Final = frozenset((b"null", b"false", b"[]"))

_DATE: Final = re.compile(r"_(\d{8}|\d{4}_\d{2}_\d{2})$")
_NAME: Final = re.compile(r"[A-Za-z][\w.:-]{0,63}", re.ASCII)
_SNAKE: Final = re.compile(r"_([a-z])")

# -- what a request asks for -------------------------------------------------------------------------------------------


def asked(dialect: DialectName, surface: Surface, fields: Fields) -> Hosted:
    """What this request may have its provider do for a fee. A name that is none is told by its place."""
    if surface == "count_tokens":
        return NOTHING
    named = [name for name in _FIELDS if name in fields and bytes(fields[name]) not in _OFF]
    if "tools" not in fields:
        return Hosted(0, tuple(named)) if named and dialect != "gemini" else NOTHING
    try:
        found = list(_kinds(dialect, fields["tools"], "tools"))
    except msgspec.DecodeError:
        return Hosted(0, ("tools",))
    billed = sorted({name for kind, name, _ in found if kind == "billed"}.union(named if dialect != "gemini" else ()))
    tools = [tool for kind, _, tool in found if kind == "search"]
    return Hosted(_searches(dialect, tools, fields) if tools else 0, tuple(billed[:TOOLS_NAMED_MAX]))


def _kinds(dialect: DialectName, raw: msgspec.Raw, path: str) -> Iterator[tuple[Kind, str, _Tool]]:
    if dialect == "gemini":
        yield from _keyed_kinds(raw, path)
        return
    for number, tool in enumerate(_tools.decode(raw) or ()):
        place = f"{path}[{number}]"
        if dialect == "openai_responses" and tool.type == "namespace":
            yield from _kinds(dialect, tool.tools, f"{place}.tools")
        else:
            yield _kind(dialect, tool), _shown(tool.type, place), tool


def _keyed_kinds(raw: msgspec.Raw, path: str) -> Iterator[tuple[Kind, str, _Tool]]:
    """Gemini's tools are fields of an object, in either of two spellings."""
    for number, tool in enumerate(_keyed.decode(raw) or ()):
        for key in (key for key, value in tool.items() if value is not None):
            name = _SNAKE.sub(lambda match: match[1].upper(), key)
            yield _kind_of("gemini", name), _shown(name, f"{path}[{number}]"), _Tool()


def _kind(dialect: DialectName, tool: _Tool) -> Kind:
    if dialect == "anthropic_messages" and tool.type is None:
        return "free"
    if dialect == "openai_responses" and tool.type == "shell" and _is_local(tool.environment):
        return "free"
    return _kind_of(dialect, _DATE.sub("", tool.type)) if isinstance(tool.type, str) else "billed"


def _kind_of(dialect: DialectName, name: str) -> Kind:
    if name in _FREE.get(dialect, _FREE["openai_chat"]):
        return "free"
    return "search" if name in _SEARCHES.get(dialect, ()) else "billed"


def _is_local(environment: object) -> bool:
    return isinstance(environment, dict) and msgspec.convert(environment, _Place).type == "local"


def _shown(name: object, place: str) -> str:
    """The tool's name, without its date; its place, if that is none, since it is the caller's own text."""
    bare = _DATE.sub("", name) if isinstance(name, str) else ""
    return bare if _NAME.fullmatch(bare) else place


# -- how many searches -------------------------------------------------------------------------------------------------


def _searches(dialect: DialectName, tools: list[_Tool], fields: Fields) -> int:
    """Gemini bills the prompt once, however often it searched."""
    if dialect == "gemini":
        return 1
    if dialect == "openai_responses":
        return _limit(_value(fields.get("max_tool_calls")))
    return sum(_limit(tool.max_uses) for tool in tools)


def _limit(given: object) -> int:
    """The request's own limit. None at all is held for as if it had not been given: not every provider may mean it."""
    return given if _is_limit(given) and given else SEARCHES_MAX


def _is_limit(given: object) -> TypeGuard[int]:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def _value(raw: msgspec.Raw | None) -> object:
    """None for what cannot be read, such as a number beyond every range."""
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def limited(dialect: DialectName, body: bytes) -> bytes:
    """For the operator's credential: a body whose searches have the limit that was held for. The very same bytes where
    they have one, and where the dialect has no place for it."""
    if b"web_search" not in body and not _ESCAPED.search(body):
        return body
    fields = bodies.read_fields(body)
    if isinstance(fields, Refusal) or not asked(dialect, _ANY, fields).searches:
        return body
    if dialect == "openai_responses":
        if _is_limit(_value(fields.get("max_tool_calls"))):
            return body
        return bodies.join_fields({**fields, "max_tool_calls": _OURS})
    if dialect == "anthropic_messages":
        tools = _limited_tools(fields["tools"])
        return body if tools is None else bodies.join_fields({**fields, "tools": tools})
    return body


_ESCAPED: Final = re.compile(rb"\\u00[567]")
"""A letter that need not be escaped: no client writes so, but who would hide a search."""
_ANY: Final[Surface] = "chat"
_OURS: Final = msgspec.Raw(b"%d" % SEARCHES_MAX)


def _limited_tools(raw: msgspec.Raw) -> msgspec.Raw | None:
    """The tools with a limit on every search; None where they all have one already."""
    before, kinds = _raws.decode(raw), [kind for kind, _, _ in _kinds("anthropic_messages", raw, "")]
    after = [_limited_tool(tool) if kind == "search" else tool for tool, kind in zip(before, kinds, strict=True)]
    is_same = all(one is other for one, other in zip(before, after, strict=True))
    return None if is_same else msgspec.Raw(msgspec.json.encode(after))


def _limited_tool(raw: msgspec.Raw) -> msgspec.Raw:
    """The very same where it has a limit. What it says twice it says once, as it was read."""
    fields = _object.decode(raw)
    if not _is_limit(_value(fields.get("max_uses"))):
        fields["max_uses"] = _OURS
    written = msgspec.Raw(bodies.join_fields(fields))
    return raw if bodies.compact(written) == bodies.compact(raw) else written

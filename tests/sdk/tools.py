"""What the tests' agents can do, and how each dialect describes it."""

import json
from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel

TASK: Final = 'call:weather({"city": "Oslo"}) and call:weather({"city": "Rome"})'
"""The simulator's models call what is spelled, so this is two calls in parallel."""

HEARD: Final = ("The tool answered: filed", 'The tool answered: {"result":"filed"}')
"""What the model says when the last tool has led nowhere further; Gemini's hears results as objects."""

CITIES: Final = {"Oslo": "7 degrees", "Rome": "21 degrees, now call:average()"}


class Weather(BaseModel):
    """Structured output, with a list of objects in it."""

    city: str
    degrees: int
    hours: list["Hour"]


class Hour(BaseModel):
    """A part of it."""

    at: str
    is_wet: bool


def weather(city: str) -> str:
    """The weather in a city."""
    return CITIES[city]


def average() -> str:
    """The average of what was heard."""
    return "14 degrees, then call:file()"


def file() -> str:
    """File the report."""
    return "filed"


TOOLS: Final[dict[str, Callable[..., str]]] = {"weather": weather, "average": average, "file": file}

_CITY: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_SCHEMAS: Final = {"weather": _CITY, "average": _NOTHING, "file": _NOTHING}

FOR_CHAT: Final[list[Any]] = [
    {"type": "function", "function": {"name": name, "description": TOOLS[name].__doc__, "parameters": schema}}
    for name, schema in _SCHEMAS.items()
]
FOR_RESPONSES: Final[list[Any]] = [
    {"type": "function", "name": name, "description": TOOLS[name].__doc__, "parameters": schema, "strict": False}
    for name, schema in _SCHEMAS.items()
]
FOR_MESSAGES: Final[list[Any]] = [
    {"name": name, "description": TOOLS[name].__doc__, "input_schema": schema} for name, schema in _SCHEMAS.items()
]


def use(name: str, arguments: str) -> str:
    """Call a tool as a model asked for it: its arguments are JSON."""
    return TOOLS[name](**json.loads(arguments))

"""What the bodies of all resources share: camelCase, strict types, unknown fields refused; times as RFC 3339."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from tollway.ingress.management.durations import read_duration
from tollway.wire.money import nusd_of_dollars

Name = Annotated[str, Field(max_length=255)]
NameRequired = Annotated[str, Field(min_length=1, max_length=255)]
Description = Annotated[str, Field(max_length=255)]
Metadata = Annotated[str, Field(max_length=4_096)]
ProviderId = Annotated[str, Field(min_length=1, max_length=255, examples=["openai"])]
Id = Annotated[str, Field(min_length=1, max_length=255)]
Count = Annotated[int, Field(ge=1, le=2**53)]
YEAR_MAX: Final = 9998
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DOLLARS: Final = re.compile(r"\d{1,20}(\.\d{1,20})?", re.ASCII)
_NO_INSTANT: Final = "is not an RFC 3339 time with a time zone, such as 2026-01-31T12:00:00Z"


class Asked(BaseModel):
    """A request body. Unknown fields are refused: a misspelt one must not pass for a default."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, validate_by_name=False, validate_by_alias=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    def given(self) -> dict[str, Any]:
        """The fields that the caller sent, null included."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Shown(BaseModel):
    """A response body."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", validate_by_name=True, validate_by_alias=False,
        serialize_by_alias=True, json_schema_serialization_defaults_required=True,
    )  # fmt: skip


class Ref(Shown):
    """Somebody or something else."""

    id: str
    uri: str


class Listed(Shown):
    """A page: its own address and that of the next one, null on the last."""

    uri: str
    next_page_uri: str | None


def instant_ms(text: str) -> int:
    """Unix milliseconds of an RFC 3339 time. Raises ValueError."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(_NO_INSTANT)
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(_NO_INSTANT) from None
    if moment.year > YEAR_MAX:
        raise ValueError(_NO_INSTANT)
    return int(moment.timestamp() * 1000)


def _checked_instant(text: str) -> str:
    instant_ms(text)
    return text


def _checked_duration(text: str) -> str:
    read_duration(text)
    return text


def _checked_secret(text: str) -> str:
    """A newline that was pasted along is the commonest reason why a good key does not work."""
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ValueError("must be printable ASCII without blanks or line ends around it, as a header carries it")
    return text


def _checked_dollars(text: str) -> str:
    if not _DOLLARS.fullmatch(text):
        raise ValueError("is not an amount of dollars such as 25 or 0.50")
    if nusd_of_dollars(text) <= 0:
        raise ValueError("must be more than zero")
    return text


Secret = Annotated[
    str,
    Field(min_length=1, max_length=8_192),
    AfterValidator(_checked_secret),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 8_192, "pattern": r"^[!-~]([ -~]*[!-~])?$"}),
]
"""A provider's key."""
Instant = Annotated[str, AfterValidator(_checked_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Duration = Annotated[
    str,
    AfterValidator(_checked_duration),
    WithJsonSchema({"type": "string", "pattern": r"^[1-9][0-9]{0,3}s$", "examples": ["30s", "2m"]}),
]
Dollars = Annotated[
    str,
    AfterValidator(_checked_dollars),
    WithJsonSchema({"type": "string", "pattern": r"^[1-9][0-9]{0,5}(\.[0-9]{1,9})?$", "examples": ["25.00"]}),
]


def rfc3339(ms: int) -> str:
    """A time as this API writes it: UTC, to the millisecond where it matters."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def maybe_rfc3339(ms: int | None) -> str | None:
    """The same for a time that may be unknown."""
    return None if ms is None else rfc3339(ms)


Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time in a response."""

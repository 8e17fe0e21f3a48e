"""`GET /v1/models` and its kin, in the shape of whoever asks."""

from typing import Any

from .frames import encode
from .http import JSON, Request, head
from .models import models
from .refusals import REFUSALS, WRITERS, Family
from .steps import Opening, Script

_CREATED_S = 1_735_689_600
_CREATED = "2025-01-01T00:00:00Z"

Row = dict[str, Any]


def listing(request: Request) -> Script | None:
    """Answer a request for the models, None if it is not one."""
    collection, _, model = request.path.strip("/").partition("/models")
    if request.method not in ("GET", "HEAD") or collection not in ("v1", "v1beta"):
        return None
    family = _family(collection, request)
    rows: list[Row] = models()["models"]
    return _one(family, rows, model.strip("/")) if model.strip("/") else _sent(200, _LISTS[family](rows))


def _family(collection: str, request: Request) -> Family:
    if collection == "v1beta":
        return "gemini"
    return "anthropic" if "anthropic-version" in request.headers else "openai"


def _one(family: Family, rows: list[Row], model: str) -> Script:
    found = next((row for row in rows if row["id"] == model.lower()), None)
    if found is None:
        cell = REFUSALS["fail-404"].cell(family)
        return _sent(cell.status, WRITERS[family](cell, "req_listing", None))
    return _sent(200, _ROWS[family](found))


def _sent(status: int, value: Any) -> Script:
    body = encode(value)
    yield Opening(status, head(status, JSON, length=len(body)))
    yield body


def _openai_row(row: Row) -> Row:
    return {"id": row["id"], "object": "model", "created": _CREATED_S, "owned_by": "simulator"}


def _anthropic_row(row: Row) -> Row:
    return {
        "type": "model",
        "id": row["id"],
        "display_name": row["display_name"],
        "created_at": _CREATED,
        "lifecycle": "active",
        "max_input_tokens": row["context_window"],
        "max_tokens": row["output_limit"],
    }


def _gemini_row(row: Row) -> Row:
    methods = ["embedContent"] if row["kind"] == "embedding" else ["generateContent", "countTokens"]
    return {
        "name": f"models/{row['id']}",
        "version": "1",
        "displayName": row["display_name"],
        "inputTokenLimit": row["context_window"],
        "outputTokenLimit": row["output_limit"],
        "supportedGenerationMethods": methods,
    }


def _openai_list(rows: list[Row]) -> Row:
    return {"object": "list", "data": [_openai_row(row) for row in rows]}


def _anthropic_list(rows: list[Row]) -> Row:
    ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"], "has_more": False}
    return {"data": [_anthropic_row(row) for row in rows], **ends}


def _gemini_list(rows: list[Row]) -> Row:
    return {"models": [_gemini_row(row) for row in rows]}


_ROWS = {"openai": _openai_row, "anthropic": _anthropic_row, "gemini": _gemini_row}
_LISTS = {"openai": _openai_list, "anthropic": _anthropic_list, "gemini": _gemini_list}

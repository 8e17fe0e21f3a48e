"""Refusals as the management plane says them: `{"errorCode", "statusCode", "msg", "details"}`."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.routing import Match

from tollway.wire.refusals import Refusal, refuse


class ErrorShape(BaseModel):
    """Every error of this API."""

    model_config = ConfigDict(title="Error")

    errorCode: str  # noqa: N815  the API's own word
    statusCode: int  # noqa: N815
    msg: str
    details: dict[str, str]


class Refused(Exception):  # noqa: N818  a refusal, not a fault: it ends an endpoint early
    """Carries a refusal out of an endpoint."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


_BY_STATUS: Final = {404: "not_found", 405: "method_not_allowed", 401: "unauthorized"}
_PLACES: Final = frozenset({"body", "query", "path"})


def error_body(refusal: Refusal) -> dict[str, Any]:
    """The body of an error."""
    details = dict(refusal.details)
    if refusal.param and refusal.param not in details:
        details[refusal.param] = refusal.message
    return {
        "errorCode": refusal.code,
        "statusCode": refusal.rule.status,
        "msg": refusal.message,
        "details": details,
    }


def error_headers(refusal: Refusal) -> dict[str, str]:
    """What goes with it."""
    headers = {"www-authenticate": 'Bearer realm="tollway"'} if refusal.rule.status == 401 else {}
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(refusal.retry_after_s)
    return headers


def say(refusal: Refusal) -> JSONResponse:
    """A refusal as an answer."""
    return JSONResponse(error_body(refusal), refusal.rule.status, error_headers(refusal))


async def on_refused(_request: Request, error: Exception) -> JSONResponse:
    """A refusal that ended an endpoint."""
    return say(error.refusal if isinstance(error, Refused) else refuse("internal_error"))


async def on_invalid(_request: Request, error: Exception) -> JSONResponse:
    """A body or parameter that is not as its shape says. Values are not repeated: they may be secrets."""
    problems = error.errors() if isinstance(error, RequestValidationError) else ()
    details = {_path(problem["loc"]): _words(problem["type"], problem["msg"]) for problem in problems}
    first = next(iter(details.items()), ("", "The request is not valid."))
    return say(refuse("validation", f"{first[0]}: {first[1]}".removeprefix(": "), details=details))


_WORDS: Final = {"extra_forbidden": "is not a field here", "missing": "is required"}


def _words(kind: str, message: str) -> str:
    """What is wrong, in a few words."""
    return _WORDS.get(kind) or message.removeprefix("Value error, ")


def _path(location: Sequence[str | int]) -> str:
    """`router.rules[0].steps` from what pydantic says."""
    path = ""
    for part in location[1:] if location and location[0] in _PLACES else location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"


async def on_http(request: Request, error: Exception) -> JSONResponse:
    """No such address or method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    answer = say(refuse(_BY_STATUS.get(status, "validation" if status < 500 else "internal_error")))
    if status == 405:
        answer.headers["allow"] = ", ".join(_allowed(request))
    return answer


def _allowed(request: Request) -> list[str]:
    """Every method of an address: FastAPI keeps a route for each, and names the first one's only."""
    scope: dict[str, Any] = {**request.scope, "path_params": {}}
    methods = {
        method
        for route in request.app.routes
        if route.matches(scope)[0] is not Match.NONE
        for method in getattr(route, "methods", None) or ()
    }
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))

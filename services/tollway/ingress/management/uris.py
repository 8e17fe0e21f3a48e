"""Addresses of resources, absolute, so that a script can follow `uri` and `nextPageUri` as they are."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
BASE: Final = "/api"


class Uris:
    """Made from the operator's public address, else from the Host header of the request if it is one."""

    def __init__(self, public_url: str, scope: Mapping[str, Any]) -> None:
        self._root = public_url.rstrip("/") or _root_of(scope)

    def to(self, path: str, **query: str | int | None) -> str:
        """The address of a path below /api."""
        given = {name: value for name, value in query.items() if value is not None}
        return f"{self._root}{BASE}{path}" + (f"?{urlencode(given)}" if given else "")


def _root_of(scope: Mapping[str, Any]) -> str:
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    return f"{scope.get('scheme', 'http')}://{host}" if _HOST.fullmatch(host) else ""

"""The management API as the commands use it: where it is, with which key, and errors as one sentence.

`TOLLWAY_URL` and `TOLLWAY_API_KEY` name a gateway anywhere; without them the `credentials.json` of a local data
directory (`TOLLWAY_DATA_DIR`, ./.tollway) does.
"""

import json
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import httpx
import typer

from tollway.cli.errors import CommandError

TIMEOUT_S: Final = 30.0
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
EXIT_REFUSED: Final = 2
ID: Final = re.compile(r"[\w.:@+-]{1,255}", re.ASCII)
Body = dict[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Limit = Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)]


class Remote:
    """One gateway's management API."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **query: Any) -> Body:
        """Raises CommandError for anything but an answer."""
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Body) -> Body:
        """Create, or have something done."""
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: Body) -> Body:
        """Change what is given."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        """Delete."""
        self._call("DELETE", path)

    def items(self, path: str, wrapper: str, limit: int, **query: Any) -> list[Body]:
        """A list over as many pages as it takes."""
        found: list[Body] = []
        page = self.get(path, limit=min(limit, 100), **query)
        while True:
            found += page[wrapper]
            if len(found) >= limit or not page["nextPageUri"]:
                return found[:limit]
            page = self.get(page["nextPageUri"])

    def _call(self, method: str, path: str, **more: Any) -> Body:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.TransportError as error:
            raise CommandError(f"No gateway answers at {self._client.base_url} ({type(error).__name__}).") from None
        if not answer.is_success:
            raise refused(answer)
        return answer.json() if answer.content else {}


def refused(answer: httpx.Response) -> CommandError:
    """The API's own words, and which fields they are about."""
    try:
        error: Body = answer.json()
        details: Mapping[str, str] = error.get("details") or {}
        sentence = str(error["msg"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return CommandError(f"The gateway said {answer.status_code}, not as the management API does.")
    more = "".join(f"\n  {path}: {why}" for path, why in details.items() if f"{path}: {why}" != sentence)
    if answer.status_code == 401:
        more += "\n  Set TOLLWAY_API_KEY to an API key (twapi-…) of this gateway."
    return CommandError(f"{sentence}{more}", exit_code=EXIT_REFUSED)


@contextmanager
def remote(transport: httpx.BaseTransport | None = None) -> Generator[Remote]:
    """Connect as the environment says. Raises CommandError when it says nothing."""
    url, key = where(os.environ)
    is_near = urlsplit(url).hostname in LOOPBACK
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=not is_near, transport=transport
    ) as client:
        yield Remote(client)


def where(environ: Mapping[str, str]) -> tuple[str, str]:
    """Address of the management API, and a key for it."""
    credentials = _local_credentials(Path(environ.get("TOLLWAY_DATA_DIR") or ".tollway"))
    asked, near = _api_url(environ.get("TOLLWAY_URL", "")), _api_url(credentials.get("apiUrl", ""))
    url = asked or near
    key = environ.get("TOLLWAY_API_KEY", "").strip() or (credentials.get("apiKey", "") if url == near else "")
    if not url or not key:
        raise CommandError(
            "Set TOLLWAY_URL and TOLLWAY_API_KEY, or run this beside the data directory of `tollway up`."
            + (f" (The key of {near} is not sent to {url}.)" if asked and near else "")
        )
    if not key.isascii() or not key.isprintable():
        raise CommandError("TOLLWAY_API_KEY has characters that no key has.")
    return url, key


def _api_url(text: str) -> str:
    """The address of the management API; "" for none."""
    if not text:
        return ""
    try:
        parts = httpx.URL(text)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise CommandError(f"TOLLWAY_URL: {text!r} is not an address such as http://127.0.0.1:8080.")
    return text if text.rstrip("/").endswith("/api") else f"{text.rstrip('/')}/api"


def at(path: str, id_: str) -> str:
    """The address of one resource. An id is one segment: `keys delete ../providers/x` must not delete a provider."""
    if not ID.fullmatch(id_) or not id_.strip("."):
        raise CommandError(f"{id_!r} is not an id.")
    return f"{path}/{id_}"


def _local_credentials(data: Path) -> dict[str, str]:
    try:
        found = json.loads((data / "credentials.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]  any JSON

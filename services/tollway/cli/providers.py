"""Whether the operator has a provider: without any, the simulator is it, so that the first request works at once."""

import os
import re
from collections.abc import Mapping
from typing import Final

from tollway.dialects.addresses import managed
from tollway.dialects.built_in import BUILT_IN

SIMULATOR_URL: Final = "TOLLWAY_SIMULATOR_BASE_URL"
OWN_NAMING: Final = re.compile(r"TOLLWAY_(?!STRIPE_)[A-Z0-9_]+_(API_KEY|BASE_URL)")
NO: Final = frozenset({"0", "false", "no", "off"})


def is_simulator_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether to start a simulator: `TOLLWAY_SIMULATOR` says so (1 or 0), else when there is no provider at all."""
    env = os.environ if environ is None else environ
    if env.get(SIMULATOR_URL):
        return False  # somebody runs one already
    told = env.get("TOLLWAY_SIMULATOR", "").lower()
    return told not in NO if told else not _has_provider(env)


def _has_provider(env: Mapping[str, str]) -> bool:
    is_named = any(value and OWN_NAMING.fullmatch(name) for name, value in env.items())
    return is_named or bool(managed(BUILT_IN, env))

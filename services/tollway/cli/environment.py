"""What each process of `tollway up` is told. Providers' keys go to the adapter and to nobody else."""

import re
from collections.abc import Mapping
from typing import Final

PASSED_ON: Final = frozenset(
    {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH"}
)
PASSED_ON_PREFIXES: Final = ("LC_", "PYTHON", "OTEL_", "TOLLWAY_")
PRIVATE: Final[dict[str, tuple[str, ...]]] = {
    r"TOLLWAY_(API_KEY|PROVIDER_KEY)": (),  # the operator's own, for commands
    r"TOLLWAY_STRIPE_[A-Z0-9_]+": ("ingress",),
    r"TOLLWAY_[A-Z0-9_]+_API_KEY": ("adapter",),
    r"TOLLWAY_PEPPER(_FILE)?": ("auth",),
    r"TOLLWAY_MASTER_KEY(_[A-Z0-9_]+)?": ("adapter",),
    r"TOLLWAY_DATABASE_URL(_FILE)?": ("auth", "ledger"),
}
"""Variables of ours that only some roles may see, by the first pattern that fits. Every variable that is not ours is
the adapter's."""


def environment_of(role: str, base: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """The environment of one process: what it may see of ours, and what it is told."""
    return {name: value for name, value in base.items() if may_see(role, name)} | dict(told)


def may_see(role: str, name: str) -> bool:
    """Whether a role may see a variable. The adapter sees all but those that are another role's."""
    owners = next((owners for pattern, owners in PRIVATE.items() if re.fullmatch(pattern, name)), None)
    if owners is not None:
        return role in owners
    return role == "adapter" or name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)

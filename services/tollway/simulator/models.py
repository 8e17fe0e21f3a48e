"""The table of models: what each name does. Their prices and limits are in `models.json`.

Fields of `models.json`: `version` of the price list, `provider`, and `models`, a row each with `id`, `display_name`,
`context_window` and `output_limit` in tokens, `modalities_input` and `modalities_output`, `tools`, `structured_output`
and `reasoning` (true or false), `kind` (`chat` or `embedding`) and `prices` in nano-dollars per million tokens:
`input`, `output`, `cache_read`, `cache_write`. The row of `simulator:echo;chunks=20` is that of `echo`: what follows
a `;` or `?` is not part of the name.
"""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import Struct

from . import hostile
from .behaviours import Call, honest, refused
from .refusals import REFUSALS
from .steps import Script
from .tally import Bills, Outcome


class Behaviour(Struct, frozen=True, kw_only=True):
    """A row: the script, what it leads to, what a provider bills for it, and the options it implies.

    `bills` of an outcome that is cut short: `all` as if complete, `sent` in proportion to what went out, `nothing`.
    A behaviour that is not truthful is silent or lies about its usage.
    """

    script: Callable[[Call], Script]
    outcome: Outcome = "completed"
    bills: Bills = "all"
    implies: dict[str, Any] = {}
    is_thinking: bool = False
    is_runaway: bool = False
    is_truthful: bool = True


def _fault(script: Callable[[Call], Script], bills: Bills = "nothing") -> Behaviour:
    return Behaviour(script=script, outcome="failed", bills=bills)


def _lie(script: Callable[[Call], Script]) -> Behaviour:
    return Behaviour(script=script, is_truthful=False)


_HONEST: dict[str, Behaviour] = {
    "echo": Behaviour(script=honest),
    "slow": Behaviour(script=honest, implies={"delay_ms": 100}),
    "think": Behaviour(script=honest, is_thinking=True),
    "embed": Behaviour(script=honest),
    "runaway": Behaviour(script=honest, is_runaway=True, implies={"size_bytes": 100_000, "chunks": 500}),
}

_DEAD: dict[str, Behaviour] = {
    "fail-timeout": _fault(hostile.silent),
    "fail-reset": _fault(hostile.reset),
    "fail-close": _fault(hostile.closed),
    "fail-cut": _fault(hostile.CUT, "sent"),
    "fail-cut-reset": _fault(hostile.CUT_RESET, "sent"),
    "fail-stall": _fault(hostile.STALL, "sent"),
    "fail-half-close": _fault(hostile.HALF_CLOSE, "sent"),
}

_WRONG: dict[str, Behaviour] = {
    "fail-garbage": _fault(hostile.garbage, "sent"),
    "fail-error-in-stream": _fault(hostile.error_inside, "sent"),
    "fail-no-done": _fault(hostile.endless, "sent"),
    "fail-content-policy": _fault(hostile.blocked),
    "fail-html": _fault(hostile.html),
    "fail-empty": _fault(hostile.empty),
    "fail-redirect": _fault(hostile.redirect),
    "fail-filter": Behaviour(script=hostile.filtered),
    "fail-no-usage": _lie(hostile.without_usage),
    "fail-usage-huge": _lie(hostile.lying(output=10**12)),
    "fail-usage-negative": _lie(hostile.lying(output=-100)),
    "fail-usage-zero": _lie(hostile.lying(output=0, inputs=0)),
    "fail-usage-nan": _lie(hostile.lying(output=hostile.NAN, inputs=hostile.NAN)),
    "fail-usage-2e63": _lie(hostile.lying(output=2**63)),
    "fail-usage-float": _lie(hostile.lying(output=12.5)),
    "fail-usage-text": _lie(hostile.lying(output="many")),
    "fail-usage-null": _lie(hostile.lying(output=None)),
}

_UNKIND: dict[str, Behaviour] = {
    "fail-drip": Behaviour(script=hostile.dripped),
    "fail-slow-headers": Behaviour(script=hostile.slow_headers),
    "fail-long-line": Behaviour(script=hostile.long_line),
    "fail-utf8": Behaviour(script=hostile.invalid_utf8),
    "fail-crlf": Behaviour(script=hostile.mixed_line_ends),
    "fail-split": Behaviour(script=hostile.split),
    "fail-gzip-bomb": Behaviour(script=hostile.gzip_bomb),
}

_REFUSING: dict[str, Behaviour] = {name: _fault(refused) for name in REFUSALS} | {"fail-status": _fault(refused)}

BEHAVIOURS: Final[dict[str, Behaviour]] = {**_HONEST, **_REFUSING, **_DEAD, **_WRONG, **_UNKIND}
"""Model name → what it does."""


@cache
def models() -> dict[str, Any]:
    """The price list, as in `models.json`."""
    return msgspec.json.decode(files("tollway.simulator").joinpath("models.json").read_bytes())

"""What an operator may tune of the street door."""

from collections.abc import Mapping

import msgspec

from tollway.ingress.admission import IN_FLIGHT_MAX
from tollway.settings import number
from tollway.wire.credit import HOLDS_AT_ONCE_MAX

HEARTBEAT_S = 15.0
SEND_STALL_S = 60.0


class Tuning(msgspec.Struct, frozen=True):
    """`requests_max`: carried at once. `holds_ahead_max`: holds that may wait for requests of one kind, 0: none.
    `heartbeat_s`: silence after which a stream's caller gets a comment, 0: never. `send_stall_s`: how long a caller may
    take next to nothing of what is ready for it."""

    requests_max: int = IN_FLIGHT_MAX
    holds_ahead_max: int = HOLDS_AT_ONCE_MAX
    heartbeat_s: float = HEARTBEAT_S
    send_stall_s: float = SEND_STALL_S


def read_tuning(environ: Mapping[str, str]) -> Tuning:
    """From the environment. Raises SettingsError with the variable's name."""
    return Tuning(
        int(number(environ, "TOLLWAY_REQUESTS_MAX", IN_FLIGHT_MAX)) or IN_FLIGHT_MAX,
        int(number(environ, "TOLLWAY_HOLDS_AHEAD", HOLDS_AT_ONCE_MAX)),
        number(environ, "TOLLWAY_HEARTBEAT_S", HEARTBEAT_S),
        number(environ, "TOLLWAY_SEND_STALL_S", SEND_STALL_S) or SEND_STALL_S,
    )

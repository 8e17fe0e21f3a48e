"""Credit that was set aside for a request which will not be served is given back, also if the ledger is away just now.

A hold that nobody ends waits for its deadline: half an hour for a stream. The ledger that died may have opened it
before it could say so.
"""

import asyncio
from typing import Final

from tollway.bus import Bus
from tollway.wire import subjects
from tollway.wire.credit import HoldEnded, VoidHold
from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal

PAUSES_S: Final = (0, 0.5, 1, 2, 4, 8, 15, 30)
TIMEOUT_S: Final = 2.0


async def give_back(bus: Bus, command: VoidHold, context: Context) -> None:
    """Void the hold; again, until the ledger says that it is over or was never opened. If it never says so, the hold
    ends at its deadline. The command that opened it is dead by its own deadline before this one is sent."""
    subject = subjects.hold(subjects.journal_of(command.account_id))
    for pause_s in PAUSES_S:
        await asyncio.sleep(pause_s)
        reply = await bus.ask(subject, command, HoldEnded, timeout_s=TIMEOUT_S, context=context)
        if not (isinstance(reply, Refusal) and reply.rule.is_retryable):
            return

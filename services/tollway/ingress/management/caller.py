"""Who asks, and what endpoints share: the bus, and a way to ask it that ends the endpoint on a refusal."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import msgspec
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from tollway.bus import Bus
from tollway.ingress.management.errors import Refused
from tollway.ingress.management.gate import BY
from tollway.ingress.management.uris import Uris
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.access import ApiPrincipal
from tollway.wire.queries import GetBalance, GetOverview, GetRequest, ListTransactions, ListUsage
from tollway.wire.refusals import Refusal, refuse

T = TypeVar("T", bound=msgspec.Struct)
Question = GetBalance | GetOverview | GetRequest | ListTransactions | ListUsage
Settled = Callable[[str], Awaitable[None]]
MANAGE_TIMEOUT_S: Final = 10.0
QUERY_TIMEOUT_S: Final = 10.0
bearer: Final = HTTPBearer(bearerFormat="twapi-…", description="An API key.", auto_error=False)


async def at_once(_account_id: str) -> None:
    """Nothing is waited for."""


class Desk:
    """One request: its caller, its addresses, and the services behind."""

    def __init__(self, request: Request) -> None:
        by: ApiPrincipal | None = request.scope.get(BY)
        if by is None:
            raise Refused(refuse("unauthorized"))
        self.by = by
        self.bus: Bus = request.app.state.bus
        self.telemetry: Telemetry = request.app.state.telemetry
        self._settled: Settled = request.app.state.settled
        self.uris = Uris(request.app.state.public_url, request.scope)

    async def manage(self, command: msgspec.Struct, reply: type[T]) -> T:
        """Ask auth. Ends the endpoint on a refusal."""
        return await self.ask(subjects.AUTH_MANAGE, command, reply, MANAGE_TIMEOUT_S)

    async def query(self, command: Question, reply: type[T]) -> T:
        """Ask the ledger, once it knows of all that was answered before. Ends the endpoint on a refusal."""
        await self._settled(command.account_id)
        return await self.ask(subjects.LEDGER_QUERY, command, reply, QUERY_TIMEOUT_S)

    async def ask(self, subject: str, command: msgspec.Struct, reply: type[T], timeout_s: float) -> T:
        """Ask anybody. Ends the endpoint on a refusal."""
        answer = await self.bus.ask(subject, command, reply, timeout_s=timeout_s)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer

    def must_operate(self) -> None:
        """Ends the endpoint unless an operator asks."""
        if self.by.role != "operator":
            raise Refused(refuse("forbidden", "Only an operator's API key may do that."))


def _desk(request: Request, _token: Annotated[object, Depends(bearer)]) -> Desk:
    return Desk(request)


AtDesk = Annotated[Desk, Depends(_desk)]

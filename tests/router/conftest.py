"""The real catalog, compiled once, and short ways to ask the router something."""

import msgspec
import pytest

from tollway.listing.read import read_price_list, rows_of_list
from tollway.router.catalog import Catalog, compile_catalog
from tollway.router.domain import plan
from tollway.router.health import Health
from tollway.router.offers import Offers
from tollway.router.ways import View
from tollway.wire.access import Principal
from tollway.wire.plan import Plan, PlanRoute, Surface
from tollway.wire.refusals import Refusal

NOW_MS = 1_000_000


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    price_list = read_price_list({})
    return compile_catalog(price_list.entries, rows_of_list(price_list.entries), price_list.version)


class Router:
    """A router whose operator has credentials for some providers."""

    def __init__(self, catalog: Catalog, *managed: str) -> None:
        self.health = Health(catalog.rows)
        self.view = View(catalog, Offers(dict.fromkeys(managed, "default"), is_known=True), self.health)

    def ask(
        self,
        *models: str,
        principal: Principal | None = None,
        surface: Surface = "chat",
        draw: int = 0,
        **question: object,
    ) -> Plan | Refusal:
        asked = PlanRoute(principal or principal_of(), models, surface)
        asked = msgspec.structs.replace(asked, **question)
        answer = plan(self.view, asked, now_ms=NOW_MS, draw=draw)
        return answer if isinstance(answer, Refusal) else answer.plan

    def candidates(self, *models: str, **question: object) -> list[str]:
        """`provider:model credential` of each candidate, in order."""
        answer = self.ask(*models, **question)  # pyright: ignore[reportArgumentType]
        assert isinstance(answer, Plan), answer
        return [f"{c.provider}:{c.model_sent} {c.credential_id}" for c in answer.candidates]

    def refusal(self, *models: str, **question: object) -> str:
        answer = self.ask(*models, **question)  # pyright: ignore[reportArgumentType]
        assert isinstance(answer, Refusal), answer
        return answer.code


def principal_of(**fields: object) -> Principal:
    return Principal("ac_1", "aigk_1", 1, **fields)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def router(catalog: Catalog) -> Router:
    return Router(catalog, "simulator", "openai", "anthropic")

"""Puts the management plane together: FastAPI behind the gate."""

from typing import Final, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tollway.bus import Bus
from tollway.ingress.management import errors
from tollway.ingress.management.accounts import account_router
from tollway.ingress.management.caller import Settled, at_once
from tollway.ingress.management.catalog import catalog_router
from tollway.ingress.management.credits import credits_router
from tollway.ingress.management.docs import docs_router
from tollway.ingress.management.gate import ASGI, Gate
from tollway.ingress.management.payments.routes import open_payments, payment_router
from tollway.ingress.management.platform import platform_router
from tollway.ingress.management.resources import resource_router
from tollway.ingress.management.routing import routing_router
from tollway.ingress.management.settings import settings_router
from tollway.ingress.management.uris import BASE
from tollway.ingress.management.usage import usage_router
from tollway.settings import Settings
from tollway.telemetry import Telemetry

PUBLIC_URL: Final = "TOLLWAY_PUBLIC_URL"
ROUTERS: Final = (
    routing_router,
    resource_router,
    settings_router,
    credits_router,
    payment_router,
    usage_router,
    catalog_router,
    account_router,
    platform_router,
    docs_router,
)


def management_app(bus: Bus, settings: Settings, telemetry: Telemetry, *, settled: Settled = at_once) -> ASGI:
    """An ASGI application for every path that starts with /api. `settled`: what a question to the ledger waits for."""
    return Gate(cast("ASGI", api(bus, settings, telemetry, settled)), bus)


def api(bus: Bus, settings: Settings, telemetry: Telemetry, settled: Settled = at_once) -> FastAPI:
    """The FastAPI application itself, which trusts that the gate stands before it."""
    app = FastAPI(
        title="Tollway management API",
        version="1",
        docs_url=None,
        openapi_url=f"{BASE}/openapi.json",
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.bus, app.state.telemetry, app.state.settled = bus, telemetry, settled
    app.state.public_url = settings.environ.get(PUBLIC_URL, "")
    app.state.payments = open_payments(settings)
    for make in ROUTERS:
        app.include_router(make(), prefix=BASE)
    app.add_exception_handler(errors.Refused, errors.on_refused)
    app.add_exception_handler(RequestValidationError, errors.on_invalid)
    app.add_exception_handler(HTTPException, errors.on_http)
    return app

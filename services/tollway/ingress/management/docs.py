"""The interactive documentation, with no other server: Swagger UI's files come out of a wheel of this installation."""

from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from tollway.ingress.management.errors import Refused
from tollway.ingress.management.uris import BASE
from tollway.wire.refusals import refuse

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE: Final = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tollway management API</title>
<link rel="stylesheet" href="{BASE}/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{BASE}/docs/swagger-ui-bundle.js"></script>
<script src="{BASE}/docs/start.js"></script>
</body>
</html>
"""
START: Final = f"""window.ui = SwaggerUIBundle({{
  url: "{BASE}/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
}});
"""
FILES: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def docs_router() -> APIRouter:
    """The page and its three files."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/docs", page, methods=["GET"])
    router.add_api_route("/docs/{name}", file, methods=["GET"])
    return router


async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers={"content-security-policy": CSP})


async def file(name: str) -> Response:
    """One of its files."""
    if name == "start.js":
        return Response(START, media_type="text/javascript")
    if name not in FILES:
        raise Refused(refuse("not_found"))
    return Response(_bundled(name), media_type=FILES[name], headers={"cache-control": "public, max-age=86400"})


@cache
def _bundled(name: str) -> bytes:
    return (resources.files("fastapi_offline") / "static" / name).read_bytes()

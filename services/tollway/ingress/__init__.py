"""The only street door: HTTP in, the life of one request, HTTP out. Nothing durable is kept here.

Read in this order: `domain` (pure: how much to hold, how long, what to answer with), `surfaces` (which address speaks
which dialect), `exchange` (one HTTP exchange), `admission` (who is let in when), `replay` (one call per
Idempotency-Key), `waiting` (pieces on their way to an exchange), `giving_back` (holds that nobody needs), `life` (the
request from its head to its receipt),
`telling` (what is logged, traced and counted of it), `models` (`/v1/models` and token counts), `app` (the ASGI
application), `server` (uvicorn), `handlers` (the service), `management` (the `/api` plane).
"""

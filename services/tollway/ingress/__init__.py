"""The only street door: HTTP in, the life of one request, HTTP out. Nothing durable is kept here.

Read in this order
    domain       pure: how much to hold, how long, what to answer with. `counting`: an exact count where that matters.
    surfaces     which address speaks which dialect.
    exchange     one HTTP exchange.
    admission    who is let in when. `tuning`: what of it the operator may set.
    replay       one call per Idempotency-Key. `following`: who asked again gets its answer.
    waiting      pieces on their way to an exchange.
    giving_back  holds that nobody needs. `ahead` and `stock`: holds opened ahead of need.
    journey      what is known of a request on its way.
    life         the request from its head to its receipt. `way_out`: the answer, piece by piece.
    telling      what is logged, traced and counted of it. `lately`: who reads usage right after finds it settled.
    models       `/v1/models` and token counts.
    app          the ASGI application. `protocol` and `server`: uvicorn behind a guard.
    handlers     the service. `management`: the `/api` plane.
"""

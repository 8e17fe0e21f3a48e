"""The router: what to try, in which order. It owns the catalog, the health of targets, and the strategies.

Read in this order
    catalog      the price list compiled: models by name, prices as integers.
    resolve      names asked to targets; near names for those unknown. `auto`: the choice left to us.
    scope        which (provider, model) an access key and a rule speak of.
    capability   what a model can do, against what a request needs.
    offers       what the adapters can reach with the operator's credentials, from their beats.
    ways         a target's candidates: rule steps, keys, prices.
    strategies   orders among candidates.
    health       which targets are out, half open or back. `ordering`: what that does to an order.
    domain       question in, plan or refusal out. `models`: what `/v1/models` shows.
    room         what one process remembers and hears. `handlers`: its questions.

All but the last line is pure.
"""

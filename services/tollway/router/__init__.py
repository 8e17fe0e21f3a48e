"""The router: what to try, in which order. It owns the catalog, the health of targets, and the strategies.

Read in this order
    catalog     the price list compiled: models by name, prices as integers. Pure.
    scope       which (provider, model) an access key and a rule speak of. Pure.
    offers      what the adapters can reach with the operator's credentials, from their beats. Pure.
    health      which targets are out, half open or back. Pure.
    resolve     names asked to models; near names for those unknown. Pure.
    domain      question in, plan or refusal out. Pure.
    models      what `/v1/models` shows. Pure.
    handlers    the room: subjects, timers, the bus.
"""

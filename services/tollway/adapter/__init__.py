"""The provider adapter: runs the attempts of a request, streams the answer back, and writes down what it used.

Read in this order
    attempts      which candidate next, pure: fault in, decision out; limits and the retry budget.
    billing       what each ending of a request is billed, pure; `counting` counts what a provider did not report.
    upstream      the only HTTP client.
    credentials   what opens a provider: the operator's keys from the environment, accounts' keys by unsealing.
    answering     pieces on their way to ingress: numbers, window, signs of life.
    pursuit       the life of one piece of work: attempts in order, the answer, the fact, the end.
    publishing    facts from the outbox to the USAGE stream until the ledger has settled them.
    handlers      the room: what it hears, what it remembers; ends with the HANDLERS table.
"""

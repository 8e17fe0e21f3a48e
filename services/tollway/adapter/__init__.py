"""The provider adapter: runs the attempts of a request, streams the answer back, and writes down what it used.

Read in this order
    attempts      which candidate next, pure: fault in, decision out; limits and the retry budget.
    billing       what each ending of a request is billed, pure; `counting` counts what a provider did not report.
    upstream      the only HTTP client. `arriving`: an answer on its way in; `connection`: what it arrives on.
    credentials   what opens a provider: the operator's keys from the environment, accounts' keys by unsealing.
    endings       how a stream is ended by us where credit runs out; `extending` asks for more before that.
    rescuing      going on with a stream that broke, on another candidate, where the account allows it.
    verdicts      what a client is told when nothing served, pure.
    answering     pieces on their way to ingress: numbers, window, signs of life.
    running       one attempt while it runs, and the row that comes of it; `attempting` makes it.
    pursuit       the life of one piece of work: attempts in order, the answer, the fact, the end.
    telling       spans, metrics and health notes.
    probing       trying a custom provider out for its owner.
    publishing    facts from the outbox to the USAGE stream until the ledger has settled them.
    handlers      the room: what it hears, what it remembers; ends with the HANDLERS table.
"""

"""The wire formats of the field, and the bridge between any two of them. Pure: bytes in, bytes and facts out.

Read in this order
    rows        what a provider is to a dialect: `ProviderRow`; `providers` has the rows.
    exchange    what goes over the bridge: `Intake`, `Outgoing`, `Served`, `Step`.
    faults      classes of provider errors and what each means for failover; `classify` and `waits` tell the class and
                the stated wait of an error answer.
    bodies      JSON bodies: limits, errors that name a path, top-level fields changed without touching the rest.
    sse         the incremental splitter of event streams.
    bridge      the face of this package, below.
    features    what requests use, and its fate where a provider's dialect has no such thing.
    supported   fields that a provider does not take, by its row or by the list of an account's own provider.
    services    service tiers asked for by fields; `hosted`: tools that run at the provider, and which of them it bills.
    fold        a stream's events to the whole answer.
    attempt     one attempt, whatever the dialects; `passing` (one dialect on both sides), `hub` (two chat dialects, by
                way of `tollway.wire.chat`) and `embedding` say how bytes become other bytes.
    openai_chat, openai_responses, anthropic_messages, gemini
                one package per chat dialect, all of one shape: schema, intake, request_reader, request_writer, answer,
                stream, errors.
    openai_completions, openai_embeddings
                one module each; they pass through (Gemini's embeddings are in `gemini.embeddings`).

The face, all importable from `tollway.dialects.bridge`

    read_intake(dialect, body, *, surface=None) -> Intake | Refusal
        Ingress. Strict: limits, duplicate keys, NaN, UTF-8, path-named errors (Refusal.param is the path).
        Intake: model, models (fallbacks), is_stream, tokens_output_wanted (int | None), choices, needs, is_caching,
        text_bytes (bytes of the body that may be tokens), media (parts that are not text), is_usage_asked, service,
        searches, billed_tools.

    bridge(client, provider, row, *, surface=None, request_id="", now_ms=0, is_reasoning=True) -> Bridge | Refusal
        One per attempt.
        Refusal: no way leads from this client dialect to that provider dialect (embeddings to chat).
    bridge.request(body, *, model_sent, tokens_output_cap, is_stream, headers=NONE) -> Outgoing | Refusal
        Outgoing(path, body, headers, dropped). The address is row.base_url + path (path may carry a query);
        `headers` has content-type and what the dialect demands (anthropic-version); credentials are the adapter's.
        `headers` given are the caller's, lower case: the dialect picks the ones it may pass on.
        `tokens_output_cap` None: no limit is set beyond the caller's own.
        Must be called before answer() or stream(): it remembers what the client asked for.
    bridge.answer(status, body) -> Served | Fault            # status 2xx; others go to fault()
        Served(body, usage, stop_reason, model_answered, is_content_filter, text_bytes, notes)
    bridge.fault(status, headers, body, *, now_ms) -> Fault  # an error answer, classified; headers lower case
    bridge.stream() -> StreamBridge
    bridge.failed(error_class, message) -> Fault             # connect, timeout, reset: no answer to read

    StreamBridge.feed(chunk) -> list[Step]                   # mostly one step; empty when there is nothing to say
    StreamBridge.finish() -> Step                            # at the provider's end of stream, or after is_terminal
        Step(out, has_content, text_bytes, usage, stop_reason, model_answered, is_terminal, fault, notes)
        `out` is for the client and comes before `fault` in time. The success terminator (`[DONE]`, `message_stop`,
        `response.completed`) is never in feed()'s output: a step with is_terminal says that the provider sent it, and
        finish() returns it as `out`. After a fault, feed() and finish() say nothing more. finish() without the
        provider's terminal event is a Fault("malformed"), never a success. `usage` is the latest known, cumulative.
    StreamBridge.has_content, .usage, .text_bytes, .stop_reason, .model_answered      # totals so far

    Fault(error_class, status, message, code, retry_after_s, body, usage)
        `status`: for the client when this fault passes through (502/504 where the provider sent none).
        `body`: the provider's error in the client's dialect. `faults.FAULTS[error_class]` says what to do about it:
        FaultRule(same, other, breaker, is_alarm).

    write_refusal(dialect, refusal, request_id) -> bytes     # an error body in the caller's dialect
    error_event(dialect, refusal, request_id) -> bytes       # in-band error of a begun stream; no success terminator
    receipt_comment(fields) -> bytes                         # `: tollway-cost=0.000012 …` and an empty line; it goes
                                                             # before finish()'s out
    CONTENT_TYPE_JSON, CONTENT_TYPE_SSE

Usage is sanitised: negative, fractional, non-finite or absurd figures become unknown (None) and are named in `notes`,
so that the adapter estimates and alarms.
"""

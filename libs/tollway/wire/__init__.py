"""Everything that crosses a process boundary, and the words for it.

Read in this order: `money`, `refusals`, `subjects`, `envelope`, then the bodies: `access` (who may ask for what),
`plan` (what to try), `work` (do it, and the pieces that come back), `usage` (what it used), `credit` (the money),
`management` and `queries` (the `/api` plane), `chat` (the canonical conversation that dialects read and write).

Glossary
    account     pays.                           access key   asks (`tw-…`).
    API key     manages (`/api`).               provider key opens a provider, lent by the account.
    managed     the operator's own credential.  candidate    one (provider, model, credential).
    attempt     one try of a candidate.         hold         credit set aside before anything is called.
    settle      ends a hold with a charge.      void         ends a hold without one.
    lot         bought credit with an expiry.   fact         what an adapter saw, to be billed.
    witness     what the client got, as ingress saw it.
    dialect     a wire format of the field.     pool         a set of adapters that answer one dispatch subject.
    piece       one numbered message of an answer on its way from adapter to ingress.

Three model names: `model_asked` (by the caller), `model_sent` (to the provider), `model_answered` (by the provider).
Money is integer nano-dollars (`_nusd`), prices are nano-dollars per million tokens; times are Unix milliseconds
(`_ms`) unless they are spans (`_ns`) or limits (`_s`).

This package does no IO, reads no clock and draws no random number.
"""

"""Proof: what the log says, said again by somebody who only reads it.

`keys` (who signs), `invariants` (what must hold, pure), `replaying` (one block at a time, with roots compared),
`snapshots` (signed states to start from), `checkpoints` (signed heads of all journals), `auditor` (does all of this
while the ledger runs), and for the operator's commands: `verifying`, `projection`, `history`, `repairing`.
"""

"""What the gateway costs: `python -m benchmarks` (or `make bench`), one command, one table, about two minutes.

`python -m benchmarks.holds` measures the ledger alone (`holds`, `ledger_room`, `ledger_history`).

Read in this order: `cases` (what is measured), `driver` (the load, a process of its own), `system` (`tollway up` on a
fresh directory, pinned to one core), `processes` (CPU and memory by process), `floor` (the least that Python could do),
`sink` (where spans go), `profile` (where the time goes inside a process), `report` (the table).
"""

"""What each command makes happen: `(state, command, now_ms)` to events or a refusal, and nothing is changed.

`credit` (money in and out, accounts, lots that expire), `holds` (opened, extended, voided, within limits), `facts` (how
a usage fact ends its hold, once), `unheard` (holds whose fact does not come: the witness, the deadline). `domain` has
the table of them all.
"""

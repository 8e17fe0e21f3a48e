"""Mutants: the suite is worth what it kills. `python -m tests.mutants` breaks the ledger on a copy, again and again."""

"""The `tollway` command.

Read in this order: `__main__` (the commands), `up` (everything on one machine), then its parts: `place` (the data
directory), `bus_table` (who may say what), `embedded_nats`, `streams`, `environment` (what each process is told),
`supervisor` (start, restart, drain), `bus_watch`, `bootstrap` (the first account). Beside them: `migrate`, `doctor`,
`backup`, and for containers `install`, `grants` and `health`. Groups that talk to a running gateway's `/api` stand on
`remote` and `tables`.
"""

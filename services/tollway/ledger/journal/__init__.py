"""The log of record: `block` (bytes and hash chain, pure), `tables`, `store` (SQLite and PostgreSQL), `reading`.

A journal is a chain of blocks; a block is the events of one commit. The primary key (journal, seq) is what keeps two
writers apart, the hash is what keeps the past as it was.
"""

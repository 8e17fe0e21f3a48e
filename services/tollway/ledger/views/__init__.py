"""Read models: `rows` (events to rows, pure), `tables`, `projector` (writes them, with its own watermark), `queries`.

All of it can be dropped and rebuilt from the journal, to the same bytes.
"""

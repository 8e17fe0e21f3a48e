"""The `/api` plane: HTTP in, commands over the bus, faces out. It owns no data.

Read in this order: `gate` (who may come in, bodies within limits), `caller` (who asks), `errors` (refusals as the
plane says them), `shapes` (what all bodies share), `durations`, `uris`, then the resources: `keys`, `configurations`,
`providers` (shapes), `resources` (the five calls of each), `accounts`, `platform` (operators), `settings`, `credits`,
`payments`, `usage`, `catalog`, `routing`, `docs`; `app` puts them together.
"""

from tollway.ingress.management.app import management_app

__all__ = ["management_app"]

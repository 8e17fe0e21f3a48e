"""A small model provider of our own: it speaks real wire formats and misbehaves by model name, on real sockets.

In reading order:

- `options`   the model name and the `x-sim` headers: what is asked of the simulator
- `ask`       a request in no dialect, and the token count
- `answer`    what is said to it; `schema` makes minimal instances for structured output
- `frames`    the parts of a stream
- `dialects`  the wire formats: pure readers and writers, and the table of addresses
- `refusals`  errors as each provider words them
- `steps`     what can be done to a connection
- `behaviours`, `hostile`  scripts of steps, kind and unkind
- `models`    the table of models; prices in `models.json`
- `outages`   what makes a model behave otherwise
- `tally`     what was served and what it costs
- `control`, `listing`  the addresses under `/_sim/`, and the lists of models
- `desk`      all of it together, still without IO
- `server`    the sockets
"""

from .models import BEHAVIOURS, models
from .server import Simulator, run, start

__all__ = ["BEHAVIOURS", "Simulator", "models", "run", "start"]

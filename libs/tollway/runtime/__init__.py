"""The life of a service's process: settings, bus, beats, metrics, signals, drain.

`main(role, build)` is all that a service's `__main__` calls.
"""

from tollway.crash import crashpoint
from tollway.runtime.process import Edge, Service, main
from tollway.tasks import report, spawn

__all__ = ["Edge", "Service", "crashpoint", "main", "report", "spawn"]

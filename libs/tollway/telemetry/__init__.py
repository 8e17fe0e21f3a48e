"""What operators see: spans, metrics and log lines, and what keeps them cheap and free of secrets.

Read in this order: `names` (every name there is, equal to `observability/schema`), `metrics` (the table of metrics and
the cells that count), `traceparent` (W3C trace context, pure), `ring` (spans that were not sampled, for a minute),
`export` (OpenTelemetry SDK and OTLP), `sampling`, `scrub` and `logs` (JSON lines), `scrape` (`/metrics`), `telemetry`
(the one object that services hold).
"""

from tollway.telemetry.telemetry import Begun, Telemetry

__all__ = ["Begun", "Telemetry"]

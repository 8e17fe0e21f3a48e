"""The table, with the goals beside the figures."""

from collections.abc import Iterator
from typing import Final

from benchmarks.cases import Compared, Measured, Report
from benchmarks.floor import QUIET_US

MIB: Final = 1 << 20
Row = tuple[str, str, str]


def table(report: Report) -> str:
    """The whole report as text that is also Markdown."""
    parts = [_machine(report), lined(("what", "measured", "goal"), rows(report)), lined(*_by_process(report))]
    return "\n\n".join([*parts, *_warnings(report)]) + "\n"


def rows(report: Report) -> list[Row]:
    """One row per figure."""
    return [*_json(report), *_fixed(report), *_streams(report), *_standing(report)]


def _json(report: Report) -> Iterator[Row]:
    for concurrency, run in report.json.items():
        goal = "≤ 600 now, ≤ 300 then" if concurrency == 16 else ""
        yield f"CPU µs per JSON request, {concurrency} in flight", f"{run.cpu_us_all:.0f}", goal
    for concurrency, run in report.json.items():
        goal = "≥ 2,500" if concurrency == 64 else ""
        figures = f"{run.result.rate:,.0f} (p50 {run.result.p50_ms:.1f}, p99 {run.result.p99_ms:.1f} ms)"
        yield f"requests per second, {concurrency} in flight", figures, goal


def _fixed(report: Report) -> Iterator[Row]:
    for rate, both in report.fixed.items():
        goal = "≤ 1.5 / ≤ 8" if rate == 200 else ""
        yield f"added ms at {rate}/s, p50 / p99", f"{_added(both, 'p50_ms'):.2f} / {_added(both, 'p99_ms'):.2f}", goal
    first = f"{_added(report.first, 'first_p50_ms'):.2f} / {_added(report.first, 'first_p99_ms'):.2f}"
    yield "added ms to the first token at 20/s, p50 / p99", first, "≤ 2"


def _streams(report: Report) -> Iterator[Row]:
    yield "CPU ms per stream of 100 chunks, 10 ms apart", _stream(report.paced), "≤ 8"
    yield "CPU ms per stream of 100 chunks, at once", _stream(report.at_once), "≤ 3"


def _stream(run: Measured) -> str:
    return f"{run.cpu_us_all / 1000:.2f} ({run.result.count} streams, {run.result.chunks_mean:.0f} events each)"


def _standing(report: Report) -> Iterator[Row]:
    idle, loaded = (sum(rss.values()) / MIB for rss in (report.idle_rss_bytes, report.loaded_rss_bytes))
    yield "memory MiB, idle / after the load", f"{idle:.0f} / {loaded:.0f}", ""
    yield "CPU % of a core while idle", f"{report.idle_cpu_percent:.1f}", ""
    yield "start to ready, s", f"{report.start_s:.1f}", ""
    yield "CPU µs of uvicorn answering by itself", f"{report.floor_cpu_us:.0f}", f"{QUIET_US:.0f} on a quiet machine"
    yield "fdatasync of the disk, ms, p50 / p99", f"{report.sync_p50_ms:.2f} / {report.sync_p99_ms:.2f}", ""


def _added(both: Compared, figure: str) -> float:
    return getattr(both.gateway.result, figure) - getattr(both.direct, figure)


def _by_process(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Where the CPU goes: µs per answer by process."""
    runs = {f"JSON, {concurrency} in flight": run for concurrency, run in report.json.items()}
    runs |= {"stream, paced": report.paced, "stream, at once": report.at_once}
    names = sorted({name for run in runs.values() for name in run.cpu_us})
    lines = [(name, *(f"{run.cpu_us.get(name, 0):.0f}" for run in runs.values())) for name in names]
    lines.append(("all", *(f"{run.cpu_us_all:.0f}" for run in runs.values())))
    with_memory = [
        (*line, f"{report.loaded_rss_bytes.get(line[0], sum(report.loaded_rss_bytes.values())) / MIB:.0f}")
        for line in lines
    ]
    return ("CPU µs per answer", *runs, "MiB"), with_memory


def _machine(report: Report) -> str:
    return "; ".join(f"{name} {value}" for name, value in report.machine.items())


def _warnings(report: Report) -> list[str]:
    """Answers that failed make every other figure doubtful."""
    runs = {f"JSON {c}": run.result for c, run in report.json.items()}
    runs |= {f"{rate}/s": both.gateway.result for rate, both in report.fixed.items()}
    runs |= {f"{rate}/s direct": both.direct for rate, both in report.fixed.items()}
    runs |= {"first token": report.first.gateway.result, "first token direct": report.first.direct}
    runs |= {"paced": report.paced.result, "at once": report.at_once.result}
    failed = [f"{name}: {result.failed}" for name, result in runs.items() if result.failed]
    return [f"FAILED ANSWERS: {'; '.join(failed)}"] if failed else []


def lined(head: tuple[str, ...], lines: list[tuple[str, ...]] | list[Row]) -> str:
    """Columns of equal width."""
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    ruled = [head, tuple("-" * width for width in widths), *lines]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in ruled
    )

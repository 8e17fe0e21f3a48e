"""`tollway doctor`: what is well and what is not, one line each, with an exit code for scripts.

It changes nothing and needs nothing to run: what does not answer is a finding.
"""

import asyncio
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import httpx
import msgspec
from nats import errors as nats_errors
from sqlalchemy.exc import SQLAlchemyError

from tollway import ids, settings
from tollway.bus.nats import connect
from tollway.cli.embedded_nats import LOOPBACK, binary
from tollway.cli.errors import CommandError
from tollway.cli.place import CREDENTIALS_FILE, STATE_FILE, Place, State
from tollway.cli.programs import METRICS
from tollway.store import migrate
from tollway.wire import subjects
from tollway.wire.work import Beat

Level = Literal["ok", "warn", "fail"]
ROLES: Final = ("ingress", "auth", "router", "adapter", "ledger")
PRIVATE_FILES: Final = (STATE_FILE, CREDENTIALS_FILE, "master.key", "auth.pepper", "audit.key", "nats.conf")
FREE_BYTES_MIN: Final = 1 << 30
FILES_MIN: Final = 4096
BEATS_FOR_S: Final = 2.5
TIMEOUT_S: Final = 3.0


class Finding(msgspec.Struct, frozen=True):
    """One line of the report."""

    level: Level
    what: str
    detail: str


class _Config(msgspec.Struct):
    sync_always: bool = False


class _StreamState(msgspec.Struct):
    messages: int


class _Stream(msgspec.Struct):
    name: str
    state: _StreamState


class _Account(msgspec.Struct):
    stream_detail: list[_Stream] = []


class _JetStream(msgspec.Struct):
    """What the bus's monitor says at /jsz, as far as it is read here."""

    config: _Config
    account_details: list[_Account] = []


class Patient(msgspec.Struct, frozen=True):
    """What is looked at. `state` None: `tollway up` has never run here."""

    place: Place
    state: State | None
    settings: settings.Settings
    base_url: str


def examine(data: Path, *, database_url: str, base_url: str) -> list[Finding]:
    """Every check's findings, in the order of CHECKS."""
    place = Place(data)
    url = {"TOLLWAY_DATABASE_URL": database_url} if database_url else {}
    told = settings.read("cli", {**os.environ, "TOLLWAY_DATA_DIR": str(place.root), **url})
    try:
        patient = Patient(place, place.load(), told, base_url)
    except CommandError as error:
        return [Finding("fail", "data directory", str(error))]
    return [finding for check in CHECKS for finding in check(patient)]


def _data(patient: Patient) -> Iterator[Finding]:
    place = patient.place
    if patient.state is None:
        if not patient.settings.database_url:
            yield Finding("warn", "data directory", f"{place.root} has not been used by `tollway up` yet")
        return
    yield Finding("ok", "data directory", f"{place.root}, layout {patient.state.layout}")
    for name in PRIVATE_FILES:
        path = place.root / name
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding("fail", "permissions", f"others can read {path}: chmod 600 {path}")


def _machine(patient: Patient) -> Iterator[Finding]:
    yield Finding("ok", "nats-server", str(binary()))
    where = patient.place.root if patient.place.root.exists() else Path.cwd()
    free = shutil.disk_usage(where).free
    yield Finding("ok" if free >= FREE_BYTES_MIN else "fail", "disk", f"{free / (1 << 30):.1f} GiB free")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Finding("ok" if files >= FILES_MIN else "warn", "open files", f"limit {files} (ulimit -n)")


def _databases(patient: Patient) -> Iterator[Finding]:
    for part in migrate.PARTS:
        what = f"database {part}"
        if not patient.settings.database_url and not (patient.place.root / f"{part}.db").exists():
            yield Finding("warn", what, "not made yet")
            continue
        try:
            have, want = migrate.current(patient.settings.database(part), part), migrate.newest(part)
        except SQLAlchemyError as error:
            yield Finding("fail", what, f"does not answer ({type(error).__name__})")
            continue
        if have == want:
            yield Finding("ok", what, f"at {have}")
        else:
            yield Finding("fail", what, f"at {have}, this Tollway wants {want}: run `tollway migrate`")


def _sqlite(patient: Patient) -> Iterator[Finding]:
    for path in sorted(patient.place.root.glob("*.db")):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=TIMEOUT_S)) as database:
                verdict = str(database.execute("PRAGMA quick_check").fetchone()[0])
                mode = str(database.execute("PRAGMA journal_mode").fetchone()[0])
        except sqlite3.Error as error:
            verdict, mode = str(error), "unknown"
        is_well = (verdict, mode) == ("ok", "wal")
        yield Finding("ok" if is_well else "fail", path.name, f"check {verdict}, journal mode {mode}")


def _bus(patient: Patient) -> Iterator[Finding]:
    url = _monitor_url(patient)
    if not url:
        yield Finding("warn", "bus", "no monitor address known")
        return
    try:
        answer = httpx.get(f"{url}/jsz?streams=1&config=1", timeout=TIMEOUT_S, trust_env=False)
        found = msgspec.json.decode(answer.content, type=_JetStream)
    except (httpx.TransportError, msgspec.DecodeError):
        yield Finding("fail", "bus", f"{url} does not answer: is `tollway up` running?")
        return
    if found.config.sync_always:
        yield Finding("ok", "bus", "every stored message is synced")
    else:
        yield Finding("fail", "bus", "acknowledges before it syncs: set sync_interval to always")
    streams = {stream.name: stream.state.messages for owner in found.account_details for stream in owner.stream_detail}
    for name in subjects.STREAMS:
        count = streams.get(name)
        yield Finding(
            "fail" if count is None else "ok", f"stream {name}", "missing" if count is None else f"{count} messages"
        )


def _monitor_url(patient: Patient) -> str:
    port = patient.state.ports.get("nats_monitor") if patient.state else None
    return patient.settings.nats_monitor_url or (f"http://{LOOPBACK}:{port}" if port else "")


def _services(patient: Patient) -> Iterator[Finding]:
    """Who is heard on the bus within two beats."""
    heard = asyncio.run(_beats(patient))
    if heard is None:
        return
    for role in ROLES:
        beats = [beat for beat in heard.values() if beat.role == role]
        missing = [reason for beat in beats for reason in beat.not_ready]
        level: Level = "fail" if not beats else "warn" if missing else "ok"
        said = f"{len(beats)} running" + (f", not ready: {'; '.join(missing)}" if missing else "")
        yield Finding(level, role, said if beats else "not heard on the bus")


async def _beats(patient: Patient) -> dict[str, Beat] | None:
    """Beats by node; None when there is no way onto the bus from here."""
    url, password = _bus_address(patient)
    if not password:
        return None
    heard: dict[str, Beat] = {}
    try:
        link = connect(url, role="cli", node=ids.new_id("cli"), user="cli", password=password)
        bus = await asyncio.wait_for(link, TIMEOUT_S)
    except (TimeoutError, OSError, nats_errors.Error):
        return heard
    await bus.listen(subjects.BEATS_ALL, [Beat], lambda beat, _context, _subject: heard.update({beat.node: beat}))
    await asyncio.sleep(BEATS_FOR_S)
    await bus.drain()
    return heard


def _bus_address(patient: Patient) -> tuple[str, str]:
    """The bus of `tollway up`, or the one that the environment names (containers)."""
    state = patient.state
    if state is not None and "nats" in state.ports:
        return f"nats://{LOOPBACK}:{state.ports['nats']}", state.passwords.get("cli", "")
    return patient.settings.nats_url, patient.settings.nats_password


def _metrics(patient: Patient) -> Iterator[Finding]:
    """Where each process of `tollway up` shows its metrics."""
    ports = patient.state.ports if patient.state else {}
    for name, port in ports.items():
        if name.startswith(METRICS):
            url = f"http://{LOOPBACK}:{port}/metrics"
            yield Finding("ok" if _answers(url) else "warn", f"metrics {name.removeprefix(METRICS)}", url)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=TIMEOUT_S, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _gateway(patient: Patient) -> Iterator[Finding]:
    try:
        answer = httpx.get(f"{patient.base_url}/readyz", timeout=TIMEOUT_S, trust_env=False)
    except httpx.TransportError:
        yield Finding("fail", "gateway", f"{patient.base_url} does not answer")
        return
    said = f"{patient.base_url} is ready" if answer.is_success else f"{patient.base_url}: {answer.text.strip()}"
    yield Finding("ok" if answer.is_success else "fail", "gateway", said)


CHECKS: Final[tuple[Callable[[Patient], Iterator[Finding]], ...]] = (
    _data,
    _machine,
    _databases,
    _sqlite,
    _bus,
    _services,
    _metrics,
    _gateway,
)


def base_url_of(data: Path) -> str:
    """Where the gateway of a data directory was last, as its credentials say."""
    known = Place(data).credentials()
    return known.base_url if known else f"http://{LOOPBACK}:8080"

"""Everything on one machine: embedded bus, SQLite (or a PostgreSQL that is there), five services, one command.

Order of a start: hold the data directory, listen, choose ports for the inside, migrate, start the bus, make the
streams, start the services, make the first account, wait until `/readyz` agrees. Order of an end: the door closes,
ingress lets running answers finish, the adapters flush their outboxes, then ledger, router and auth, the simulator, the
bus. The listening socket is ours and every ingress inherits it, so that no caller is turned away while one is replaced.
"""

import asyncio
import math
import os
import signal
import socket
import sys
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

import httpx
import msgspec

from tollway import clock, settings
from tollway.cli import bootstrap, bus_table, bus_watch, embedded_nats, migrate, programs
from tollway.cli.bootstrap import first_account
from tollway.cli.environment import environment_of
from tollway.cli.errors import CommandError
from tollway.cli.place import LAYOUT, Credentials, Place, State, new_passwords
from tollway.cli.programs import Options
from tollway.cli.streams import make_streams
from tollway.cli.supervisor import Supervisor
from tollway.cli.version import version
from tollway.listening import bound
from tollway.sealing import PRIVATE_FILE, PUBLIC_FILE, create_master_key
from tollway.tasks import spawn

READY_WITHIN_S: Final = 60.0
READY_CHECK_S: Final = 0.1


def run(options: Options) -> None:
    """Run until Ctrl-C or SIGTERM. Raises CommandError with one sentence for what cannot work."""
    os.umask(0o077)  # whatever we and our children write is our own
    place = Place(options.data)
    state = place.claim()
    try:
        with listening(options.host, options.port) as door:
            told = prepared(place, state, options)
            told_databases = database_settings(place, options)
            migrate.all_parts(told_databases)
            create_master_key(place.root / PRIVATE_FILE, place.root / PUBLIC_FILE)
            bootstrap.readdress(place, base_url=options.base_url)
            first = None if told.is_bootstrapped else first_account(place, told_databases, base_url=options.base_url)
            asyncio.run(_live(place, told, options, first, door))
    finally:
        place.release()


def listening(host: str, port: int) -> socket.socket:
    """Where callers knock. Raises CommandError when nobody could listen there."""
    try:
        return bound(host, port)
    except PermissionError:
        raise CommandError(f"No permission to listen on port {port}: choose one above 1023 with --port.") from None
    except OSError as error:
        is_used = error.errno in (48, 98)  # EADDRINUSE of macOS and Linux
        what = f"Port {port} on {host} is in use" if is_used else f"Cannot listen on {host} port {port}"
        why = "stop what listens there or choose another with --port" if is_used else str(error.strerror)
        raise CommandError(f"{what}: {why}.") from None


def prepared(place: Place, state: State | None, options: Options) -> State:
    """Ports and passwords for this start, remembered for the next."""
    known = state or State(layout=LAYOUT, version=version())
    told = msgspec.structs.replace(
        known,
        version=version(),
        ports=known.ports | embedded_nats.keep_or_choose(known.ports, programs.port_names(options)),
        passwords=new_passwords(bus_table.USERS) | known.passwords,
    )
    place.save(told)
    return told


def database_settings(place: Place, options: Options) -> settings.Settings:
    """Settings that name the databases of a data directory."""
    url = {"TOLLWAY_DATABASE_URL": options.database_url} if options.database_url else {}
    told = {"TOLLWAY_DATA_DIR": str(place.root)} | url
    return settings.read("cli", environment_of("ledger", os.environ, told))


def say(line: str) -> None:
    """One line to the person at the terminal."""
    print(f"tollway: {line}", file=sys.stderr, flush=True)


async def _live(place: Place, state: State, options: Options, first: Credentials | None, door: socket.socket) -> None:
    await _Run(place, state, options, first, door).main()


class _Run:
    """One life of `tollway up`."""

    def __init__(
        self, place: Place, state: State, options: Options, first: Credentials | None, door: socket.socket
    ) -> None:
        self._place = place
        self._door = door
        self._first = first
        self._state = state
        self._options = options
        self._stop = asyncio.Event()
        self._supervisor = Supervisor(say=say)
        self._watching: asyncio.Task[None] | None = None

    async def main(self) -> None:
        """Start, wait for the end, drain. Raises CommandError when the start fails."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop)
        try:
            await self._unless_stopped(self._start())
            await self._stop.wait()
        finally:
            if self._watching is not None:
                self._watching.cancel()
            self._door.close()
            await self._supervisor.drain(programs.stages(self._options))

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            say("stopping at once")
            self._supervisor.kill()
        else:
            say("draining, so that running answers finish (once more: stop at once)")
            self._stop.set()

    async def _unless_stopped(self, start: Awaitable[CommandError | None]) -> None:
        """Wait for the start, a stop, or a program that says it cannot work; whichever comes first."""
        starting = asyncio.ensure_future(start)
        stopping = spawn(self._stop.wait(), name="wait for stop")
        unusable = self._supervisor.unusable
        waiting: set[asyncio.Future[Any]] = {starting, stopping, unusable}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
        elif (error := starting.result()) is not None:
            raise error
        if unusable.done():
            raise CommandError(self._last_words(unusable.result()))

    async def _start(self) -> CommandError | None:
        try:
            await self._start_bus()
            self._start_services()
            await self._grant_first_credit()
            await self._until_ready()
        except CommandError as error:
            return error
        self._greet()
        return None

    async def _start_bus(self) -> None:
        command = embedded_nats.write_config(self._place, ports=self._state.ports, passwords=self._state.passwords)
        self._supervisor.start(programs.nats_program(self._place, command, self._options))
        await make_streams(self._nats_url(), password=self._state.passwords["setup"])
        monitor_url = f"http://{embedded_nats.LOOPBACK}:{self._state.ports['nats_monitor']}"
        restart = partial(self._supervisor.restart, programs.NATS)
        self._watching = spawn(bus_watch.watch(monitor_url, self._place.jetstream, restart, say), name="watch the bus")

    def _start_services(self) -> None:
        if self._options.is_simulator_wanted:
            self._supervisor.start(programs.simulator_program(self._place, self._state, self._options))
        for program in programs.service_programs(
            self._place, self._state, self._options, listen_fd=self._door.fileno()
        ):
            self._supervisor.start(program)

    def _nats_url(self) -> str:
        return programs.shared(self._place, self._state, self._options)["TOLLWAY_NATS_URL"]

    async def _grant_first_credit(self) -> None:
        """The first start ends with the welcome credit; from then on the installation is an old one."""
        if self._first is None:
            return
        await bootstrap.welcome(self._first, nats_url=self._nats_url(), password=self._state.passwords["cli"])
        self._state = msgspec.structs.replace(self._state, is_bootstrapped=True)
        self._place.save(self._state)

    async def _until_ready(self) -> None:
        """Wait for `/readyz`. A first start that takes too long has failed; a later one goes on and says what is
        missing: one damaged journal must not close the others, and its repair needs the bus."""
        give_up = clock.monotonic_s() + READY_WITHIN_S
        async with httpx.AsyncClient(base_url=self._options.base_url, timeout=5, trust_env=False) as client:
            while missing := await _missing(client):
                if clock.monotonic_s() > give_up:
                    said = f"Not ready within {READY_WITHIN_S:g} s: {missing}. See {self._place.logs}."
                    if self._first is not None:
                        raise CommandError(said)
                    say(said)
                    give_up = math.inf
                await asyncio.sleep(READY_CHECK_S)

    def _greet(self) -> None:
        if self._first is None:
            say(f"ready on {self._options.base_url} (data in {self._place.root})")
        else:
            print("\n".join(greeting(self._first, has_simulator=self._options.is_simulator_wanted)), flush=True)

    def _last_words(self, name: str) -> str:
        """What a program that cannot work said last."""
        log = self._place.logs / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = next((line for line in reversed(lines) if line.startswith(f"tollway {programs.role_of(name)}:")), "")
        return said.partition(": ")[2] or f"{name} cannot work as configured, see {log}."


async def _missing(client: httpx.AsyncClient) -> str:
    """What keeps the gateway from being ready, "" when nothing does."""
    try:
        answer = await client.get("/readyz")
    except httpx.TransportError:
        return "ingress does not answer yet"
    return "" if answer.is_success else answer.text.strip()


def greeting(credentials: Credentials, *, has_simulator: bool) -> list[str]:
    """What the first start prints, once: the keys, and a request that works as it stands.

    Of a real provider it asks for so little that the welcome credit covers the dearest model.
    """
    begin = '"model": "simulator:echo"' if has_simulator else '"model": "tollway/auto", "max_completion_tokens": 500'
    body = f'{{{begin}, "messages": [{{"role": "user", "content": "Hello, Tollway!"}}]}}'
    return [
        "",
        f"Tollway {version()} is ready on {credentials.base_url}",
        "",
        f"  access key  {credentials.access_key}    (applications: OpenAI and Anthropic SDKs)",
        f"  API key     {credentials.api_key}    (management: {credentials.api_url})",
        f"  account     {credentials.account_id}, with {bootstrap.WELCOME_DOLLARS} dollars of promotional credit",
        "",
        "Try it:",
        "",
        f"  curl {credentials.base_url}/v1/chat/completions \\",
        f'    -H "Authorization: Bearer {credentials.access_key}" \\',
        '    -H "Content-Type: application/json" \\',
        f"    -d '{body}'",
        "",
        "These keys are shown once; they are kept in credentials.json in the data directory. Ctrl-C stops.",
        "",
    ]

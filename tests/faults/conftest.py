"""Houses for the fault suite: one shared by tests that only hurt processes, fresh ones for those that hurt data."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.faults.checker import SUMMARIES
from tests.faults.database import Database, served
from tests.faults.house import House

NewHouse = Callable[..., House]
HERE: Final = Path(__file__).parent


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A system that is hurt again and again, and is to be whole each time."""
    house = House(tmp_path_factory.mktemp("house"))
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """One PostgreSQL for the run."""
    with served() as found:
        yield found


@pytest.fixture
def new_house(tmp_path: Path) -> Iterator[NewHouse]:
    """Makes houses (not started); they are ended whatever happens."""
    made: list[House] = []

    def make(*arguments: str, environment: Mapping[str, str] | None = None, database_url: str = "") -> House:
        root = tmp_path / f"house-{len(made)}"
        root.mkdir()
        made.append(House(root, *arguments, environment=environment, database_url=database_url))
        return made[-1]

    yield make
    for house in made:
        house.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The line that says what the run was worth."""
    if not SUMMARIES:
        return
    faults = sum(len(summary.faults) for summary in SUMMARIES)
    requests = sum(summary.requests for summary in SUMMARIES)
    events = sum(summary.events for summary in SUMMARIES)
    violations = sum(len(summary.breaches) for summary in SUMMARIES)
    unbilled = sum(summary.unbilled for summary in SUMMARIES)
    cut = sum(summary.cut for summary in SUMMARIES)
    terminalreporter.write_line(
        f"faults injected: {faults}, requests sent: {requests}, events checked: {events}, violations: {violations} "
        f"(answers that did not reach their client: not charged {unbilled}, charged as their fact was durable {cut})"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here is marked `faults`; what is marked `long` besides runs with `--faults=long` only."""
    is_long = config.getoption("--faults") == "long"
    skip = pytest.mark.skip(reason="in the long fault suite only (make test-faults)")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("faults")
        if item.get_closest_marker("long") and not is_long:
            item.add_marker(skip)

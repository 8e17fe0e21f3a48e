"""What the log means depends on the log alone: no clock, no randomness, no process, no order of a hash table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tollway.ledger.state
from tests.architecture.test_arrows import EDGE, IMPURE, imports_of
from tests.ledger.story import DAY_MS, Story, extend, reverse
from tests.ledger.test_journal import write_story
from tollway.ledger.deciding.credit import ExpireLot
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.state import canonical
from tollway.store.engine import open_engine

LEDGER = Path(tollway.ledger.state.__file__).parent
CORE = (
    "events.py",
    "lots.py",
    "spend.py",
    "charges.py",
    "state.py",
    "applying.py",
    "domain.py",
    *(f"deciding/{name}.py" for name in ("__init__", "credit", "holds", "facts", "unheard")),
)
REPLAY = """
import sys
from tollway.ledger.journal.reading import load
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.state import canonical
from tollway.store.engine import open_engine
sys.stdout.buffer.write(canonical(load(JournalStore(open_engine(sys.argv[1])), 11)[0]))
"""


@pytest.mark.parametrize("name", CORE)
def test_the_core_uses_nothing_but_events_and_state(name: str) -> None:
    imported = imports_of(LEDGER / name)
    assert not {module for module in imported if module.split(".")[0] in IMPURE}
    assert not {module for module in imported if module.startswith("tollway.") and module.split(".")[1] in EDGE}


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_another_process_at_another_time_replays_to_the_same_bytes(tmp_path: Path, seed: str) -> None:
    from tollway.store import migrate

    url = f"sqlite:///{tmp_path}/journal.db"
    migrate.upgrade(url, "journal")
    store = JournalStore(open_engine(url, is_writer=True))
    story = eventful()
    write_story(store, story)
    store.let_go()
    store.engine.dispose()
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Pacific/Kiritimati"}
    told = subprocess.run([sys.executable, "-c", REPLAY, url], env=environment, capture_output=True, check=True)
    assert told.stdout == canonical(story.state)


def eventful() -> Story:
    """A life with a bit of everything in it."""
    story = Story().with_credit(10**9, ext_ref="kept").with_credit(10**8, ext_ref="gone", priority=-1)
    story.with_credit(5_000, ext_ref="brief", expires_at_ms=story.now + DAY_MS)
    for number in range(5):
        story.with_hold(f"rq_{number}", amount=10**6 + number)
    story.must(extend(1, 500, hold="rq_0"))
    for number in range(3):
        story.must(story.fact(f"rq_{number}", tokens=100 * number))
    story.must(story.fact("rq_3", outcome="failed_midstream"))
    story.must(reverse("gone", 10**8))
    story.later(DAY_MS + 1).must(ExpireLot("acc_a", "lot_3"))
    return story

"""Read models edited by hand while they are in use: the comparison names them, and the journal makes them anew."""

import sqlite3
from typing import Final

from tests.e2e.gateway import until
from tests.faults.checker import audit
from tests.faults.house import House
from tests.faults.load import Ask, together
from tests.faults.test_damage import ledger

FILLED_WITHIN_S: Final = 30.0
EDITS: Final = (
    "DELETE FROM views_usage WHERE rowid IN (SELECT rowid FROM views_usage WHERE account = :account LIMIT 2)",
    "UPDATE views_balance SET available = available + 1 WHERE account = :account",
    "UPDATE views_hour SET cost = cost - 1 WHERE account = :account",
    "DELETE FROM views_movement WHERE account = :account",
)


def test_read_models_edited_by_hand_under_a_running_gateway_are_named_and_made_anew(house: House) -> None:
    wallet = house.wallet()
    tries = together(house.base_url, wallet, [Ask(tries_max=1)] * 6)
    assert audit(house, [wallet], tries).breaches == []
    link = sqlite3.connect(house.data / "views.db", isolation_level=None, timeout=20)
    for edit in EDITS:
        assert link.execute(edit, {"account": wallet.account_id}).rowcount > 0, edit
        house.faults.append(edit.partition(" WHERE")[0])
    link.close()
    code, said = ledger(house, "diff-projection")
    assert code != 0
    assert said["differing"] >= len(EDITS)
    assert ledger(house, "diff-projection", "--rebuild")[0] == 0
    until(lambda: len(house.usage_rows(wallet)) == len(tries), within_s=FILLED_WITHIN_S)
    code, said = ledger(house, "diff-projection")
    assert (code, said["differing"]) == (0, 0)
    assert audit(house, [wallet], tries).breaches == []

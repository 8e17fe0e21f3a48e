"""Keyed hashes: versions of the pepper, and what a stolen database is worth."""

from pathlib import Path

import pytest
from tests.auth.conftest import House

from tollway.auth.peppers import Peppers, open_peppers
from tollway.sealing import write_ring
from tollway.settings import SettingsError
from tollway.wire.access import CheckAccessKey, Principal
from tollway.wire.keys import KeyParts
from tollway.wire.refusals import Refusal

KEY = KeyParts("tw", "a" * 12, "b" * 32)


def test_a_proof_fits_its_key_and_no_other() -> None:
    peppers = Peppers({1: b"p" * 32})
    proof = peppers.prove(KEY)
    assert peppers.is_proven(KEY, proof)
    assert not peppers.is_proven(KeyParts("tw", "a" * 12, "c" * 32), proof)
    assert not peppers.is_proven(KeyParts("twapi", "a" * 12, "b" * 32), proof)
    assert not Peppers({1: b"q" * 32}).is_proven(KEY, proof)
    assert not Peppers({2: b"p" * 32}).is_proven(KEY, proof)


async def test_a_key_seen_after_a_rotation_is_kept_under_the_newest_pepper(house: House) -> None:
    made = house.first_account()
    await house.open()
    await house.close()
    file = Path(house.environ["TOLLWAY_DATA_DIR"]) / "auth.pepper"
    old = file.read_text()
    file.write_text(old + write_ring({2: b"n" * 32}))
    room = await house.open()
    for _ in range(3):
        await house.ask("auth.check", CheckAccessKey(made.access_key), Principal)
    await room.journal.decide(lambda _state: ((), None))
    found = room.state.by_key(made.access_key.split("-")[1])
    assert found is not None
    assert found[1].proof is not None
    assert found[1].proof.pepper_version == 2
    await house.close()
    file.write_text(write_ring({2: b"n" * 32}))
    await house.open()
    await house.ask("auth.check", CheckAccessKey(made.access_key), Principal)
    unseen = await house.client.ask("auth.check", CheckAccessKey(made.api_key), Principal, timeout_s=5)
    assert isinstance(unseen, Refusal)


async def test_no_key_is_in_any_file_of_auth(house: House) -> None:
    made = house.first_account()
    await house.open()
    await house.ask("auth.check", CheckAccessKey(made.access_key), Principal)
    await house.close()
    files = [path.read_bytes() for path in Path(house.environ["TOLLWAY_DATA_DIR"]).iterdir()]  # noqa: ASYNC240  a test
    for key in (made.access_key, made.api_key):
        assert not any(key.split("-")[3].encode() in data for data in files)


@pytest.mark.parametrize("text", ["nonsense", "1:short", ","])
def test_a_pepper_that_is_none_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="TOLLWAY_PEPPER") as caught:
        open_peppers({"TOLLWAY_PEPPER": text}, tmp_path, is_first_start=True)
    assert "nonsense" not in str(caught.value)


def test_a_pepper_from_the_environment_writes_no_file(tmp_path: Path) -> None:
    open_peppers({"TOLLWAY_PEPPER": write_ring({1: b"p" * 32})}, tmp_path, is_first_start=True)
    assert list(tmp_path.iterdir()) == []

"""From an empty database to a checked key."""

from pathlib import Path

import pytest
from tests.auth.conftest import House

from tollway import settings
from tollway.auth.bootstrap import first_account
from tollway.settings import SettingsError
from tollway.wire.access import ApiPrincipal, CheckAccessKey, CheckApiKey, Principal
from tollway.wire.keys import is_well_formed
from tollway.wire.refusals import Refusal


async def test_the_first_account_can_ask_and_manage_at_once(house_on_both: House) -> None:
    made = house_on_both.first_account()
    await house_on_both.open()
    principal = await house_on_both.ask("auth.check", CheckAccessKey(made.access_key), Principal)
    manager = await house_on_both.ask("auth.check_api", CheckApiKey(made.api_key), ApiPrincipal)
    assert (principal.account_id, principal.access_key_id) == (made.account_id, made.access_key_id)
    assert manager == ApiPrincipal(made.account_id, made.api_key_id, "operator")
    assert is_well_formed(made.access_key)


async def test_an_account_made_while_auth_runs_is_seen_within_a_second(house: House) -> None:
    room = await house.open()
    made = house.first_account()
    await room.journal.catch_up()
    assert (await house.ask("auth.check", CheckAccessKey(made.access_key), Principal)).account_id == made.account_id


async def test_neither_key_is_accepted_in_the_others_place(house: House) -> None:
    made = house.first_account()
    await house.open()
    for subject, question in (
        ("auth.check", CheckAccessKey(made.api_key)),
        ("auth.check_api", CheckApiKey(made.access_key)),
    ):
        answer = await house.client.ask(subject, question, Principal, timeout_s=5)
        assert isinstance(answer, Refusal)
        assert answer.rule.status == 401


async def test_a_start_that_died_before_it_kept_the_keys_gets_others_for_the_same_account(house: House) -> None:
    lost, kept = house.first_account(), house.first_account()
    await house.open()
    assert lost.account_id == kept.account_id
    assert lost.access_key != kept.access_key
    manager = await house.principal(kept.api_key)
    assert (manager.account_id, manager.role) == (kept.account_id, "operator")
    assert (await house.principal(lost.api_key)).account_id == kept.account_id


def test_missing_tables_are_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tollway migrate"):
        first_account(settings.read("auth", {"TOLLWAY_DATA_DIR": str(tmp_path)}))


async def test_a_lost_pepper_is_said_and_not_replaced(house: House) -> None:
    house.first_account()
    (Path(house.environ["TOLLWAY_DATA_DIR"]) / "auth.pepper").unlink()
    with pytest.raises(SettingsError, match="PEPPER"):
        await house.open()

"""Resources over the bus: created, changed, shown, deleted; told to everybody; and the same after a rebuild."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, text
from tests.auth.conftest import House

from tollway import settings
from tollway.auth import domain, handlers, journal
from tollway.auth.store import Store
from tollway.bus import NOTHING, Delivery
from tollway.bus.memory import MemoryBus
from tollway.sealing import KeySource, PrivateRing, open_sealed
from tollway.store.engine import open_engine
from tollway.wire import management as m
from tollway.wire.access import (
    Access,
    ApiPrincipal,
    CheckAccessKey,
    ConfigChanged,
    FetchSealed,
    KeyLimits,
    ListManaged,
    ManagedList,
    Principal,
    SealedCredential,
)
from tollway.wire.refusals import Refusal

MANAGE = "auth.manage"


@dataclass
class Owner:
    """An account's API key at work."""

    house: House
    by: ApiPrincipal
    access_key: str

    async def create(self, draft: m.AnyDraft) -> m.Created:
        return await self.house.ask(MANAGE, m.CreateResource(self.by, draft), m.Created)

    async def update(self, id_: str, changes: m.AnyChanges) -> m.AnyFace:
        return (await self.house.ask(MANAGE, m.UpdateResource(self.by, id_, changes), m.Resource)).face

    async def get(self, kind: m.Kind, id_: str) -> m.AnyFace:
        return (await self.house.ask(MANAGE, m.GetResource(self.by, kind, id_), m.Resource)).face

    async def no(self, command: m.CreateResource | m.UpdateResource | m.DeleteResource | m.GetResource) -> Refusal:
        answer = await self.house.client.ask(MANAGE, command, m.Created, timeout_s=5)
        assert isinstance(answer, Refusal), answer
        return answer

    async def principal(self, token: str = "") -> Principal:
        return await self.house.ask("auth.check", CheckAccessKey(token or self.access_key), Principal)


@pytest.fixture
async def owner(house: House) -> Owner:
    made = house.first_account()
    await house.open()
    return Owner(house, await house.principal(made.api_key), made.access_key)


@pytest.fixture
async def stranger(owner: Owner) -> Owner:
    made = await owner.create(m.AccountDraft("another"))
    return Owner(owner.house, await owner.house.principal(made.token), "")


async def configured(owner: Owner) -> tuple[m.AnyFace, m.AnyFace]:
    """A provider key and a configuration that uses it."""
    key = (await owner.create(m.ProviderKeyDraft("openai", "sk-proj-0123456789abcdefghij", name="ours"))).face
    rule = m.RuleDraft((m.StepDraft("user", (m.StepKeyDraft(id=key.id),)), m.StepDraft("managed")), provider="openai")
    draft = m.ConfigurationDraft("c", access=Access(providers=("openai",), models=()), rules=(rule,))
    return key, (await owner.create(draft)).face


async def test_a_principal_carries_all_that_the_way_in_needs(owner: Owner) -> None:
    key, configuration = await configured(owner)
    surface = m.ApiSurface("openai", "chat-completions")
    await owner.create(m.ProviderDraft("box", "Box", "https://box.example/v1", surfaces=(surface,), models=("llama",)))
    made = await owner.create(m.AccessKeyDraft("app", configuration_id=configuration.id, limits=KeyLimits(5)))
    principal = await owner.principal(made.token)
    assert principal.access == Access(providers=("openai",), models=())
    assert [(step.type, step.key_ids) for step in principal.rules[0].steps] == [("user", (key.id,)), ("managed", ())]
    assert [(ref.id, ref.provider, ref.name) for ref in principal.provider_keys] == [(key.id, "openai", "ours")]
    assert (principal.providers[0].provider, principal.providers[0].models) == ("box", ("llama",))
    assert principal.providers[0].surfaces[0].surface == "chat"
    assert principal.limits.requests_per_minute == 5


async def test_a_key_of_another_accounts_configuration_cannot_be_made(owner: Owner, stranger: Owner) -> None:
    _, configuration = await configured(owner)
    draft = m.AccessKeyDraft("x", configuration_id=configuration.id)
    refusal = await stranger.no(m.CreateResource(stranger.by, draft))
    assert (refusal.code, refusal.param) == ("validation", "accessKeyConfigurationId")


async def test_two_patches_do_not_lose_one_anothers_fields(owner: Owner) -> None:
    made = await owner.create(m.AccessKeyDraft("app"))
    await asyncio.gather(
        owner.update(made.face.id, m.AccessKeyChanges(name="renamed")),
        owner.update(made.face.id, m.AccessKeyChanges(limits=m.LimitChanges(tokens_per_minute=7))),
        owner.update(made.face.id, m.AccessKeyChanges(limits=m.LimitChanges(requests_per_minute=9))),
    )
    face = await owner.get("access_key", made.face.id)
    assert isinstance(face, m.AccessKey)
    assert (face.name, face.limits) == ("renamed", KeyLimits(requests_per_minute=9, tokens_per_minute=7))


async def test_deletion_is_refused_while_in_use_and_the_users_are_named(owner: Owner) -> None:
    key, configuration = await configured(owner)
    app = await owner.create(m.AccessKeyDraft("app", configuration_id=configuration.id))
    first = await owner.no(m.DeleteResource(owner.by, "configuration", configuration.id))
    assert (first.code, first.details["usedBy"]) == ("in_use", app.face.id)
    second = await owner.no(m.DeleteResource(owner.by, "provider_key", key.id))
    assert (second.code, second.details["usedBy"]) == ("in_use", configuration.id)
    for kind, id_ in (("access_key", app.face.id), ("configuration", configuration.id), ("provider_key", key.id)):
        await owner.house.ask(MANAGE, m.DeleteResource(owner.by, kind, id_), m.Deleted)
    assert (await owner.no(m.DeleteResource(owner.by, "provider_key", key.id))).code == "resource_missing"


async def test_a_deleted_and_a_disabled_key_are_dead_at_once(owner: Owner) -> None:
    deleted, disabled = await owner.create(m.AccessKeyDraft("a")), await owner.create(m.AccessKeyDraft("b"))
    await owner.house.ask(MANAGE, m.DeleteResource(owner.by, "access_key", deleted.face.id), m.Deleted)
    await owner.update(disabled.face.id, m.AccessKeyChanges(is_enabled=False))
    for token in (deleted.token, disabled.token):
        answer = await owner.house.client.ask("auth.check", CheckAccessKey(token), Principal, timeout_s=5)
        assert isinstance(answer, Refusal)
        assert answer.code == "invalid_access_key"


async def test_inline_keys_are_made_with_their_configuration_or_not_at_all(owner: Owner) -> None:
    inline = m.StepDraft("user", (m.StepKeyDraft(name="n", value="sk-inline-0123456789abcd"),))
    bad = m.ConfigurationDraft("c", rules=(m.RuleDraft((inline,), provider="openai"), m.RuleDraft((inline,))))
    assert (await owner.no(m.CreateResource(owner.by, bad))).param == "router.rules[1]"
    page = await owner.house.ask(MANAGE, m.ListResources(owner.by, "provider_key"), m.Page)
    assert page.faces == ()
    good = m.ConfigurationDraft("c", rules=(m.RuleDraft((inline,), provider="openai"),))
    face = (await owner.create(good)).face
    assert isinstance(face, m.Configuration)
    key = (face.rules or ())[0].steps[0].keys[0]
    assert (key.name, key.key_redacted) == ("n", "sk-inline-***abcd")
    assert (await owner.get("provider_key", key.id)).account_id == owner.by.account_id


async def test_only_the_master_key_opens_what_auth_keeps(owner: Owner, stranger: Owner) -> None:
    key, _ = await configured(owner)
    rotate = m.RotateProviderKey(owner.by, key.id, "sk-second-0123456789abcd", name="second")
    rotated = (await owner.house.ask(MANAGE, rotate, m.Resource)).face
    assert isinstance(rotated, m.ProviderKey)
    assert (rotated.id, rotated.version, rotated.name) == (key.id, 2, "second")
    fetch = FetchSealed(owner.by.account_id, key.id)
    sealed = await owner.house.ask("auth.sealed", fetch, SealedCredential)
    ring = PrivateRing(KeySource(path=Path(owner.house.environ["TOLLWAY_DATA_DIR"]) / "master.key"))
    assert open_sealed(sealed, ring) == "sk-second-0123456789abcd"
    foreign = FetchSealed(stranger.by.account_id, key.id)
    assert isinstance(await owner.house.client.ask("auth.sealed", foreign, SealedCredential, timeout_s=5), Refusal)


async def test_managed_credentials_are_the_operators_alone(owner: Owner, stranger: Owner) -> None:
    draft = m.ManagedCredentialDraft("openai", "sk-managed-0123456789")
    assert (await stranger.no(m.CreateResource(stranger.by, draft))).code == "forbidden"
    await owner.create(draft)
    again = (await owner.create(draft)).face
    assert isinstance(again, m.ManagedCredential)
    assert (again.id, again.version) == ("managed:openai", 2)
    listed = await owner.house.ask("auth.sealed", ListManaged(), ManagedList)
    assert [(box.account_id, box.credential_id, box.version) for box in listed.items] == [
        ("platform", "managed:openai", 2)
    ]


async def test_every_change_is_told_once_and_in_order(owner: Owner, house: House) -> None:
    heard: list[ConfigChanged] = []
    is_complete = asyncio.Event()

    async def hear(delivery: Delivery) -> None:
        heard.append(delivery.body)
        await delivery.ack()
        if delivery.body.id == configuration.id:
            is_complete.set()

    key, configuration = await configured(owner)
    follower = await MemoryBus("router", house.broker).follow(
        "CONFIG", ["config.>"], [ConfigChanged], hear, durable="test"
    )
    await asyncio.wait_for(is_complete.wait(), 5)
    await follower.stop()
    assert [note.version for note in heard] == list(range(1, len(heard) + 1))
    assert heard[0].kind == "account", "what was written while auth was down is told too"
    assert [(note.kind, note.id) for note in heard[-2:]] == [
        ("provider_key", key.id),
        ("configuration", configuration.id),
    ]


async def test_versions_rise_with_the_accounts_changes_and_not_with_strangers(owner: Owner, stranger: Owner) -> None:
    first = (await owner.principal()).version
    await stranger.create(m.AccessKeyDraft("theirs"))
    second = (await owner.principal()).version
    await owner.create(m.AccessKeyDraft("ours"))
    third = (await owner.principal()).version
    assert first == second < third


async def test_dropped_projections_come_back_from_the_log(owner: Owner, house: House) -> None:
    await configured(owner)
    room = await house.open()
    before = room.state.dump()
    await house.close()
    url = settings.read("auth", house.environ).database("auth")
    engine = create_engine(url)
    with engine.begin() as connection:
        kept = connection.execute(text("SELECT kind, id, body FROM auth_record ORDER BY kind, id")).all()
        connection.execute(text("DELETE FROM auth_record"))
    Store(open_engine(url, is_writer=True)).rebuild()
    with engine.begin() as connection:
        again = connection.execute(text("SELECT kind, id, body FROM auth_record ORDER BY kind, id")).all()
    engine.dispose()
    assert [tuple(row) for row in again] == [tuple(row) for row in kept]
    assert (await house.open()).state.dump() == before


async def test_two_auth_processes_on_one_log_agree(house_on_both: House) -> None:
    made = house_on_both.first_account()
    rooms = [await house_on_both.open(), await house_on_both.open()]
    owner = Owner(house_on_both, await house_on_both.principal(made.api_key), made.access_key)
    await asyncio.gather(*(owner.create(m.AccessKeyDraft(f"k{n}")) for n in range(8)))
    for room in rooms:
        await room.journal.catch_up()
    assert rooms[0].state.dump() == rooms[1].state.dump()
    assert len(rooms[0].state.records("access_key", made.account_id)) == 9


async def test_a_process_that_is_behind_reads_the_log_before_it_answers(house_on_both: House) -> None:
    made = house_on_both.first_account()
    late, writer = await house_on_both.open(), await house_on_both.open()
    owner = Owner(house_on_both, await house_on_both.principal(made.api_key), made.access_key)
    key = await owner.create(m.ProviderKeyDraft("openai", "sk-before-rotation-0001"))
    new = await owner.create(m.AccessKeyDraft("new"))
    for room in (late, writer):
        await room.journal.catch_up()
    for task in late._tasks:  # it hears nothing any more and does not look by itself
        task.cancel()
    await writer.journal.decide(lambda state: (domain.delete(state, delete_of(owner, made.access_key_id), 1), None))
    assert late.state.seq < writer.state.seq
    answers: list[msgspec.Struct] = []
    handlers.check_access_key(late, CheckAccessKey(made.access_key), NOTHING, answers.append)
    assert isinstance(answers[0], Principal)  # what nobody has heard of cannot be waited for
    seen = writer.state.seq
    asked = [
        (handlers.check_access_key, CheckAccessKey(made.access_key, seen)),
        (handlers.check_access_key, CheckAccessKey(new.token, seen)),
        (handlers.fetch_sealed, FetchSealed(made.account_id, key.face.id, seen)),
        (handlers.list_managed, ListManaged(seen + 1_000)),  # a version that is in no log is not waited for
    ]
    for handler, command in asked:
        handler(late, command, NOTHING, answers.append)
    while len(answers) < 5:  # noqa: ASYNC110  handlers answer by a plain call
        await asyncio.sleep(0.01)
    kinds = {type(answer) for answer in answers[1:]}
    assert kinds == {Refusal, Principal, SealedCredential, ManagedList}


async def test_what_another_process_wrote_is_shown_at_once(house_on_both: House) -> None:
    made = house_on_both.first_account()
    late, writer = await house_on_both.open(), await house_on_both.open()
    by = await house_on_both.principal(made.api_key)
    for task in late._tasks:
        task.cancel()
    draft = m.CreateResource(by, m.AccessKeyDraft("new"))
    told = await handlers.create_resource(writer, draft, NOTHING)
    assert isinstance(told, m.Created)
    assert await handlers.get_resource(late, m.GetResource(by, "access_key", told.face.id), NOTHING) == m.Resource(
        told.face
    )


async def test_a_process_that_hears_of_a_change_does_not_wait_for_its_next_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LOOK_AGAIN_S", 3_600.0)
    made = house.first_account()
    late, writer = await house.open(), await house.open()
    by = await house.principal(made.api_key)
    await asyncio.sleep(0.05)  # both have begun their nap
    await handlers.create_resource(writer, m.CreateResource(by, m.AccessKeyDraft("new")), NOTHING)
    async with asyncio.timeout(20):
        while late.state.seq < writer.state.seq:  # noqa: ASYNC110  nobody is told that a log was read
            await asyncio.sleep(0.005)


def delete_of(owner: Owner, access_key_id: str) -> m.DeleteResource:
    return m.DeleteResource(owner.by, "access_key", access_key_id)


async def test_last_use_is_shown_and_survives_a_restart(owner: Owner, house: House) -> None:
    principal = await owner.principal()
    shown = await owner.get("access_key", principal.access_key_id)
    assert isinstance(shown, m.AccessKey)
    assert shown.last_used_ms is not None
    await house.close()
    await house.open()
    again = await owner.get("access_key", principal.access_key_id)
    assert again == shown

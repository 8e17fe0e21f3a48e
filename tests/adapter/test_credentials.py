"""What opens a provider: the operator's keys, accounts' keys under seal, and who may be connected to with them."""

from pathlib import Path

import msgspec
import pytest

from tests.adapter.conftest import ACCOUNT, candidate
from tollway.adapter.credentials import Credentials, Way
from tollway.bus import Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.dialects.built_in import BUILT_IN
from tollway.sealing import Bound, PrivateRing, Sealer, create_master_key, private_source, public_source
from tollway.settings import SettingsError
from tollway.wire import subjects
from tollway.wire.access import ConfigChanged, FetchSealed, ListManaged, ManagedList, SealedCredential
from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal, refuse

ROWS = {row.id: row for row in BUILT_IN}
SECRET = "sk-proj-a-secret-of-the-account"


class Auth:
    """Auth's side: closes boxes and hands them out."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        create_master_key(directory / "master.key", directory / "master.pub")
        self.sealer = Sealer(public_source({}, directory))
        self.ring = PrivateRing(private_source({}, directory))
        self.boxes: dict[str, SealedCredential] = {}
        self.asked = 0
        self.seen_versions: list[int] = []
        self.bus = MemoryBus("auth-1", broker)

    async def open(self) -> None:
        handlers = [
            Handles(subjects.AUTH_SEALED, FetchSealed, self._hand_out),
            Handles(subjects.AUTH_SEALED, ListManaged, self._list_managed),
        ]
        await self.bus.serve(handlers, None, queue="auth")

    def keep(self, key_id: str, value: str, *, provider: str = "openai", version: int = 1) -> None:
        self.boxes[key_id] = self.sealer.seal(value, Bound(ACCOUNT, provider, key_id, version))

    async def _list_managed(self, _room: object, _command: ListManaged, _context: Context) -> ManagedList:
        return ManagedList(tuple(box for box in self.boxes.values() if box.credential_id.startswith("managed:")))

    async def _hand_out(self, _room: object, command: FetchSealed, _context: Context) -> SealedCredential | Refusal:
        self.asked += 1
        self.seen_versions.append(command.seen_version)
        return self.boxes.get(command.credential_id) or refuse("resource_missing")


@pytest.fixture
async def auth(tmp_path: Path) -> Auth:
    opened = Auth(tmp_path, Broker())
    await opened.open()
    return opened


def credentials(environ: dict[str, str], auth: Auth | None = None) -> Credentials:
    bus = MemoryBus("adapter-1", auth.bus._broker if auth else Broker())
    return Credentials(ROWS, environ, bus=bus, ring=auth.ring if auth else None)


def users(key_id: str = "aigpk_1", **more: object):
    return candidate("gpt-4o", provider="openai", credential_id=key_id, is_managed=False, **more)


async def opened(them: Credentials, it: object) -> Way:
    way = await them.open(it, ACCOUNT)  # type: ignore[arg-type]
    assert isinstance(way, Way), way
    return way


async def refused(them: Credentials, it: object) -> Refusal:
    refusal = await them.open(it, ACCOUNT)  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal)
    return refusal


async def test_the_operators_key_is_the_customary_variable_or_our_own() -> None:
    them = credentials({"OPENAI_API_KEY": "sk-a", "GROQ_API_KEY": "gsk-b", "TOLLWAY_GROQ_API_KEY": "gsk-own"})
    assert them.offered == ("groq", "openai")
    managed = candidate("gpt-4o", provider="openai", credential_id="managed:openai")
    way = await opened(them, managed)
    assert (way.headers["authorization"], way.target.host, way.target.is_tls) == ("Bearer sk-a", "api.openai.com", True)
    groq = await opened(them, candidate("llama", provider="groq"))
    assert groq.headers["authorization"] == "Bearer gsk-own"


async def test_an_address_of_the_operators_may_be_anywhere() -> None:
    them = credentials({"OPENAI_API_KEY": "sk-a", "TOLLWAY_OPENAI_BASE_URL": "http://127.0.0.1:9999"})
    way = await opened(them, candidate("gpt-4o", provider="openai"))
    assert (way.target.port, way.target.base_path, way.target.reach.is_anywhere) == (9999, "/v1", True)


@pytest.mark.parametrize("name", ["TOLLWAY_SIMULATOR_URL", "TOLLWAY_SIMULATOR_BASE_URL"])
async def test_the_simulator_is_offered_where_its_address_is_known(name: str) -> None:
    assert credentials({name: "http://127.0.0.1:1/v1"}).offered == ("simulator",)


async def test_a_provider_without_the_operators_key_is_refused() -> None:
    assert (await refused(credentials({}), candidate("gpt-4o", provider="openai"))).code == "no_provider_key"


async def test_an_accounts_key_is_asked_for_once_and_opened_here(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET)
    them = credentials({}, auth)
    for _ in range(3):
        assert (await opened(them, users())).headers["authorization"] == f"Bearer {SECRET}"
    assert auth.asked == 1


async def test_a_changed_configuration_makes_it_ask_anew(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET)
    them = credentials({}, auth)
    await opened(them, users())
    auth.keep("aigpk_1", "sk-rotated", version=2)
    them.forget(ConfigChanged("another_account", 2, "provider_key"))
    assert (await opened(them, users())).headers["authorization"] == f"Bearer {SECRET}"
    them.forget(ConfigChanged(ACCOUNT, 2, "provider_key"))
    assert (await opened(them, users())).headers["authorization"] == "Bearer sk-rotated"
    del auth.boxes["aigpk_1"]
    them.forget_all()
    assert (await refused(them, users())).code == "resource_missing"
    assert auth.seen_versions == [0, 2, 2]


async def test_a_box_that_was_moved_or_altered_does_not_open(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET)
    them = credentials({}, auth)
    auth.boxes["aigpk_2"] = msgspec.structs.replace(auth.boxes["aigpk_1"], credential_id="aigpk_2")
    assert (await refused(them, users("aigpk_2"))).code == "no_provider_key"
    auth.boxes["aigpk_3"] = auth.boxes["aigpk_1"]
    assert (await refused(them, users("aigpk_3"))).code == "no_provider_key"


async def test_a_key_is_not_sent_to_another_provider_than_its_own(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET, provider="anthropic")
    refusal = await refused(credentials({}, auth), users())
    assert refusal.code == "no_provider_key"


async def test_without_a_master_key_accounts_keys_stay_closed(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET)
    them = Credentials(ROWS, {}, bus=MemoryBus("adapter-1", auth.bus._broker), ring=None)
    assert "master key" in (await refused(them, users())).message


async def test_a_key_that_no_header_can_carry_is_refused(auth: Auth) -> None:
    auth.keep("aigpk_1", "sk-a\r\nx-evil: 1")
    refusal = await refused(credentials({}, auth), users())
    assert refusal.code == "no_provider_key"
    assert "evil" not in refusal.message


async def test_a_custom_provider_reaches_inside_only_where_operator_and_account_agree(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET, provider="mine")
    inside = {"TOLLWAY_ALLOW_PRIVATE_CIDRS": "private, 127.0.0.0/8"}
    mine = {"provider": "mine", "credential_id": "aigpk_1", "is_managed": False, "base_url": "http://10.0.0.7:11434/v1"}
    allowed = await opened(credentials(inside, auth), candidate("m", **mine, is_private_address_allowed=True))
    assert "10.0.0.0/8" in allowed.target.reach.allow_cidrs
    for environ, flag in ((inside, False), ({}, True)):
        way = await opened(credentials(environ, auth), candidate("m", **mine, is_private_address_allowed=flag))
        assert (way.target.reach.is_anywhere, way.target.reach.allow_cidrs) == (False, ())


async def test_a_changed_list_of_parameters_holds_at_once(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET, provider="mine")
    them = credentials({}, auth)
    mine = {"provider": "mine", "credential_id": "aigpk_1", "is_managed": False, "base_url": "https://models.example"}
    for listed in (None, ("stop",), ()):
        way = await opened(them, candidate("m", **mine, supported_params=listed))
        assert way.row.supported_params == listed


async def test_a_custom_provider_without_a_key_is_asked_without_one() -> None:
    it = candidate("m", provider="mine", credential_id="", is_managed=False, base_url="https://models.example")
    way = await opened(credentials({}), it)
    assert "authorization" not in way.headers


def test_a_range_that_is_none_is_named() -> None:
    with pytest.raises(SettingsError, match="TOLLWAY_ALLOW_PRIVATE_CIDRS"):
        credentials({"TOLLWAY_ALLOW_PRIVATE_CIDRS": "everything"})


async def test_nothing_that_shows_a_way_shows_its_key(auth: Auth) -> None:
    auth.keep("aigpk_1", SECRET)
    them = credentials({"GROQ_API_KEY": "gsk-secret"}, auth)
    ways = [await opened(them, users()), await opened(them, candidate("m", provider="groq"))]
    for shown in map(repr, (*ways, them._managed, them._secrets._answers)):
        assert SECRET not in shown
        assert "gsk-secret" not in shown


async def test_the_operators_kept_credentials_are_offered_and_the_environment_wins(auth: Auth) -> None:
    for provider, account in (("groq", "platform"), ("openai", "platform"), ("deepseek", ACCOUNT)):
        bound = Bound(account, provider, f"managed:{provider}", 1)
        auth.boxes[f"managed:{provider}"] = auth.sealer.seal(f"kept-{provider}", bound)
    them = credentials({"OPENAI_API_KEY": "from-environment"}, auth)
    assert them.offered == ("openai",)
    assert await them.learn_managed()
    assert them.offered == ("groq", "openai")
    groq = await opened(them, candidate("llama", provider="groq", credential_id="managed:groq"))
    assert groq.headers["authorization"] == "Bearer kept-groq"
    openai = await opened(them, candidate("gpt-4o", provider="openai", credential_id="managed:openai"))
    assert openai.headers["authorization"] == "Bearer from-environment"
    del auth.boxes["managed:groq"]
    assert await them.learn_managed()
    assert them.offered == ("openai",)


async def test_without_auth_the_environment_is_all_there_is() -> None:
    them = credentials({"OPENAI_API_KEY": "sk-a"})
    assert not await them.learn_managed()
    assert them.offered == ("openai",)

"""The first account of an installation: made offline, in the database, by whoever may write there anyway.

There is no default password and no bootstrap token on the bus. `tollway up` (or a job that runs beside the database)
calls `first_account` after the migrations; auth need not be stopped: it sees new events of its log within a second.

What comes back is the only time anybody sees the keys. Called again (a start that died before it kept them), the
first account gets another pair; the lost pair stays valid until it is deleted over the API. `recover` is the same for
an operator who lost the API key.
"""

import msgspec

from tollway import clock
from tollway.auth import domain
from tollway.auth.domain import Asked, Decision
from tollway.auth.events import Event
from tollway.auth.mint import Mint
from tollway.auth.peppers import open_peppers
from tollway.auth.rules import Surroundings
from tollway.auth.service import check_tables
from tollway.auth.state import State
from tollway.auth.store import Store
from tollway.sealing import Sealer, public_source
from tollway.settings import Settings, SettingsError
from tollway.store.engine import open_engine
from tollway.wire.access import ApiPrincipal
from tollway.wire.management import AccessKeyDraft, Account, ApiKey, ApiKeyDraft, CreateResource
from tollway.wire.refusals import Refusal

TRIES = 5


class FirstAccount(msgspec.Struct, frozen=True):
    """Ids and the keys in clear; show or store them once."""

    account_id: str
    api_key_id: str
    access_key_id: str
    api_key: str
    access_key: str

    def __repr__(self) -> str:
        """Without the keys."""
        return f"FirstAccount({self.account_id!r})"


def first_account(settings: Settings, *, name: str = "default") -> FirstAccount:
    """Make the first account with an operator's API key and an access key; where there is one, another pair for it.

    Blocking. Raises SettingsError when the tables are missing or the database does not take it.
    """
    url = settings.database("auth")
    check_tables(url)
    store = Store(open_engine(url, is_writer=True))
    try:
        return _made(settings, store, name)
    finally:
        store.close()


def recover(settings: Settings) -> FirstAccount:
    """Another pair of keys for the first account: its operator lost the API key. Raises SettingsError as above, and
    where there is no account yet."""
    store = Store(open_engine(settings.database("auth")))
    try:
        check_tables(settings.database("auth"))
        if store.is_empty():
            raise SettingsError("there is no account yet")
    finally:
        store.close()
    return first_account(settings)


def _made(settings: Settings, store: Store, name: str) -> FirstAccount:
    peppers = open_peppers(settings.environ, settings.data_dir, is_first_start=store.is_empty())
    mint = Mint(peppers, Sealer(public_source(settings.environ, settings.data_dir)))
    for _ in range(TRIES):
        state = State()
        store.load(state)
        for seq, event in store.events_after(state.seq):
            state.apply(event, seq)
        events, made = _another_pair(state, mint) if _first(state) else _founded(state, mint, name)
        if store.append(state.seq, events):
            return made
    raise SettingsError("the first account could not be written: the log of auth is busy")


def _first(state: State) -> Account | None:
    """The oldest account that has an operator's API key."""
    keys = [record.face for record in reversed(state.all_of("api_key"))]
    owners = [key.account_id for key in keys if isinstance(key, ApiKey) and key.role == "operator"]
    return state.face(Account, owners[0], owners[0]) if owners else None


def _founded(state: State, mint: Mint, name: str) -> tuple[tuple[Event, ...], FirstAccount]:
    minted, api_key = mint.account(state)
    access, access_key = mint.access_key(state, minted.handle)
    events = domain.found(minted, access, name=name, now_ms=clock.now_ms())
    return events, FirstAccount(minted.id, minted.api_key_id, access.id, api_key, access_key)


def _another_pair(state: State, mint: Mint) -> tuple[tuple[Event, ...], FirstAccount]:
    account = _first(state)
    if account is None:
        raise AssertionError("asked only when there is one")
    by, around = ApiPrincipal(account.id, account.created_by, "operator"), Surroundings(frozenset())
    made: list[tuple[str, str]] = []
    events: list[Event] = []
    for draft in (ApiKeyDraft(name="recovered", role="operator"), AccessKeyDraft(name="recovered")):
        minted, token = mint.for_create(state, draft, Asked(by, clock.now_ms(), around))
        events += _events(domain.create(state, CreateResource(by, draft), minted, clock.now_ms(), around))
        made.append((minted.id, token))
    (api_id, api_key), (access_id, access_key) = made
    return tuple(events), FirstAccount(account.id, api_id, access_id, api_key, access_key)


def _events(decision: Decision) -> tuple[Event, ...]:
    if isinstance(decision, Refusal):
        raise AssertionError(decision.message)
    return decision

"""auth's commands: who asks for what is in the HANDLERS table at the end.

Verdicts (`check_…`, `fetch_sealed`) are answered from memory, without a database. Management commands are decided in
`domain`, through the journal.
"""

from typing import TYPE_CHECKING, Final

from tollway import clock
from tollway.auth import domain
from tollway.auth.domain import Asked, Decision, Minted
from tollway.auth.events import Record, ResourceChanged, ResourceCreated
from tollway.auth.principal import principal_of
from tollway.auth.state import State
from tollway.bus import Handles, Respond
from tollway.sealing import SealError
from tollway.wire import keys, subjects
from tollway.wire.access import (
    ApiPrincipal,
    CheckAccessKey,
    CheckApiKey,
    FetchSealed,
    ListManaged,
    ManagedList,
    Principal,
    SealedCredential,
)
from tollway.wire.envelope import Context
from tollway.wire.management import (
    PLATFORM,
    AccessKey,
    Account,
    AnyFace,
    ApiKey,
    Created,
    CreateResource,
    Deleted,
    DeleteResource,
    DescribeAccess,
    GetResource,
    Kind,
    ListResources,
    ListWrapped,
    Page,
    ProviderKey,
    Resource,
    Rewrap,
    Rewrapped,
    RotateProviderKey,
    UpdateResource,
    Wrapped,
    WrappedPage,
)
from tollway.wire.refusals import Refusal, refuse

if TYPE_CHECKING:
    from tollway.auth.service import Auth

NO_SEALING: Final = "Provider keys cannot be kept: this installation has no master key (run `tollway up` or set one)."


# -- verdicts


def check_access_key(room: "Auth", command: CheckAccessKey, context: Context, respond: Respond) -> None:
    """Principal, or `invalid_access_key`."""
    start_ns = clock.now_ns()

    def answer() -> None:
        verdict = _access_verdict(room, command.token)
        room.judged("access_key", verdict, context, start_ns)
        respond(verdict)

    room.when_it_knows(command.seen_version, answer, respond)


def _access_verdict(room: "Auth", token: str) -> Principal | Refusal:
    record = _proven(room, token, keys.ACCESS_KEY, "access_key")
    face = record.face if record else None
    if not isinstance(face, AccessKey):
        return refuse("invalid_access_key")
    problem = _key_problem(room.state, face)
    if problem:
        return refuse("invalid_access_key", problem)
    room.uses.saw(face.id)
    return room.principal(face)


def _key_problem(state: State, face: AccessKey) -> str:
    """Told only to who holds the key."""
    if not face.is_enabled:
        return "The access key is disabled."
    if face.expires_at_ms is not None and face.expires_at_ms <= clock.now_ms():
        return "The access key has expired."
    return "" if is_account_enabled(state, face.account_id) else "The account of this access key is disabled."


def is_account_enabled(state: State, account_id: str) -> bool:
    """Whether an account's keys are good for anything."""
    account = state.face(Account, account_id, account_id)
    return account is not None and account.is_enabled


def check_api_key(room: "Auth", command: CheckApiKey, context: Context, respond: Respond) -> None:
    """ApiPrincipal, or `unauthorized`."""
    start_ns = clock.now_ns()
    verdict = _api_verdict(room, command.token)
    room.judged("api_key", verdict, context, start_ns)
    respond(verdict)


def _api_verdict(room: "Auth", token: str) -> ApiPrincipal | Refusal:
    record = _proven(room, token, keys.API_KEY, "api_key")
    face = record.face if record else None
    if not isinstance(face, ApiKey) or not is_account_enabled(room.state, face.account_id):
        return refuse("unauthorized", "The API key is malformed, unknown or deleted, or its account is disabled.")
    room.uses.saw(face.id)
    return ApiPrincipal(face.account_id, face.id, face.role)


def _proven(room: "Auth", token: str, prefix: keys.Prefix, kind: Kind) -> Record | None:
    """The record of a key whose secret is right."""
    parts = keys.read_key(token, prefix)
    found = room.state.by_key(parts.id) if parts else None
    if parts is None or found is None or found[0] != kind or found[1].proof is None:
        return None
    if not room.peppers.is_proven(parts, found[1].proof):
        return None
    if found[1].proof.pepper_version != room.peppers.newest:
        room.rehash(parts)
    return found[1]


def fetch_sealed(room: "Auth", command: FetchSealed, _context: Context, respond: Respond) -> None:
    """SealedCredential, or `resource_missing`."""
    room.when_it_knows(command.seen_version, lambda: respond(_sealed(room, command)), respond)


def _sealed(room: "Auth", command: FetchSealed) -> SealedCredential | Refusal:
    is_managed = command.credential_id.startswith("managed:")
    kind: Kind = "managed_credential" if is_managed else "provider_key"
    record = room.state.find(kind, command.credential_id, PLATFORM if is_managed else command.account_id)
    if record is None or record.sealed is None:
        return refuse("resource_missing")
    room.uses.saw(command.credential_id)
    return record.sealed


def list_managed(room: "Auth", command: ListManaged, _context: Context, respond: Respond) -> None:
    """ManagedList: the operator's credentials, sealed."""

    def answer() -> None:
        records = room.state.records("managed_credential", PLATFORM)
        respond(ManagedList(tuple(record.sealed for record in records if record.sealed)))

    room.when_it_knows(command.seen_version, answer, respond)


# -- management


async def create_resource(room: "Auth", command: CreateResource, _context: Context) -> Created | Refusal:
    """See CreateResource."""

    def work(state: State) -> tuple[Decision, tuple[Decision, str]]:
        asked = Asked(command.by, clock.now_ms(), room.around)
        minted, token = _minted(room, state, command, asked)
        decision = (
            minted if isinstance(minted, Refusal) else domain.create(state, command, minted, asked.now_ms, room.around)
        )
        return decision, (decision, token)

    decided = await room.journal.decide(work)
    return decided if isinstance(decided, Refusal) else _created(room, *decided)


def _minted(room: "Auth", state: State, command: CreateResource, asked: Asked) -> tuple[Minted | Refusal, str]:
    try:
        return room.mint.for_create(state, command.draft, asked)
    except SealError:
        return refuse("feature_disabled", NO_SEALING), ""


def _created(room: "Auth", decision: Decision, token: str) -> Created | Refusal:
    """The last record made is the one that was asked for; an account's first key comes behind it."""
    if isinstance(decision, Refusal):
        return decision
    faces = [event.record.face for event in decision if isinstance(event, (ResourceCreated, ResourceChanged))]
    if isinstance(faces[0], Account):
        key = faces[1]
        return Created(room.shown(faces[0]), token, key if isinstance(key, ApiKey) else None)
    return Created(room.shown(faces[-1]), token)


async def update_resource(room: "Auth", command: UpdateResource, _context: Context) -> Resource | Refusal:
    """See UpdateResource."""
    kind: Kind = type(command.changes).__struct_config__.tag  # pyright: ignore[reportAssignmentType]  the tag is a Kind

    def work(state: State) -> tuple[Decision, None]:
        asked = Asked(command.by, clock.now_ms(), room.around)
        try:
            minted = room.mint.for_update(command.changes, asked, command.id)
        except SealError:
            return refuse("feature_disabled", NO_SEALING), None
        return domain.update(state, command, minted, asked.now_ms, room.around), None

    decided = await room.journal.decide(work)
    return decided if isinstance(decided, Refusal) else _resource(room, command.by, kind, command.id)


async def rotate_provider_key(room: "Auth", command: RotateProviderKey, _context: Context) -> Resource | Refusal:
    """See RotateProviderKey."""

    def work(state: State) -> tuple[Decision, None]:
        face = state.face(ProviderKey, command.id, command.by.account_id)
        if face is None:
            return refuse("resource_missing"), None
        try:
            minted = room.mint.for_rotation(face, command.value)
        except SealError:
            return refuse("feature_disabled", NO_SEALING), None
        return domain.rotate(state, command, minted, clock.now_ms()), None

    decided = await room.journal.decide(work)
    return decided if isinstance(decided, Refusal) else _resource(room, command.by, "provider_key", command.id)


async def delete_resource(room: "Auth", command: DeleteResource, _context: Context) -> Deleted | Refusal:
    """See DeleteResource."""

    def work(state: State) -> tuple[Decision, Deleted]:
        return domain.delete(state, command, clock.now_ms()), Deleted(command.id)

    return await room.journal.decide(work)


async def get_resource(room: "Auth", command: GetResource, _context: Context) -> Resource | Refusal:
    """See GetResource."""
    await room.journal.glance()
    return _resource(room, command.by, command.kind, command.id)


def _resource(room: "Auth", by: ApiPrincipal, kind: Kind, id_: str) -> Resource | Refusal:
    record = domain.reach(room.state, by, kind, id_)
    return record if isinstance(record, Refusal) else Resource(room.shown(record.face))


async def list_resources(room: "Auth", command: ListResources, _context: Context) -> Page | Refusal:
    """See ListResources."""
    await room.journal.glance()
    by, kind = command.by, command.kind
    if kind in domain.OPERATORS_ONLY and by.role != "operator":
        return refuse("forbidden", "Only an operator's API key may do that.")
    owner = PLATFORM if kind == "managed_credential" else by.account_id
    records = room.state.all_of(kind) if kind == "account" else room.state.records(kind, owner)
    faces = [record.face for record in records if _is_wanted(record.face, command)]
    page = faces[: command.limit]
    return Page(tuple(room.shown(face) for face in page), len(faces) > len(page))


def _is_wanted(face: AnyFace, command: ListResources) -> bool:
    if command.before_id and face.id >= command.before_id:
        return False
    return not command.provider_id or (isinstance(face, ProviderKey) and face.provider_id == command.provider_id)


async def describe_access(room: "Auth", command: DescribeAccess, _context: Context) -> Principal | Refusal:
    """See DescribeAccess."""
    await room.journal.glance()
    account_id = command.by.account_id
    face = room.state.face(AccessKey, command.access_key_id, account_id)
    if face is None and command.access_key_id:
        return refuse("resource_missing")
    return principal_of(room.state, face or _any_key(account_id), room.around)


def _any_key(account_id: str) -> AccessKey:
    return AccessKey(
        id="", account_id=account_id, created_at_ms=0, updated_at_ms=0, created_by="", updated_by="", key_redacted=""
    )


# -- master key rotation


async def list_wrapped(room: "Auth", command: ListWrapped, _context: Context) -> WrappedPage | Refusal:
    """See ListWrapped."""
    await room.journal.glance()
    if command.by.role != "operator":
        return refuse("forbidden", "Only an operator's API key may do that.")
    records = [*room.state.all_of("provider_key"), *room.state.all_of("managed_credential")]
    sealed = [record.sealed for record in records if record.sealed and record.sealed.kek_version < command.kek_version]
    return WrappedPage(tuple(map(_wrapped, sealed[: command.limit])))


def _wrapped(sealed: SealedCredential) -> Wrapped:
    fields = {name: getattr(sealed, name) for name in Wrapped.__struct_fields__}
    return Wrapped(**fields)


async def rewrap(room: "Auth", command: Rewrap, _context: Context) -> Rewrapped | Refusal:
    """See Rewrap."""
    if command.by.role != "operator":
        return refuse("forbidden", "Only an operator's API key may do that.")

    def work(state: State) -> tuple[Decision, int]:
        events = domain.rewrap_all(state, command.items)
        return events, len(events)

    count = await room.journal.decide(work)
    return count if isinstance(count, Refusal) else Rewrapped(count)


HANDLERS: Final = (
    Handles(subjects.AUTH_CHECK, CheckAccessKey, check_access_key, is_direct=True),
    Handles(subjects.AUTH_CHECK_API, CheckApiKey, check_api_key, is_direct=True),
    Handles(subjects.AUTH_SEALED, FetchSealed, fetch_sealed, is_direct=True),
    Handles(subjects.AUTH_SEALED, ListManaged, list_managed, is_direct=True),
    Handles(subjects.AUTH_MANAGE, CreateResource, create_resource),
    Handles(subjects.AUTH_MANAGE, UpdateResource, update_resource),
    Handles(subjects.AUTH_MANAGE, DeleteResource, delete_resource),
    Handles(subjects.AUTH_MANAGE, GetResource, get_resource),
    Handles(subjects.AUTH_MANAGE, ListResources, list_resources),
    Handles(subjects.AUTH_MANAGE, DescribeAccess, describe_access),
    Handles(subjects.AUTH_MANAGE, RotateProviderKey, rotate_provider_key),
    Handles(subjects.AUTH_MANAGE, ListWrapped, list_wrapped),
    Handles(subjects.AUTH_MANAGE, Rewrap, rewrap),
)

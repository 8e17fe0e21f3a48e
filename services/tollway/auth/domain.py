"""Commands to events: every decision of auth, pure. Given the state, a command and what was drawn for it, either
the events that happened or a refusal.

Ids of other accounts are answered like ids that do not exist. `CREATE`, `CHANGE` and `IN_USE` at the end are the
tables from a kind of resource to its rules.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, structs

from tollway.auth.events import Event, Proof, Record, ResourceChanged, ResourceCreated, ResourceDeleted
from tollway.auth.routes import Place, Routed, inline_keys, is_provider, provider_of, route
from tollway.auth.rules import (
    Surroundings,
    access_problem,
    base_url_refusal,
    invalid,
    limits_problem,
    models_problem,
    pool_problem,
    provider_id_problem,
    surfaces_problem,
)
from tollway.auth.state import State
from tollway.wire.access import ApiPrincipal, SealedCredential
from tollway.wire.management import (
    PLATFORM,
    AccessKey,
    AccessKeyChanges,
    AccessKeyDraft,
    Account,
    AccountDraft,
    AnyChanges,
    AnyFace,
    ApiKey,
    ApiKeyDraft,
    Configuration,
    ConfigurationChanges,
    ConfigurationDraft,
    CreateResource,
    DeleteResource,
    GatewaySettings,
    Kind,
    ManagedCredential,
    ManagedCredentialDraft,
    Provider,
    ProviderChanges,
    ProviderDraft,
    ProviderKey,
    ProviderKeyDraft,
    ProviderModel,
    RotateProviderKey,
    UpdateResource,
    Wrapped,
)
from tollway.wire.refusals import Refusal, refuse

Decision = tuple[Event, ...] | Refusal
OPERATORS_ONLY: Final[frozenset[Kind]] = frozenset({"account", "managed_credential"})


class MintedKey(msgspec.Struct, frozen=True):
    """A drawn token's lasting parts."""

    proof: Proof
    redacted: str


class Minted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What chance and cryptography gave a command: ids, keyed hashes, sealed values. `spare_ids` are for models."""

    id: str
    key: MintedKey | None = None
    api_key_id: str = ""
    handle: str = ""
    sealed: SealedCredential | None = None
    redacted: str = ""
    inline: Mapping[Place, Record] = {}
    spare_ids: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """The circumstances of a command."""

    by: ApiPrincipal
    now_ms: int
    around: Surroundings


# -- create


def create(state: State, command: CreateResource, minted: Minted, now_ms: int, around: Surroundings) -> Decision:
    """Refusals: `forbidden`, `validation`, `conflict`."""
    asked = Asked(command.by, now_ms, around)
    kind: Kind = type(command.draft).__struct_config__.tag  # pyright: ignore[reportAssignmentType]  the tag is a Kind
    if kind in OPERATORS_ONLY and command.by.role != "operator":
        return refuse("forbidden", "Only an operator's API key may do that.")
    return CREATE[type(command.draft)](state, command.draft, minted, asked)


def _create_account(_state: State, draft: AccountDraft, minted: Minted, asked: Asked) -> Decision:
    face = _face(Account, draft, minted.id, asked, minted.id, handle=minted.handle)
    return (ResourceCreated(Record(face)), *_first_key(minted, asked, "admin"))


def _first_key(minted: Minted, asked: Asked, role: Literal["operator", "admin"]) -> tuple[Event, ...]:
    key = _minted_key(minted)
    draft = ApiKeyDraft(name="first", role=role)
    face = _face(ApiKey, draft, minted.api_key_id, asked, minted.id, key_redacted=key.redacted, without="account_id")
    return (ResourceCreated(Record(face, proof=key.proof)),)


def found(minted: Minted, access_key: Minted, *, name: str, now_ms: int) -> tuple[Event, ...]:
    """The first account with an operator's API key and an access key: what happens before anybody can ask."""
    by = ApiPrincipal(minted.id, minted.api_key_id, "operator")
    asked = Asked(by, now_ms, Surroundings(frozenset()))
    account = _face(Account, AccountDraft(name), minted.id, asked, minted.id, handle=minted.handle)
    made = _create_access_key(State(), AccessKeyDraft(name="first"), access_key, asked)
    if isinstance(made, Refusal):
        raise AssertionError(made.message)
    return (ResourceCreated(Record(account)), *_first_key(minted, asked, "operator"), *made)


def _create_api_key(state: State, draft: ApiKeyDraft, minted: Minted, asked: Asked) -> Decision:
    account_id = draft.account_id or asked.by.account_id
    if (account_id != asked.by.account_id or draft.role == "operator") and asked.by.role != "operator":
        return refuse("forbidden", "Only an operator's API key may do that.")
    if state.account(account_id) is None:
        return invalid("accountId", "there is no such account")
    key = _minted_key(minted)
    face = _face(ApiKey, draft, minted.id, asked, account_id, key_redacted=key.redacted, without="account_id")
    return (ResourceCreated(Record(face, proof=key.proof)),)


def _create_access_key(state: State, draft: AccessKeyDraft, minted: Minted, asked: Asked) -> Decision:
    problem = limits_problem(draft.limits) or _access_key_problem(
        state, asked, configuration_id=draft.configuration_id, expires_at_ms=draft.expires_at_ms
    )
    if problem is not None:
        return problem
    key = _minted_key(minted)
    face = _face(AccessKey, draft, minted.id, asked, key_redacted=key.redacted)
    return (ResourceCreated(Record(face, proof=key.proof)),)


def _access_key_problem(
    state: State, asked: Asked, *, configuration_id: str | None, expires_at_ms: int | None
) -> Refusal | None:
    if configuration_id is not None and not state.find("configuration", configuration_id, asked.by.account_id):
        return invalid("accessKeyConfigurationId", "there is no such access key configuration")
    if expires_at_ms is not None and expires_at_ms <= asked.now_ms:
        return invalid("expiresAt", "lies in the past")
    return None


def _create_configuration(state: State, draft: ConfigurationDraft, minted: Minted, asked: Asked) -> Decision:
    problem = access_problem(draft.access)
    routed = problem or _routed(state, draft, minted, asked)
    if isinstance(routed, Refusal):
        return routed
    rules = routed.rules if draft.rules is not None else None
    face = _face(Configuration, draft, minted.id, asked, rules=rules)
    return (*map(ResourceCreated, routed.new_keys), ResourceCreated(Record(face)))


def _routed(
    state: State, draft: ConfigurationDraft | ConfigurationChanges, minted: Minted, asked: Asked
) -> Routed | Refusal:
    rules = () if draft.rules is UNSET else draft.rules or ()
    return route(state, asked.by.account_id, rules, minted.inline, asked.around)


def inline_record(
    draft: ConfigurationDraft | ConfigurationChanges, place: Place, minted: Minted, asked: Asked
) -> Record:
    """The provider key that a configuration brings along at this place."""
    rules = () if draft.rules is UNSET else draft.rules or ()
    rule, key = next((rule, key) for at, rule, key in inline_keys(rules) if at == place)
    given = ProviderKeyDraft(provider_of(rule) or "", key.value or "", name=key.name)
    face = _face(ProviderKey, given, minted.id, asked, key_redacted=minted.redacted, without="value")
    return Record(face, sealed=minted.sealed)


def _create_provider_key(state: State, draft: ProviderKeyDraft, minted: Minted, asked: Asked) -> Decision:
    if not is_provider(state, asked.by.account_id, draft.provider_id, asked.around):
        return invalid("providerId", "is neither a built-in provider nor one of this account")
    face = _face(ProviderKey, draft, minted.id, asked, key_redacted=minted.redacted, without="value")
    return (ResourceCreated(Record(face, sealed=minted.sealed)),)


def _create_provider(state: State, draft: ProviderDraft, minted: Minted, asked: Asked) -> Decision:
    problem = (
        provider_id_problem(draft.provider_id, asked.around)
        or base_url_refusal(draft.base_url, asked.around)
        or surfaces_problem(draft.surfaces)
        or models_problem(draft.models)
        or pool_problem(draft.pool)
    )
    if problem is not None:
        return problem
    if any(other.provider_id == draft.provider_id for other in state.faces(Provider, asked.by.account_id)):
        return refuse(
            "conflict", "A provider with this id exists.", param="providerId", details={"providerId": "exists"}
        )
    models = _models(draft.models, (), minted.spare_ids)
    face = _face(Provider, draft, minted.id, asked, models=models)
    return (ResourceCreated(Record(face)),)


def _models(
    wanted: tuple[str, ...], known: tuple[ProviderModel, ...], spare_ids: tuple[str, ...]
) -> tuple[ProviderModel, ...]:
    """The wanted set; a model that stays keeps its id."""
    ids = {model.model_id: model.id for model in known}
    spare = iter(spare_ids)
    return tuple(ProviderModel(ids.get(model) or next(spare), model) for model in wanted)


def _create_managed(state: State, draft: ManagedCredentialDraft, minted: Minted, asked: Asked) -> Decision:
    if draft.provider_id not in asked.around.builtin_providers:
        return invalid("providerId", "is not a built-in provider")
    sealed = minted.sealed
    version = sealed.version if sealed else 1
    known = state.face(ManagedCredential, minted.id, PLATFORM)
    face = _face(ManagedCredential, draft, minted.id, asked, PLATFORM, key_redacted=minted.redacted, without="value")
    if known is None:
        return (ResourceCreated(Record(face, sealed=sealed)),)
    kept = structs.replace(face, created_at_ms=known.created_at_ms, created_by=known.created_by, version=version)
    return (ResourceChanged(Record(kept, sealed=sealed)),)


def _minted_key(minted: Minted) -> MintedKey:
    if minted.key is None:
        raise AssertionError("a key was to be minted")
    return minted.key


def _face(
    make: Callable[..., Any],
    draft: msgspec.Struct,
    id_: str,
    asked: Asked,
    account_id: str | None = None,
    *,
    without: str = "",
    **more: Any,
) -> Any:
    """A face with a draft's fields, but for the one that must not be in it."""
    fields = {name: value for name, value in structs.asdict(draft).items() if name != without}
    by = asked.by
    stamp = {"created_at_ms": asked.now_ms, "updated_at_ms": asked.now_ms, "created_by": by.api_key_id}
    return make(id=id_, account_id=account_id or by.account_id, updated_by=by.api_key_id, **stamp, **{**fields, **more})


# -- update


def update(state: State, command: UpdateResource, minted: Minted, now_ms: int, around: Surroundings) -> Decision:
    """Only what was given changes. Nothing to change: no event. Refusals: `resource_missing`, `validation`,
    `forbidden`."""
    asked = Asked(command.by, now_ms, around)
    kind: Kind = type(command.changes).__struct_config__.tag  # pyright: ignore[reportAssignmentType]  the tag is a Kind
    record = reach(state, asked.by, kind, command.id)
    if isinstance(record, Refusal):
        return record
    change = CHANGE.get(kind)
    given = given_fields(command.changes)
    if change is None:
        return _changed(record, given, asked)
    return change(state, record, command.changes, given, minted, asked)


def given_fields(changes: AnyChanges) -> dict[str, Any]:
    """What a caller gave, with None for what is to be cleared."""
    return {name: value for name, value in structs.asdict(changes).items() if value is not UNSET}


def reach(state: State, by: ApiPrincipal, kind: Kind, id_: str) -> Record | Refusal:
    """The record that this caller may work on."""
    if kind == "settings":
        return _settings(state, by, id_)
    if kind in OPERATORS_ONLY and by.role != "operator" and id_ != by.account_id:
        return refuse("resource_missing")
    account_id = {"account": id_, "managed_credential": PLATFORM}.get(kind, by.account_id)
    return state.find(kind, id_, account_id) or refuse("resource_missing")


def _settings(state: State, by: ApiPrincipal, id_: str) -> Record | Refusal:
    """Settings exist for every account, written or not."""
    if id_ != by.account_id and not (id_ == PLATFORM and by.role == "operator"):
        return refuse("resource_missing")
    known = state.find("settings", id_, id_)
    return known or Record(
        GatewaySettings(id=id_, account_id=id_, created_at_ms=0, updated_at_ms=0, created_by="", updated_by="")
    )


def _changed(record: Record, given: Mapping[str, Any], asked: Asked) -> Decision:
    face: AnyFace = structs.replace(record.face, **given)
    if face == record.face:
        return ()
    stamped = structs.replace(face, updated_at_ms=asked.now_ms, updated_by=asked.by.api_key_id)
    return (ResourceChanged(structs.replace(record, face=stamped)),)


def _change_account(
    _state: State, record: Record, _changes: AnyChanges, given: dict[str, Any], _minted: Minted, asked: Asked
) -> Decision:
    if asked.by.role != "operator":
        return refuse("forbidden", "Only an operator's API key may do that.")
    if given.get("is_enabled") is False and record.face.id == asked.by.account_id:
        return refuse("conflict", "An account cannot disable itself.", param="enabled")
    return _changed(record, given, asked)


def _change_access_key(
    state: State, record: Record, changes: AnyChanges, given: dict[str, Any], _minted: Minted, asked: Asked
) -> Decision:
    face = record.face
    if not isinstance(face, AccessKey) or not isinstance(changes, AccessKeyChanges):
        raise AssertionError("an access key is changed by its own changes")
    if changes.limits is not UNSET:
        some = {name: value for name, value in structs.asdict(changes.limits).items() if value is not UNSET}
        given = {**given, "limits": structs.replace(face.limits, **some)}
    problem = limits_problem(given.get("limits", face.limits)) or _access_key_problem(
        state, asked, configuration_id=given.get("configuration_id"), expires_at_ms=given.get("expires_at_ms")
    )
    return problem or _changed(record, given, asked)


def _change_configuration(
    state: State, record: Record, changes: AnyChanges, given: dict[str, Any], minted: Minted, asked: Asked
) -> Decision:
    if not isinstance(changes, ConfigurationChanges):
        raise AssertionError("a configuration is changed by its own changes")
    problem = access_problem(given.get("access"))
    routed = problem or _routed(state, changes, minted, asked)
    if isinstance(routed, Refusal):
        return routed
    if given.get("rules") is not None:
        given = {**given, "rules": routed.rules}
    changed = _changed(record, given, asked)
    return changed if isinstance(changed, Refusal) else (*map(ResourceCreated, routed.new_keys), *changed)


def _change_provider(
    _state: State, record: Record, changes: AnyChanges, given: dict[str, Any], minted: Minted, asked: Asked
) -> Decision:
    face = record.face
    if not isinstance(face, Provider) or not isinstance(changes, ProviderChanges):
        raise AssertionError("a provider is changed by its own changes")
    given = {name: () if name in ("surfaces", "models") and value is None else value for name, value in given.items()}
    problem = (
        (base_url_refusal(given["base_url"], asked.around) if "base_url" in given else None)
        or surfaces_problem(given.get("surfaces", ()))
        or models_problem(given.get("models", ()))
        or (pool_problem(given["pool"]) if "pool" in given else None)
    )
    if problem is not None:
        return problem
    if "models" in given:
        given = {**given, "models": _models(given["models"], face.models, minted.spare_ids)}
    return _changed(record, given, asked)


def rotate(state: State, command: RotateProviderKey, minted: Minted, now_ms: int) -> Decision:
    """Another value under the same id, one version further. Refusals: `resource_missing`."""
    asked = Asked(command.by, now_ms, Surroundings(frozenset()))
    record = state.find("provider_key", command.id, command.by.account_id)
    if record is None or not isinstance(record.face, ProviderKey) or minted.sealed is None:
        return refuse("resource_missing")
    given: dict[str, Any] = {"version": minted.sealed.version, "key_redacted": minted.redacted}
    if command.name is not UNSET:
        given["name"] = command.name
    return _changed(structs.replace(record, sealed=minted.sealed), given, asked)


def rewrap_all(state: State, items: Sequence[Wrapped]) -> tuple[Event, ...]:
    """The same data keys under another master key; nothing for values rotated or deleted meanwhile."""
    rewrapped = (_rewrapped(state, item) for item in items)
    return tuple(ResourceChanged(record) for record in rewrapped if record is not None)


def _rewrapped(state: State, item: Wrapped) -> Record | None:
    kind: Kind = "managed_credential" if item.account_id == PLATFORM else "provider_key"
    record = state.find(kind, item.credential_id, item.account_id)
    if record is None or record.sealed is None or record.sealed.version != item.version:
        return None
    if record.sealed.kek_version >= item.kek_version:
        return None
    sealed = structs.replace(record.sealed, kek_version=item.kek_version, wrapped_key=item.wrapped_key)
    return structs.replace(record, sealed=sealed)


def rehash(state: State, key_id: str, proof: Proof) -> Decision:
    """A good key was seen whose hash is under an older pepper: keep it under the newest."""
    found_key = state.by_key(key_id)
    if found_key is None or found_key[1].proof is None or found_key[1].proof.pepper_version >= proof.pepper_version:
        return ()
    return (ResourceChanged(structs.replace(found_key[1], proof=proof)),)


# -- delete


def delete(state: State, command: DeleteResource, now_ms: int) -> Decision:
    """Refusals: `resource_missing`, `in_use`, `conflict`, `forbidden`."""
    by = command.by
    if command.kind in OPERATORS_ONLY and by.role != "operator":
        return refuse("resource_missing")
    if command.kind in ("account", "settings"):
        return refuse("conflict", "Accounts and settings are not deleted; disable the account instead.")
    record = reach(state, by, command.kind, command.id)
    if isinstance(record, Refusal):
        return record
    users = IN_USE.get(command.kind, _nobody)(state, record.face)
    if users:
        named = ", ".join(users[:5])
        return refuse("in_use", f"Still used by {named}.", details={"usedBy": ",".join(users[:20])})
    if command.kind == "api_key" and _is_last_operator(state, record.face):
        return refuse("conflict", "This is the last operator's API key; create another one first.")
    return (ResourceDeleted(command.kind, record.face.account_id, command.id, now_ms, by.api_key_id),)


def _nobody(_state: State, _face: AnyFace) -> list[str]:
    return []


def _is_last_operator(state: State, face: AnyFace) -> bool:
    operators = [record.face.id for record in state.all_of("api_key") if _is_operator(record.face)]
    return operators == [face.id]


def _is_operator(face: AnyFace) -> bool:
    return isinstance(face, ApiKey) and face.role == "operator"


def _users_of_configuration(state: State, face: AnyFace) -> list[str]:
    return [key.id for key in state.faces(AccessKey, face.account_id) if key.configuration_id == face.id]


def _users_of_provider_key(state: State, face: AnyFace) -> list[str]:
    return [
        configuration.id
        for configuration in state.faces(Configuration, face.account_id)
        if any(key.id == face.id for rule in configuration.rules or () for step in rule.steps for key in step.keys)
    ]


def _users_of_provider(state: State, face: AnyFace) -> list[str]:
    if not isinstance(face, Provider):
        return []
    keys = [key.id for key in state.faces(ProviderKey, face.account_id) if key.provider_id == face.provider_id]
    configurations = [
        configuration.id
        for configuration in state.faces(Configuration, face.account_id)
        if any(provider_of(rule) == face.provider_id for rule in configuration.rules or ())
    ]
    return keys + configurations


CREATE: Final[dict[type[msgspec.Struct], Callable[..., Decision]]] = {
    AccountDraft: _create_account,
    ApiKeyDraft: _create_api_key,
    AccessKeyDraft: _create_access_key,
    ConfigurationDraft: _create_configuration,
    ProviderKeyDraft: _create_provider_key,
    ProviderDraft: _create_provider,
    ManagedCredentialDraft: _create_managed,
}
CHANGE: Final[dict[Kind, Callable[..., Decision]]] = {
    "account": _change_account,
    "access_key": _change_access_key,
    "configuration": _change_configuration,
    "provider": _change_provider,
}
IN_USE: Final[dict[Kind, Callable[[State, AnyFace], list[str]]]] = {
    "configuration": _users_of_configuration,
    "provider_key": _users_of_provider_key,
    "provider": _users_of_provider,
}

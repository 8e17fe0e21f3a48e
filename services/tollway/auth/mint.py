"""Where chance and cryptography enter: ids, tokens, keyed hashes, sealed values. Everything else of auth is told."""

import secrets
from typing import Final, assert_never

from msgspec import UNSET

from tollway import ids
from tollway.auth import domain
from tollway.auth.domain import Asked, Minted, MintedKey
from tollway.auth.events import Record
from tollway.auth.peppers import Peppers
from tollway.auth.routes import Place, inline_keys, provider_of
from tollway.auth.state import State
from tollway.sealing import Bound, Sealer
from tollway.wire.access import SealedCredential
from tollway.wire.keys import (
    ACCESS_KEY,
    ACCOUNT_CHARS,
    ALPHABET,
    API_KEY,
    ID_CHARS,
    SECRET_CHARS,
    KeyParts,
    Prefix,
    redacted,
    write_key,
)
from tollway.wire.management import (
    PLATFORM,
    AccessKeyDraft,
    Account,
    AccountDraft,
    AnyChanges,
    AnyDraft,
    ApiKeyDraft,
    ConfigurationChanges,
    ConfigurationDraft,
    ManagedCredential,
    ManagedCredentialDraft,
    ProviderChanges,
    ProviderDraft,
    ProviderKey,
    ProviderKeyDraft,
)

ACCESS_KEY_ID: Final = "aigk"
API_KEY_ID: Final = "aigak"
PROVIDER_KEY_ID: Final = "aigpk"
MODEL_ID: Final = "aigpm"


class Mint:
    """Draws what a command needs. `token` is the one place where a key exists in clear, until it is answered."""

    def __init__(self, peppers: Peppers, sealer: Sealer) -> None:
        self._peppers = peppers
        self._sealer = sealer

    def for_create(self, state: State, draft: AnyDraft, asked: Asked) -> tuple[Minted, str]:
        """What a draft needs, and the token to show once ("" for resources that are not keys)."""
        match draft:
            case AccountDraft():
                return self.account(state)
            case AccessKeyDraft():
                return self.access_key(state, _handle_of(state, asked.by.account_id))
            case ApiKeyDraft():
                return self._api_key(state, _handle_of(state, draft.account_id or asked.by.account_id))
            case ProviderKeyDraft():
                return self._provider_key(draft, asked), ""
            case ManagedCredentialDraft():
                return self._managed(state, draft), ""
            case ConfigurationDraft():
                return Minted(ids.new_id("aigac"), inline=self._inline(draft, asked)), ""
            case ProviderDraft():
                return Minted(ids.new_id("aigp"), spare_ids=_spare(len(draft.models))), ""
            case _:
                assert_never(draft)

    def account(self, state: State) -> tuple[Minted, str]:
        """A new account and its first API key."""
        handle = _letters(ACCOUNT_CHARS)
        token, key = self.key(state, API_KEY, handle)
        return Minted(ids.new_id("ac"), key=key, api_key_id=ids.new_id(API_KEY_ID), handle=handle), token

    def key(self, state: State, prefix: Prefix, handle: str) -> tuple[str, MintedKey]:
        """A new token of an account, and what is kept of it. Ids in use are drawn again."""
        id_ = handle + _letters(ID_CHARS - ACCOUNT_CHARS)
        while state.by_key(id_) is not None:
            id_ = handle + _letters(ID_CHARS - ACCOUNT_CHARS)
        parts = KeyParts(prefix, id_, _letters(SECRET_CHARS))
        token = write_key(prefix, id=parts.id, secret=parts.secret)
        return token, MintedKey(self._peppers.prove(parts), redacted(token))

    def access_key(self, state: State, handle: str) -> tuple[Minted, str]:
        """A new access key."""
        token, key = self.key(state, ACCESS_KEY, handle)
        return Minted(ids.new_id(ACCESS_KEY_ID), key=key), token

    def _api_key(self, state: State, handle: str) -> tuple[Minted, str]:
        token, key = self.key(state, API_KEY, handle)
        return Minted(ids.new_id(API_KEY_ID), key=key), token

    def _provider_key(self, draft: ProviderKeyDraft, asked: Asked) -> Minted:
        id_ = ids.new_id(PROVIDER_KEY_ID)
        sealed = self._seal(draft.value, asked.by.account_id, draft.provider_id, id_, 1)
        return Minted(id_, sealed=sealed, redacted=redacted(draft.value))

    def for_update(self, changes: AnyChanges, asked: Asked, id_: str) -> Minted:
        """What a patch needs."""
        if isinstance(changes, ConfigurationChanges):
            return Minted(id_, inline=self._inline(changes, asked))
        if isinstance(changes, ProviderChanges) and changes.models is not UNSET:
            return Minted(id_, spare_ids=_spare(len(changes.models or ())))
        return Minted(id_)

    def for_rotation(self, face: ProviderKey, value: str) -> Minted:
        """A new value for a provider key, one version further."""
        sealed = self._seal(value, face.account_id, face.provider_id, face.id, face.version + 1)
        return Minted(face.id, sealed=sealed, redacted=redacted(value))

    def _managed(self, state: State, draft: ManagedCredentialDraft) -> Minted:
        id_ = f"managed:{draft.provider_id}"
        known = state.face(ManagedCredential, id_, PLATFORM)
        version = known.version + 1 if known else 1
        sealed = self._seal(draft.value, PLATFORM, draft.provider_id, id_, version)
        return Minted(id_, sealed=sealed, redacted=redacted(draft.value))

    def _inline(self, draft: ConfigurationDraft | ConfigurationChanges, asked: Asked) -> dict[Place, Record]:
        """Sealed records of the keys given inline; those whose provider or value is missing are left to be refused."""
        made: dict[Place, Record] = {}
        for place, rule, key in inline_keys(() if draft.rules is UNSET else draft.rules or ()):
            provider = provider_of(rule)
            if provider is not None and key.value is not None:
                id_ = ids.new_id(PROVIDER_KEY_ID)
                sealed = self._seal(key.value, asked.by.account_id, provider, id_, 1)
                minted = Minted(id_, sealed=sealed, redacted=redacted(key.value))
                made[place] = domain.inline_record(draft, place, minted, asked)
        return made

    def _seal(self, value: str, account_id: str, provider: str, id_: str, version: int) -> SealedCredential:
        return self._sealer.seal(value, Bound(account_id, provider, id_, version))


def _handle_of(state: State, account_id: str) -> str:
    """The readable part of an account's keys; a random one for an account that will be refused anyway."""
    face = state.face(Account, account_id, account_id)
    return face.handle if face else _letters(ACCOUNT_CHARS)


def _letters(count: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(count))


def _spare(count: int) -> tuple[str, ...]:
    return tuple(ids.new_id(MODEL_ID) for _ in range(count))

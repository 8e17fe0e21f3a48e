"""What opens a provider: the operator's keys from this process's environment, and all kept keys by unsealing them here.

A user's key is asked of auth as ciphertext, opened with the master key that only adapters hold, and remembered for
some minutes or until its account's configuration changes. Plaintext lives in `Way.headers` or `Way.query` and leaves
the process in a provider's request only: nothing here is logged, traced or shown in a repr.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from tollway.adapter.upstream import ANYWHERE, Reach, Target, target_of
from tollway.bus import Bus
from tollway.dialects.addresses import Managed, address_of, auth_headers, auth_query, managed
from tollway.dialects.providers import row_of_candidate
from tollway.dialects.rows import ProviderRow
from tollway.remember import Remembered
from tollway.sealing import SealError, Unwraps, open_sealed
from tollway.settings import SettingsError
from tollway.wire import subjects
from tollway.wire.access import ConfigChanged, FetchSealed, ListManaged, ManagedList, SealedCredential
from tollway.wire.addresses import read_allow_cidrs
from tollway.wire.management import PLATFORM
from tollway.wire.plan import Candidate
from tollway.wire.refusals import Refusal, refuse

SIMULATOR: Final = "simulator"
ASK_TIMEOUT_S: Final = 3.0
AGE_MAX_S: Final = 300.0
WAYS_MAX: Final = 10_000
ALLOW_CIDRS: Final = "TOLLWAY_ALLOW_PRIVATE_CIDRS"


class Way(msgspec.Struct, frozen=True):
    """How to reach one provider with one credential. `query` begins with `?` or is empty."""

    row: ProviderRow
    target: Target
    headers: dict[str, str]
    query: str = ""

    def __repr__(self) -> str:
        """Without what opens the provider."""
        return f"Way({self.row.id!r})"


class _Secret(msgspec.Struct, frozen=True):
    provider: str
    value: str

    def __repr__(self) -> str:
        return f"_Secret({self.provider!r})"


_Asked = tuple[str, str]
_Opened = tuple[str, str, str, str, tuple[str, ...] | None]


class Credentials:
    """Ways by candidate. `ring` None: this adapter has no master key, so accounts' keys cannot be opened here.

    Raises SettingsError for a variable that cannot be used.
    """

    def __init__(
        self, rows: Mapping[str, ProviderRow], environ: Mapping[str, str], *, bus: Bus, ring: Unwraps | None
    ) -> None:
        self._rows = rows
        self._environ = with_simulator_url(environ)
        self._from_environment = managed(rows.values(), self._environ)
        self._managed = self._from_environment
        self._managed_asked = 0
        self._seen_version = 0
        self._bus = bus
        self._ring = ring
        try:
            self._allow_cidrs = read_allow_cidrs(environ.get(ALLOW_CIDRS, ""))
        except ValueError as error:
            raise SettingsError(f"{ALLOW_CIDRS}: {error}") from None
        self._ways: dict[str, Way | Refusal] = {}
        self._users_ways: dict[_Opened, tuple[_Secret, bool, Way | Refusal]] = {}
        self._secrets: Remembered[_Asked, _Secret] = Remembered(self._ask, age_max_s=AGE_MAX_S, refresh_after_s=60.0)

    @property
    def offered(self) -> tuple[str, ...]:
        """Providers that the operator has a way into, through this adapter."""
        return tuple(sorted(self._managed))

    async def open(self, candidate: Candidate, account_id: str) -> Way | Refusal:
        """The way to a candidate, or `no_provider_key`. May have to ask auth."""
        known = self.peek(candidate, account_id)
        if known is not None:
            return known
        secret = await self._secrets.get((account_id, candidate.credential_id))
        return secret if isinstance(secret, Refusal) else self._users_way(candidate, account_id, secret)

    def peek(self, candidate: Candidate, account_id: str) -> Way | Refusal | None:
        """The same without waiting; None: auth must be asked."""
        if candidate.is_managed:
            return self._managed_way(candidate.provider)
        if not candidate.credential_id:
            return self._way(candidate, "")
        secret = self._secrets.peek((account_id, candidate.credential_id))
        return None if secret is None else self._users_way(candidate, account_id, secret)

    def _users_way(self, candidate: Candidate, account_id: str, secret: "_Secret") -> Way | Refusal:
        """Made once for each secret: it costs 20 us."""
        key = (account_id, candidate.credential_id, candidate.base_url, candidate.dialect, candidate.supported_params)
        known = self._users_ways.get(key)
        if known is not None and known[0] is secret and known[1] == candidate.is_private_address_allowed:
            return known[2]
        if secret.provider != candidate.provider:
            return refuse("no_provider_key", "The provider key belongs to another provider.")
        way = self._way(candidate, secret.value)
        if len(self._users_ways) >= WAYS_MAX:
            self._users_ways.clear()
        self._users_ways[key] = (secret, candidate.is_private_address_allowed, way)
        return way

    def forget(self, change: ConfigChanged) -> None:
        """Something of an account changed: what was opened for it is asked for anew."""
        self._seen_version = max(self._seen_version, change.version)
        self._secrets.forget(lambda asked, _: change.account_id in ("*", asked[0]))
        self._users_ways.clear()

    def forget_all(self) -> None:
        """Events may have been missed."""
        self._secrets.clear()
        self._users_ways.clear()

    async def learn_managed(self) -> bool:
        """Ask auth for the operator's credentials that are kept there; those of this process's environment win.
        Whether auth answered."""
        self._managed_asked += 1
        mine = self._managed_asked
        answer = await self._bus.ask(
            subjects.AUTH_SEALED, ListManaged(self._seen_version), ManagedList, timeout_s=ASK_TIMEOUT_S
        )
        if isinstance(answer, Refusal) or mine != self._managed_asked:
            return False
        kept = {sealed.provider: way for sealed in answer.items if (way := self._kept(sealed)) is not None}
        self._managed = kept | self._from_environment
        self._ways.clear()
        return True

    def _kept(self, sealed: SealedCredential) -> Managed | None:
        """The operator's way into a provider from what auth keeps; None where it cannot be opened here."""
        row = self._rows.get(sealed.provider)
        base_url = address_of(row, self._environ) if row is not None else ""
        if self._ring is None or not base_url or sealed.account_id != PLATFORM:
            return None
        try:
            return Managed(base_url, open_sealed(sealed, self._ring))
        except SealError:
            return None

    def _managed_way(self, provider: str) -> Way | Refusal:
        way = self._ways.get(provider)
        if way is None:
            way = self._ways[provider] = self._made_managed(provider)
        return way

    def _made_managed(self, provider: str) -> Way | Refusal:
        opening: Managed | None = self._managed.get(provider)
        if opening is None:
            return refuse("no_provider_key", f"The operator has set no credential for {provider} on this adapter.")
        return _way_of(self._rows[provider], opening.base_url, ANYWHERE, opening.credential)

    def _way(self, candidate: Candidate, value: str) -> Way | Refusal:
        if candidate.base_url:
            row = row_of_candidate(candidate)
            return _way_of(row, row.base_url, self._reach(candidate), value)
        row = self._rows.get(candidate.provider)
        if row is None or not (base_url := address_of(row, self._environ)):
            return refuse("no_provider_key", f"This gateway knows no address of the provider {candidate.provider}.")
        return _way_of(row, base_url, ANYWHERE, value)

    def _reach(self, candidate: Candidate) -> Reach:
        """Auth says whether any inside address may be used; which ones, this process's own environment says."""
        return Reach(allow_cidrs=self._allow_cidrs if candidate.is_private_address_allowed else ())

    async def _ask(self, asked: _Asked) -> _Secret | Refusal:
        account_id, credential_id = asked
        sealed = await self._bus.ask(
            subjects.AUTH_SEALED,
            FetchSealed(account_id, credential_id, self._seen_version),
            SealedCredential,
            timeout_s=ASK_TIMEOUT_S,
        )
        return sealed if isinstance(sealed, Refusal) else self._opened(sealed, asked)

    def _opened(self, sealed: SealedCredential, asked: _Asked) -> _Secret | Refusal:
        if self._ring is None:
            return refuse("no_provider_key", "This adapter holds no master key, so it cannot open provider keys.")
        if (sealed.account_id, sealed.credential_id) != asked:
            return refuse("no_provider_key", "The provider key could not be opened.")
        try:
            return _Secret(sealed.provider, open_sealed(sealed, self._ring))
        except SealError as error:
            return refuse("no_provider_key", f"The provider key could not be opened: {error}.")


def _way_of(row: ProviderRow, base_url: str, reach: Reach, value: str) -> Way | Refusal:
    """A way, or `no_provider_key` where address or key are not fit for a request."""
    headers = {**row.headers, **auth_headers(row, value)}
    if not all(text.isascii() and text.isprintable() for text in headers.values()):
        return refuse("no_provider_key", "The provider key has characters that no header can carry.")
    try:
        target = target_of(base_url, reach=reach)
    except ValueError:
        return refuse("no_provider_key", f"The address of the provider {row.id} is not a URL.")
    query = urlencode(auth_query(row, value))
    return Way(row, target, headers, f"?{query}" if query else "")


def with_simulator_url(environ: Mapping[str, str]) -> Mapping[str, str]:
    """`TOLLWAY_SIMULATOR_URL` is another word for the simulator's `…_BASE_URL`."""
    url = environ.get("TOLLWAY_SIMULATOR_URL")
    return {"TOLLWAY_SIMULATOR_BASE_URL": url, **environ} if url else environ

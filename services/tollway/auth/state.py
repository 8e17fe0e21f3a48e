"""All that auth knows, in memory: the fold of its log. Lookups only; deciding is `domain`'s."""

from collections import defaultdict
from typing import Final, TypeVar, cast, get_args

from tollway.auth.events import Event, Record, ResourceDeleted, account_of, kind_of
from tollway.wire.management import PLATFORM, AnyFace, Face, Kind

F = TypeVar("F", bound=Face)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class State:
    """Records by kind and id, by account, and keys by the id in their token. `seq` is the last event in it."""

    def __init__(self) -> None:
        self.seq = 0
        self._records: dict[Kind, dict[str, Record]] = {kind: {} for kind in KINDS}
        self._owned: defaultdict[tuple[str, Kind], dict[str, None]] = defaultdict(dict)
        self._by_key: dict[str, tuple[Kind, str]] = {}
        self._versions: dict[str, int] = {}

    def apply(self, event: Event, seq: int) -> None:
        """Take in the next event of the log."""
        if isinstance(event, ResourceDeleted):
            self._forget(event.kind, event.id)
        else:
            self.remember(event.record)
        self._versions[account_of(event)] = seq
        self.seq = seq

    def remember(self, record: Record) -> None:
        """Put a record in place of what was known of it."""
        kind, face = kind_of(record.face), record.face
        self._records[kind][face.id] = record
        self._owned[face.account_id, kind][face.id] = None
        if record.proof is not None:
            self._by_key[record.proof.key_id] = (kind, face.id)

    def restore(self, seq: int, versions: dict[str, int]) -> None:
        """Where the log stood when the remembered records were read."""
        self.seq, self._versions = seq, dict(versions)

    def _forget(self, kind: Kind, id_: str) -> None:
        record = self._records[kind].pop(id_, None)
        if record is None:
            return
        self._owned[record.face.account_id, kind].pop(id_, None)
        if record.proof is not None:
            self._by_key.pop(record.proof.key_id, None)

    # -- lookups

    def find(self, kind: Kind, id_: str, account_id: str) -> Record | None:
        """A record of this account; another account's is as good as none."""
        record = self._records[kind].get(id_)
        return record if record is not None and record.face.account_id == account_id else None

    def account(self, account_id: str) -> Record | None:
        """An account's own record."""
        return self._records["account"].get(account_id)

    def face(self, type_: type[F], id_: str | None, account_id: str) -> F | None:
        """The same for a face, by its type."""
        record = self.find(cast("Kind", type_.__struct_config__.tag), id_ or "", account_id)
        return cast("F", record.face) if record else None

    def faces(self, type_: type[F], account_id: str) -> list[F]:
        """All faces of a type that an account has, newest first by id."""
        records = self.records(cast("Kind", type_.__struct_config__.tag), account_id)
        return [cast("F", record.face) for record in records]

    def records(self, kind: Kind, account_id: str) -> list[Record]:
        """All records of a kind that an account has, newest first by id."""
        table = self._records[kind]
        return [table[id_] for id_ in sorted(self._owned.get((account_id, kind), ()), reverse=True)]

    def all_of(self, kind: Kind) -> list[Record]:
        """All records of a kind, newest first by id: for operators."""
        table = self._records[kind]
        return [table[id_] for id_ in sorted(table, reverse=True)]

    def by_key(self, key_id: str) -> tuple[Kind, Record] | None:
        """The key with this id in its token."""
        found = self._by_key.get(key_id)
        return (found[0], self._records[found[0]][found[1]]) if found else None

    def version(self, account_id: str) -> int:
        """Rises with every change of the account or of the platform's defaults: the number of the last such event."""
        return max(self._versions.get(account_id, 0), self._versions.get(PLATFORM, 0))

    def versions(self) -> dict[str, int]:
        """The last event of every account."""
        return dict(self._versions)

    def is_empty(self) -> bool:
        """Whether nothing ever happened."""
        return self.seq == 0

    def dump(self) -> dict[tuple[Kind, str], AnyFace]:
        """Every face, for comparing two states."""
        return {(kind, id_): record.face for kind in KINDS for id_, record in self._records[kind].items()}

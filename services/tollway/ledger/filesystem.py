"""SQLite's locks do not reach over a network, so its files must lie on a disk of this host."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tollway.settings import SettingsError

MOUNTS: Final = Path("/proc/mounts")
NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "fuse.sshfs", "fuse.s3fs"}
)


def refuse_network(directory: Path) -> None:
    """Raise SettingsError when a directory is on a network filesystem (as far as this system tells)."""
    if not MOUNTS.exists():
        return
    kind = kind_of(directory.absolute(), MOUNTS.read_text().splitlines())
    if kind in NETWORK:
        raise SettingsError(
            f"{directory} is on a network filesystem ({kind}), where SQLite cannot keep two writers apart: "
            "use a local disk, or PostgreSQL (TOLLWAY_DATABASE_URL)"
        )


def kind_of(directory: Path, mounts: Iterable[str]) -> str:
    """The kind of filesystem a directory is on, from lines like `/dev/vda / ext4 rw 0 0`."""
    found = {Path(_unescaped(line.split()[1])): line.split()[2] for line in mounts if len(line.split()) > 2}
    for path in (directory, *directory.parents):
        if path in found:
            return found[path]
    return ""


def _unescaped(path: str) -> str:
    return path.replace("\\040", " ")

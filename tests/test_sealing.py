"""Sealing: only the private key opens, nothing can be moved, and the master key rotates without a restart."""

from pathlib import Path

import msgspec
import pytest

from tollway.sealing import (
    Bound,
    KeySource,
    PrivateRing,
    PublicRing,
    Sealer,
    SealError,
    bound_of,
    create_master_key,
    open_sealed,
    read_ring,
    rewrap,
    rotate_master_key,
)

BOUND = Bound("ac_1", "openai", "aigpk_1", 1)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "master.key", tmp_path / "master.pub"
    create_master_key(private, public)
    return private, public


def test_what_is_sealed_with_the_public_key_opens_with_the_private_one(files: tuple[Path, Path]) -> None:
    sealed = Sealer(KeySource(path=files[1])).seal("sk-secret", BOUND)
    assert b"sk-secret" not in msgspec.msgpack.encode(sealed)
    assert open_sealed(sealed, PrivateRing(KeySource(path=files[0]))) == "sk-secret"


@pytest.mark.parametrize(
    "moved",
    [{"account_id": "ac_2"}, {"provider": "evil"}, {"credential_id": "aigpk_2"}, {"version": 2}],
)
def test_a_box_moved_to_another_row_does_not_open(files: tuple[Path, Path], moved: dict[str, str]) -> None:
    sealed = Sealer(KeySource(path=files[1])).seal("sk-secret", BOUND)
    with pytest.raises(SealError, match="moved"):
        open_sealed(msgspec.structs.replace(sealed, **moved), PrivateRing(KeySource(path=files[0])))


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "ciphertext"])
def test_a_flipped_bit_does_not_open(files: tuple[Path, Path], part: str) -> None:
    sealed = Sealer(KeySource(path=files[1])).seal("sk-secret", BOUND)
    raw = bytearray(getattr(sealed, part))
    raw[-1] ^= 1
    with pytest.raises(SealError):
        open_sealed(msgspec.structs.replace(sealed, **{part: bytes(raw)}), PrivateRing(KeySource(path=files[0])))


def test_the_same_value_is_never_sealed_the_same_way_twice(files: tuple[Path, Path]) -> None:
    sealer = Sealer(KeySource(path=files[1]))
    one, other = sealer.seal("sk-secret", BOUND), sealer.seal("sk-secret", BOUND)
    assert one.ciphertext != other.ciphertext
    assert one.nonce != other.nonce


def test_the_private_file_is_for_its_owner_alone_and_is_never_replaced_by_accident(files: tuple[Path, Path]) -> None:
    assert files[0].stat().st_mode & 0o777 == 0o600
    before = files[0].read_text()
    assert not create_master_key(*files)
    assert files[0].read_text() == before


def test_a_rotated_master_key_is_picked_up_by_both_sides_without_a_restart(files: tuple[Path, Path]) -> None:
    sealer, ring = Sealer(KeySource(path=files[1])), PrivateRing(KeySource(path=files[0]))
    old = sealer.seal("old", BOUND)
    assert rotate_master_key(*files) == 2
    new = sealer.seal("new", BOUND)
    assert (old.kek_version, new.kek_version) == (1, 2)
    assert [open_sealed(box, ring) for box in (old, new)] == ["old", "new"]


def test_rewrapping_needs_the_private_key_and_makes_the_old_one_unnecessary(files: tuple[Path, Path]) -> None:
    old = Sealer(KeySource(path=files[1])).seal("sk-secret", BOUND)
    rotate_master_key(*files)
    private, public = PrivateRing(KeySource(path=files[0])), PublicRing(KeySource(path=files[1]).read())
    wrapped = rewrap(old.wrapped_key, bound_of(old), kek_version=1, private=private, public=public)
    new = msgspec.structs.replace(old, wrapped_key=wrapped, kek_version=2)
    only_newest = {2: read_ring(files[0].read_text())[2]}
    files[0].write_text("\n".join(line for line in files[0].read_text().splitlines() if line.startswith("2:")))
    assert read_ring(files[0].read_text()) == only_newest
    assert open_sealed(new, PrivateRing(KeySource(path=files[0]))) == "sk-secret"
    with pytest.raises(SealError, match="version 1"):
        open_sealed(old, PrivateRing(KeySource(path=files[0])))


@pytest.mark.parametrize("text", ["1:abc", "x:" + "A" * 44, "1" + "A" * 44, "1:" + "A" * 20])
def test_a_damaged_ring_is_said_without_its_contents(text: str) -> None:
    with pytest.raises(SealError) as caught:
        read_ring(text)
    assert "AAAA" not in str(caught.value)

"""The key format: garbage is known without asking, and neither kind of key can be worn as the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire.keys import ACCESS_KEY, ALPHABET, API_KEY, KeyParts, is_well_formed, read_key, redacted, write_key

letters = st.sampled_from(ALPHABET)
ids = st.lists(letters, min_size=12, max_size=12).map("".join)
secrets = st.lists(letters, min_size=32, max_size=32).map("".join)


@given(id=ids, secret=secrets, prefix=st.sampled_from((ACCESS_KEY, API_KEY)))
def test_what_is_written_is_read(id: str, secret: str, prefix) -> None:  # noqa: A002
    assert read_key(write_key(prefix, id=id, secret=secret), prefix) == KeyParts(prefix, id, secret)


@given(id=ids, secret=secrets, at=st.integers(0, 56), letter=st.characters(min_codepoint=33, max_codepoint=126))
def test_any_one_changed_character_is_noticed(id: str, secret: str, at: int, letter: str) -> None:  # noqa: A002
    key = write_key(ACCESS_KEY, id=id, secret=secret)
    changed = key[:at] + letter + key[at + 1 :]
    assert is_well_formed(changed) == (changed == key)


def test_an_access_key_with_the_other_prefix_is_garbage() -> None:
    key = write_key(ACCESS_KEY, id="a" * 12, secret="b" * 32)
    assert read_key(key.replace("tw-", "twapi-"), API_KEY) is None
    assert read_key(key, API_KEY) is None


@pytest.mark.parametrize("text", ["", "tw-", "sk-proj-abc", "tw-" + "a" * 54, "tw-" + "é" * 54, "x" * 100_000])
def test_garbage_is_garbage(text: str) -> None:
    assert not is_well_formed(text)


def test_parts_do_not_show_their_secret() -> None:
    parts = read_key(write_key(ACCESS_KEY, id="a" * 12, secret="s" * 32), ACCESS_KEY)
    assert "ssss" not in repr(parts)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("sk-proj-abcdefghijklmnopqrstuvwxyz", "sk-proj-ab***wxyz"),
        ("short-secret", "sho***t"),
        ("abc", "***"),
        ("", "***"),
    ],
)
def test_redaction_shows_ten_and_four_of_a_long_secret_and_little_of_a_short_one(secret: str, shown: str) -> None:
    assert redacted(secret) == shown

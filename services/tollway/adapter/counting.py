"""Counting what a provider did not report: from the answer's own text, by a tokenizer where the family has a known one.

Only a bounded part of a stream is kept for this; what is longer is counted in proportion, and then it is an estimate.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from tollway.tokens import count_tokens, vocabulary_of
from tollway.wire.usage import Certainty

KEPT_BYTES_MAX: Final = 32 * 1024
BYTES_PER_TOKEN: Final = 4
COUNTED_BYTES_MAX: Final = 256 * 1024
"""Larger bodies are not read for their tokens: that would hold up everybody else."""

_any: Final = msgspec.json.Decoder()
_TEXT_FIELDS: Final = frozenset(
    ("content", "text", "reasoning_content", "reasoning", "refusal", "arguments", "thinking", "partial_json", "delta")
)
_REQUEST_FIELDS: Final = frozenset(
    ("content", "text", "arguments", "input", "prompt", "instructions", "system", "description", "output", "name")
)
_REPEATS: Final = (".done", ".completed", ".created", ".in_progress", ".added", ".incomplete")
"""Events of the responses dialect that say again what deltas said."""

Counted = tuple[int, Certainty]


class Sample:
    """The begin of an answer as the client got it, to count tokens in."""

    __slots__ = ("_kept", "_kept_bytes", "_kept_text_bytes", "text_bytes")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._kept_text_bytes = 0
        self.text_bytes = 0

    def add(self, out: bytes, text_bytes: int) -> None:
        """Bytes for the client, and how many of them the model wrote."""
        self.text_bytes += text_bytes
        if self._kept_bytes + len(out) <= KEPT_BYTES_MAX:
            self._kept.append(out)
            self._kept_bytes += len(out)
            self._kept_text_bytes = self.text_bytes

    @property
    def begin(self) -> bytes:
        """The first bytes of the answer."""
        return self._kept[0] if self._kept else b""

    def count(self, provider: str, model: str) -> Counted:
        """Tokens of all the text, and how sure that is. At least 1 where there is any; surely 0 where there is none."""
        if not self.text_bytes:
            return 0, "reported"
        texts = list(_answer_texts(b"".join(self._kept)))
        if not texts:
            return max(1, -(-self.text_bytes // BYTES_PER_TOKEN)), "estimated"
        kept = tokens_of(texts, provider, model)
        if self._kept_text_bytes >= self.text_bytes:
            return max(1, kept), "counted" if is_countable(provider, model) else "estimated"
        return max(1, -(-kept * self.text_bytes // max(1, self._kept_text_bytes))), "estimated"

    def estimate(self) -> Counted:
        """The same by length alone, at once."""
        return -(-self.text_bytes // BYTES_PER_TOKEN), "estimated"


def is_countable(provider: str, model: str) -> bool:
    """Whether the model's own tokenizer is known here."""
    name = model.rpartition("/")[2].lower()
    return provider == "simulator" or name.startswith(("gpt-", "o1", "o3", "o4", "chatgpt", "text-embedding"))


def tokens_of(texts: list[str], provider: str, model: str) -> int:
    """Tokens of texts; the simulator documents four bytes each, everybody else has a vocabulary or the newest one."""
    if provider == "simulator":
        return -(-sum(len(text.encode("utf-8", "replace")) for text in texts) // BYTES_PER_TOKEN)
    return count_tokens("".join(texts), vocabulary_of(model.rpartition("/")[2]))


def estimate_input(body: bytes, *, bound: int) -> Counted:
    """Tokens of a request body by its length alone."""
    estimate = len(body) // BYTES_PER_TOKEN
    return min(estimate, bound) if bound else estimate, "estimated"


def count_input(body: bytes, provider: str, model: str, *, bound: int) -> Counted:
    """Tokens of a request body, never more than the bound that the hold was made for."""
    if len(body) > COUNTED_BYTES_MAX:
        return estimate_input(body, bound=bound)
    try:
        texts = [text for text, _ in _texts(_any.decode(body), "", _REQUEST_FIELDS)]
    except (msgspec.DecodeError, RecursionError):
        return bound, "estimated"
    count = tokens_of(texts, provider, model)
    return min(count, bound) if bound else count, "counted" if is_countable(provider, model) else "estimated"


def _answer_texts(data: bytes) -> Iterator[str]:
    """The model's words in JSON or in the frames of a stream, in any dialect."""
    for piece in _documents(data):
        try:
            document = _any.decode(piece)
        except msgspec.DecodeError:
            continue
        if isinstance(document, dict) and not str(cast("Mapping[str, Any]", document).get("type", "")).endswith(
            _REPEATS
        ):
            yield from (text for text, _ in _texts(cast("Any", document), "", _TEXT_FIELDS))


def _documents(data: bytes) -> Iterator[bytes]:
    if data[:1] == b"{":
        yield data
        return
    for line in data.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()


def _texts(value: Any, name: str, fields: frozenset[str], depth: int = 0) -> Iterator[tuple[str, str]]:
    """Strings under the named fields, wherever they are."""
    if isinstance(value, str):
        if name in fields:
            yield value, name
    elif depth < 64 and isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _texts(inner, key, fields, depth + 1)
    elif depth < 64 and isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _texts(inner, name, fields, depth + 1)

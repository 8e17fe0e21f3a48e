"""Exact token counts by tiktoken, without any download: the rank files come inside the `bpe-openai` wheel.

Only the wheel's files are read; importing the package would load every vocabulary it has. Loading one takes 0.3 s and
60 MB, so it happens at the first count and not before. The patterns are those of `tiktoken_ext.openai_public`
(tiktoken 0.12), which cannot be asked for them without a download.
"""

import gzip
from base64 import b64decode
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Final, Literal

import tiktoken

Vocabulary = Literal["o200k_base", "cl100k_base"]

_LETTERS: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_SMALL: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SHORT_FORMS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PATTERNS: Final[dict[Vocabulary, str]] = {
    "o200k_base": "|".join(
        (
            rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS}*{_SMALL}+{_SHORT_FORMS}",
            rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS}+{_SMALL}*{_SHORT_FORMS}",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
    "cl100k_base": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
}
_OLDER: Final = ("gpt-3.5", "gpt-4-", "text-embedding")


def count_tokens(text: str, vocabulary: Vocabulary = "o200k_base") -> int:
    """Tokens of a text; special tokens in it count as the text they are. 20 us for 1 KB."""
    return len(_encoding(vocabulary).encode_ordinary(text))


def vocabulary_of(model: str) -> Vocabulary:
    """The vocabulary of an OpenAI model; the newest one stands for all other families."""
    name = model.lower()
    return "cl100k_base" if name == "gpt-4" or name.startswith(_OLDER) else "o200k_base"


def _encoding(vocabulary: Vocabulary) -> tiktoken.Encoding:
    with _loading:  # several threads that count for the first time would each load it
        return _loaded(vocabulary)


_loading: Final = Lock()


@cache
def _loaded(vocabulary: Vocabulary) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        vocabulary, pat_str=_PATTERNS[vocabulary], mergeable_ranks=_ranks(vocabulary), special_tokens={}
    )


def _ranks(vocabulary: Vocabulary) -> dict[bytes, int]:
    spec = find_spec("bpe_openai")
    assert spec is not None
    assert spec.submodule_search_locations, "the bpe-openai wheel is missing"
    packed = Path(spec.submodule_search_locations[0], "data", f"{vocabulary}.tiktoken.gz").read_bytes()
    lines = (line.split() for line in gzip.decompress(packed).splitlines() if line)
    return {b64decode(token): int(rank) for token, rank in lines}

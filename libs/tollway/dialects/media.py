"""Inline media: data URLs, and how many bytes base64 stands for."""

from typing import Final

import msgspec


class DataUrl(msgspec.Struct, frozen=True):
    """The parts of a `data:<media type>;base64,<data>` URL."""

    media_type: str
    data: str


_MARK: Final = ";base64,"


def data_url(url: str) -> DataUrl | None:
    """None: an address, or a data URL that is not base64."""
    if not url.startswith("data:"):
        return None
    head, mark, data = url[5:].partition(_MARK)
    return DataUrl(head, data) if mark else None


def write_data_url(media_type: str, data: str) -> str:
    """The reverse."""
    return f"data:{media_type}{_MARK}{data}"


def decoded_bytes(data: str) -> int:
    """The size that this base64 decodes to, give or take its padding."""
    return len(data) * 3 // 4

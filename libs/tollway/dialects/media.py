"""Inline media: data URLs, and how many bytes base64 stands for."""

from typing import Final, Literal

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


def kind_of(media_type: str) -> Literal["image", "audio", "file"]:
    """What the canonical conversation calls media of this type."""
    family = media_type.partition("/")[0]
    return "image" if family == "image" else "audio" if family == "audio" else "file"


_BY_ENDING: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
}


def type_by_ending(url: str) -> str | None:
    """The media type that an address's ending suggests."""
    path = url.partition("?")[0].partition("#")[0]
    return _BY_ENDING.get(path.rpartition(".")[2].lower())

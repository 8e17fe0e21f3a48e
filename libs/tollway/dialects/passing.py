"""Client and provider speak one dialect: bytes pass, but for the fields that Tollway owns."""

from collections.abc import Mapping

import msgspec

from tollway.dialects import bodies
from tollway.dialects.attempt import Bridge, Setting, StreamBridge
from tollway.dialects.dialect import Tally, Target
from tollway.dialects.exchange import NO_HEADERS, Outgoing
from tollway.dialects.features import Feature
from tollway.dialects.rows import ProviderRow, efforts, extra_features, output_limit_param, refused_params
from tollway.dialects.sse import Frame
from tollway.dialects.supported import strip_refused, strip_unlisted
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal


def make_target(
    row: ProviderRow,
    *,
    surface: Surface,
    model_sent: str,
    tokens_output_cap: int | None,
    is_stream: bool,
    carries: frozenset[Feature] = frozenset(),
) -> Target:
    """A target with what the row says of this model."""
    return Target(
        row,
        surface,
        model_sent,
        tokens_output_cap,
        is_stream,
        refused_params(row, model_sent),
        output_limit_param(row, model_sent),
        carries.union(extra_features(row, model_sent)),
        efforts(row, model_sent),
    )


def with_query(path: str, query: str) -> str:
    """A row's query (`?…`) after a path that may have one already."""
    return f"{path}&{query.removeprefix('?')}" if query and "?" in path else path + query


class PassingBridge(Bridge):
    """Top-level values keep their bytes, answers are the provider's own."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._is_usage_asked = False

    def request(
        self,
        body: bytes,
        *,
        model_sent: str,
        tokens_output_cap: int | None,
        is_stream: bool,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Outgoing | Refusal:
        """The caller's body with the owned fields set."""
        fields = bodies.read_fields(body)
        if isinstance(fields, Refusal):
            return fields
        setting = self._setting
        target = make_target(
            setting.row,
            surface=setting.surface,
            model_sent=model_sent,
            tokens_output_cap=tokens_output_cap,
            is_stream=is_stream,
        )
        self._is_usage_asked = asks_usage(fields)
        refused = strip_refused(fields, target)
        unlisted = strip_unlisted(fields, setting.provider, target)
        if isinstance(unlisted, Refusal):
            return unlisted
        setting.provider.own(fields, target)
        path = with_query(setting.provider.path(target), setting.row.query)
        headers_sent = setting.provider.headers(headers)
        return Outgoing(path, bodies.join_fields(fields), headers_sent, (*refused, *unlisted))

    def _read(self, body: bytes, tally: Tally) -> bytes:
        self._setting.provider.tap_answer(body, tally)
        return body

    def stream(self) -> StreamBridge:
        """Read this attempt's stream."""
        return PassingStream(self._setting, is_usage_asked=self._is_usage_asked)


class PassingStream(StreamBridge):
    """Frames are looked at and forwarded as they came; the one that ends a success is kept for the end."""

    def __init__(self, setting: Setting, *, is_usage_asked: bool) -> None:
        has_done = bool(setting.provider.terminator)  # only `[DONE]` may be missing: other end events say something
        is_end_marked = setting.provider.is_end_marked and (setting.row.is_done_marker_sent or not has_done)
        super().__init__(setting, is_end_marked=is_end_marked)
        self._tap = setting.provider.tap_frame
        self._is_usage_asked = is_usage_asked
        self._kept = b""

    def _take(self, frame: Frame) -> bytes:
        tally = self._tally
        if self._tap(frame, tally, self._is_usage_asked) and tally.said is None:
            return frame.raw
        if tally.is_terminal:
            self._kept = frame.raw
        return b""

    def _end(self) -> bytes:
        return self._kept or self._setting.provider.terminator


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


def asks_usage(fields: bodies.Fields) -> bool:
    """Whether the caller wants the usage in the stream."""
    raw = fields.get("stream_options")
    if raw is None:
        return False
    options = msgspec.json.decode(raw, type=_StreamOptions | None)
    return options is not None and options.include_usage is True

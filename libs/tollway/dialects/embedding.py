"""Embeddings between dialects: what is asked and what comes back, and the bridge that translates them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from tollway.dialects import bodies
from tollway.dialects.attempt import Bridge, Setting, StreamBridge
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Tally, Target
from tollway.dialects.exchange import NO_HEADERS, Outgoing
from tollway.dialects.features import Feature, judge
from tollway.dialects.passing import PassingStream, make_target, with_query
from tollway.dialects.reading import Uses
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Usage


class Asked(msgspec.Struct, frozen=True):
    """Texts to embed. `dimensions` None: the model's own. `is_base64`: the client wants packed floats."""

    texts: tuple[str, ...]
    dimensions: int | None = None
    is_base64: bool = False


class Embedded(msgspec.Struct, frozen=True):
    """One vector for each text, in order."""

    vectors: tuple[tuple[float, ...], ...]
    model: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingClient:
    """A client's side: its request read, its answer written."""

    read_request: Callable[[bytes, bodies.Fields], tuple[Asked, Uses] | Refusal]
    write_answer: Callable[[Embedded, Asked], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingProvider:
    """A provider's side: its request written, its answer read."""

    carries: frozenset[Feature]
    path: Callable[[Target], str]
    write_request: Callable[[Asked, Target], dict[str, object]]
    read_answer: Callable[[bytes, str], Embedded | Said]


class EmbeddingBridge(Bridge):
    """Translates texts one way and vectors the other."""

    def __init__(self, setting: Setting, client: EmbeddingClient, provider: EmbeddingProvider) -> None:
        super().__init__(setting)
        self._client = client
        self._provider = provider
        self._asked = Asked(())
        self._model = ""

    def request(
        self,
        body: bytes,
        *,
        model_sent: str,
        tokens_output_cap: int | None,
        is_stream: bool,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Outgoing | Refusal:
        """The provider's request; refused with the path of a field that cannot be carried."""
        del headers, tokens_output_cap, is_stream  # nothing is generated, so nothing streams
        fields = bodies.read_fields(body)
        if isinstance(fields, Refusal):
            return fields
        read = self._client.read_request(body, fields)
        if isinstance(read, Refusal):
            return read
        self._asked, uses = read
        self._model = model_sent
        setting = self._setting
        target = make_target(
            setting.row,
            surface="embeddings",
            model_sent=model_sent,
            tokens_output_cap=None,
            is_stream=False,
            carries=self._provider.carries,
        )
        dropped = judge(uses, target.carries, target.refused_params)
        if isinstance(dropped, Refusal):
            return dropped
        sent = msgspec.json.encode(self._provider.write_request(self._asked, target))
        path = with_query(self._provider.path(target), setting.row.query)
        return Outgoing(path, sent, setting.provider.headers(NO_HEADERS), dropped)

    def _read(self, body: bytes, tally: Tally) -> bytes:
        embedded = self._provider.read_answer(body, self._model)
        if isinstance(embedded, Said):
            tally.said = embedded
            return b""
        if len(embedded.vectors) != len(self._asked.texts):
            tally.broken = "it has another number of vectors than there were texts"
            return b""
        tally.usage, tally.model_answered = embedded.usage, embedded.model
        tally.is_begun = tally.is_complete = tally.is_terminal = tally.has_content = True
        return self._client.write_answer(embedded, self._asked)

    def stream(self) -> StreamBridge:
        """There are no streams of embeddings: whatever comes is malformed."""
        return PassingStream(self._setting, is_usage_asked=False)

"""A stream's events to the whole answer, and back. The law: unfold, write, read and fold give the same answer."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tollway.wire import chat
from tollway.wire.usage import Usage


class _Open(msgspec.Struct):
    part: chat.Text | chat.Thinking | chat.ToolCall | chat.Refused
    texts: list[str]
    signature: chat.Signature | None = None


class _ChoiceSoFar(msgspec.Struct):
    parts: list[_Open]
    logprobs: list[chat.TokenLogprob]
    stop: chat.StopReason = "stop"
    stop_sequence: str = ""


class Fold:
    """Takes events, gives the answer so far."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.created_s = 0
        self.usage: Usage | None = None
        self.is_ended = False
        self._choices: dict[int, _ChoiceSoFar] = {}

    def take(self, event: chat.Event) -> None:
        """One event."""
        match event:
            case chat.Started():
                self.id, self.model, self.created_s = event.id, event.model, event.created_s
            case chat.Opened():
                self._choice(event.choice).parts.append(_Open(event.part, []))
            case chat.Added():
                self._choice(event.choice).parts[event.number].texts.append(event.text)
                self._choice(event.choice).logprobs.extend(event.logprobs)
            case chat.Signed():
                self._choice(event.choice).parts[event.number].signature = event.signature
            case chat.Stopped():
                choice = self._choice(event.choice)
                choice.stop, choice.stop_sequence = event.stop, event.stop_sequence
            case chat.Counted():
                self.usage = event.usage
            case chat.Ended():
                self.is_ended = True
            case _:
                pass

    def kind(self, choice: int, number: int) -> chat.Text | chat.Thinking | chat.ToolCall | chat.Refused:
        """A part as it was opened: what kind it is, without its text."""
        return self._choice(choice).parts[number].part

    def part(self, choice: int, number: int) -> chat.Part:
        """A part as it stands."""
        return _whole(self._choice(choice).parts[number])

    def logprobs(self, choice: int) -> tuple[chat.TokenLogprob, ...]:
        """Those of a choice so far."""
        return tuple(self._choice(choice).logprobs)

    def answer(self) -> chat.Answer:
        """All of it."""
        choices = tuple(
            chat.Choice(tuple(map(_whole, so_far.parts)), so_far.stop, so_far.stop_sequence, tuple(so_far.logprobs))
            for _, so_far in sorted(self._choices.items())
        )
        return chat.Answer(self.id, self.model, choices, self.usage, self.created_s)

    def _choice(self, number: int) -> _ChoiceSoFar:
        return self._choices.setdefault(number, _ChoiceSoFar([], []))


def fold(events: Iterable[chat.Event]) -> chat.Answer:
    """The whole answer of a stream."""
    folded = Fold()
    for event in events:
        folded.take(event)
    return folded.answer()


def _whole(so_far: _Open) -> chat.Part:
    text = "".join(so_far.texts)
    match so_far.part:
        case chat.ToolCall() as call:
            return msgspec.structs.replace(call, arguments=call.arguments + text)
        case chat.Thinking() as thinking:
            signature = so_far.signature or thinking.signature
            return msgspec.structs.replace(thinking, text=thinking.text + text, signature=signature)
        case chat.Text() | chat.Refused() as plain:
            return msgspec.structs.replace(plain, text=plain.text + text)


def unfold(answer: chat.Answer, *, chars: int = 0) -> Iterator[chat.Event]:
    """The events of an answer, its texts cut into pieces of `chars` (0: whole)."""
    yield chat.Started(answer.id, answer.model, answer.created_s)
    for number, choice in enumerate(answer.choices):
        yield from _unfold_choice(number, choice, chars)
    if answer.usage is not None:
        yield chat.Counted(answer.usage)
    yield chat.Ended()


def _unfold_choice(index: int, choice: chat.Choice, chars: int) -> Iterator[chat.Event]:
    logprobs = choice.logprobs
    for number, part in enumerate(choice.parts):
        empty, text, signature = _parted(part)
        yield chat.Opened(index, number, empty)
        for piece in _pieces(text, chars):
            yield chat.Added(index, number, piece, logprobs if isinstance(part, chat.Text) else ())
            logprobs = () if isinstance(part, chat.Text) else logprobs
        if signature is not None:
            yield chat.Signed(index, number, signature)
        yield chat.Closed(index, number)
    yield chat.Stopped(index, choice.stop, choice.stop_sequence)


def _parted(
    part: chat.Part,
) -> tuple[chat.Text | chat.Thinking | chat.ToolCall | chat.Refused, str, chat.Signature | None]:
    match part:
        case chat.Text():
            return _EMPTY_TEXT, part.text, None
        case chat.Thinking(is_redacted=True):
            return part, "", None
        case chat.Thinking():
            return chat.Thinking(), part.text, part.signature
        case chat.ToolCall():
            return msgspec.structs.replace(part, arguments=""), part.arguments, None
        case chat.Refused():
            return chat.Refused(), part.text, None
        case _:
            raise TypeError(f"an answer has no {type(part).__name__}")


def _pieces(text: str, chars: int) -> list[str]:
    if chars <= 0:
        return [text] if text else []
    return [text[start : start + chars] for start in range(0, len(text), chars)]


_EMPTY_TEXT: Final = chat.Text()

"""Numbering the parts of one choice where a dialect's stream has no such numbers: one part is open at a time."""

from collections.abc import Hashable

from tollway.wire import chat


class Opening:
    """`more(key, …)` continues the part of that key, or closes the open one and opens a new one."""

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._key: Hashable = None
        self._next = 0

    def more(self, key: Hashable, part: chat.Text | chat.Thinking | chat.ToolCall | chat.Refused) -> list[chat.Event]:
        """Events that make `part` the open one; none if it is already."""
        if key == self._key:
            return []
        events = self.close()
        events.append(chat.Opened(self._choice, self._next, part))
        self._key = key
        self._next += 1
        return events

    def is_open(self, key: Hashable) -> bool:
        """Whether the part of this key is the open one."""
        return self._key == key

    def added(self, text: str, logprobs: tuple[chat.TokenLogprob, ...] = ()) -> chat.Added:
        """More of the open part."""
        return chat.Added(self._choice, self._next - 1, text, logprobs)

    def signed(self, signature: chat.Signature) -> chat.Signed:
        """The open part's signature."""
        return chat.Signed(self._choice, self._next - 1, signature)

    def close(self) -> list[chat.Event]:
        """Close what is open."""
        if self._key is None:
            return []
        self._key = None
        return [chat.Closed(self._choice, self._next - 1)]

"""What stops a command: one clear sentence for the person at the terminal, and an exit code that is not 0."""


class CommandError(Exception):
    """The sentence says what is wrong and what to do; it is printed alone, without a traceback."""

    def __init__(self, sentence: str, *, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code

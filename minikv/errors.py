"""Every error that minikv raises on purpose.

A message is the complete text that a client or the log shows, code included, written once.
"""


class MinikvError(Exception):
    """Root of all errors raised on purpose."""


class ConfigError(MinikvError):
    """Settings are unknown or wrong; the text has a line for each that names it."""


class DataLost(MinikvError):
    """A reload failed after the data set was touched: what is left must neither be served nor saved."""


class ProtocolError(MinikvError):
    """The peer broke RESP: the text is sent as an error, then the connection is closed."""


class CommandError(MinikvError):
    """A reply with its code (`ERR ...`, `WRONGTYPE ...`); the connection stays open."""


class CountedError(CommandError):
    """A reply that the statistics of errors have already: a script's, which one of its commands had first."""


class WrongTypeError(CommandError):
    """The key holds another type than the command works on."""

    def __init__(self) -> None:
        super().__init__("WRONGTYPE Operation against a key holding the wrong kind of value")


class NamingError(CommandError):
    """A reply that names the command as the client spelled it, in the place of `{}`; dispatch knows."""

    def named(self, name: bytes) -> CommandError:
        """The reply, now that the name is known."""
        return CommandError(str(self).format(name.decode("utf-8", "surrogateescape")))


class ArenaFull(MinikvError):
    """The engine has no room for the new bytes; nothing was changed.

    The text says what is full; a client gets it behind `OOM `.
    """


SEGMENTS_FULL = "command not allowed: the arena is full ('arena-size')"
BLOCKS_FULL = "command not allowed: the memory for indexes is full (it grows with 'arena-size')"


class RdbError(MinikvError):
    """A dump is not what it should be: offset and reason.

    offset: byte in the file at which the reader stopped.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} (at offset {offset})")
        self.reason = reason
        self.offset = offset


class SaveError(MinikvError):
    """A snapshot was not written; the old dump is untouched. The text says why."""


class HistoryError(MinikvError):
    """A history, or a part of it, is not what it should be; the text names the file or point.

    previous: the newest point that does not need the damaged part; 0 if there is none, or it is not known.
    """

    def __init__(self, reason: str, previous: int = 0) -> None:
        super().__init__(reason)
        self.previous = previous

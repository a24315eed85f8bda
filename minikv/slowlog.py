"""The slow log: the newest commands that took at least slowlog-log-slower-than microseconds.

An entry keeps the request, shortened as in Redis: 32 arguments of 128 bytes, and a note of how much
was cut. Passwords are never kept.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from minikv.config import Config

MAX_ARGUMENTS = 32
MAX_ARGUMENT_BYTES = 128

REDACTED = b"(redacted)"
SECRET_SETTINGS = frozenset(
    {b"requirepass", b"masterauth", b"masteruser", b"tls-key-file-pass", b"tls-client-key-file-pass"}
)


class Caller(Protocol):
    """What an entry records of the client."""

    addr: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class SlowEntry:
    """One slow command; args are shortened."""

    id: int
    time_s: int
    duration_us: int
    args: list[bytes]
    addr: bytes
    name: bytes


class SlowLog:
    """The newest entries, at most slowlog-max-len of them; `clear` does not reset the ids."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.clock = clock
        self.entries: deque[SlowEntry] = deque()
        self.next_id = 0

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, client: Caller, args: Sequence[bytes], duration_us: int, full_name: bytes = b"") -> None:
        """Add a command; the caller has compared its duration with the limit. full_name: see `redacted`."""
        shown = shortened(redacted(args, full_name))
        entry = SlowEntry(self.next_id, int(self.clock()), duration_us, shown, address_of(client), client.name)
        self.next_id += 1
        self.entries.appendleft(entry)
        while len(self.entries) > self.config.slowlog_max_len:
            self.entries.pop()

    def newest(self, count: int) -> list[SlowEntry]:
        """Up to `count` entries, newest first; -1 means all."""
        return list(self.entries if count < 0 else islice(self.entries, count))

    def clear(self) -> None:
        """SLOWLOG RESET."""
        self.entries.clear()


def address_of(client: Caller) -> bytes:
    """A script has none, although MONITOR shows one."""
    return b"?:0" if client.addr == b"lua" else client.addr


def shortened(args: Sequence[bytes]) -> list[bytes]:
    """The request with surplus arguments, and the ends of long ones, replaced by how much was cut."""
    if len(args) <= MAX_ARGUMENTS:
        return [shortened_argument(argument) for argument in args]
    kept = [shortened_argument(argument) for argument in args[: MAX_ARGUMENTS - 1]]
    return [*kept, b"... (%d more arguments)" % (len(args) - len(kept))]


def shortened_argument(argument: bytes) -> bytes:
    more = len(argument) - MAX_ARGUMENT_BYTES
    return argument if more <= 0 else argument[:MAX_ARGUMENT_BYTES] + b"... (%d more bytes)" % more


def redacted(args: Sequence[bytes], full_name: bytes = b"") -> Sequence[bytes]:
    """The request without secrets: AUTH (of several commands) and passwords in CONFIG SET.

    full_name: of the command, which may have been renamed; without it, the request has its own name.
    """
    name = full_name.partition(b"|")[0] or args[0].lower()
    if name == b"auth":
        return [args[0], *[REDACTED] * (len(args) - 1)]
    if name == b"hello":
        return redacted_options(args, 2, {b"auth": 2}, {b"setname": 1})
    if name == b"acl" and len(args) > 2 and args[1].lower() == b"setuser":
        return [*args[:2], *[REDACTED] * (len(args) - 2)]
    if name == b"migrate":
        return redacted_options(args, 6, {b"auth": 1, b"auth2": 2}, {b"keys": len(args)})
    if name == b"config" and len(args) > 3 and args[1].lower() == b"set":
        shown = list(args)
        for place in range(3, len(args), 2):
            if args[place - 1].lower() in SECRET_SETTINGS:
                shown[place] = REDACTED
        return shown
    return args


def redacted_options(
    args: Sequence[bytes], start: int, hidden: dict[bytes, int], shown: dict[bytes, int]
) -> list[bytes]:
    """The request without the arguments of some options, the first of which is at `start`.

    hidden, shown: how many arguments an option has. What is in neither is an option without arguments.
    """
    result = list(args)
    place = start
    while place < len(args):
        option = args[place].lower()
        if option in hidden:
            last = min(place + hidden[option], len(args) - 1)
            result[place + 1 : last + 1] = [REDACTED] * (last - place)
            place = last
        elif option in shown:
            place += shown[option]
        place += 1
    return result

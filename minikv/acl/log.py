"""ACL LOG: who was refused what, the newest first.

The same refusal within a minute is counted, not listed again. An entry keeps names, never a password.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from minikv.config import Config

# By DENIED_COMMAND and its like.
REASONS = (b"", b"command", b"key", b"channel")
AUTH = b"auth"

TOPLEVEL, MULTI, SCRIPT = b"toplevel", b"multi", b"lua"

# What is kept of a name and of a client: enough to recognize it. A key may be as long as half a gigabyte.
NAME_BYTES = 1024
CLIENT_BYTES = 4096
GROUPED_MS = 60_000
# How many of the newest entries may be the same refusal.
LOOKED_AT = 10


@dataclass(slots=True)
class LogEntry:
    """One kind of refusal. changed_ms: Unix time of the last one. client: the client then, as CLIENT LIST shows it."""

    count: int
    reason: bytes
    context: bytes
    object: bytes
    username: bytes
    changed_ms: int
    client: bytes

    def is_same(self, other: LogEntry) -> bool:
        """Whether the other is to be counted with this one."""
        return (self.reason, self.context, self.object, self.username) == (
            other.reason,
            other.context,
            other.object,
            other.username,
        ) and abs(self.changed_ms - other.changed_ms) <= GROUPED_MS


class AclLog:
    """The newest entries, at most acllog-max-len of them. show: a client as CLIENT LIST shows it."""

    def __init__(self, config: Config, show: Callable[[Any], bytes], clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.show = show
        self.clock = clock
        self.entries: deque[LogEntry] = deque()

    def __len__(self) -> int:
        return len(self.entries)

    def now_ms(self) -> int:
        """Unix time."""
        return int(self.clock() * 1000)

    def note(self, client: object, reason: bytes, context: bytes, object_: bytes, username: bytes) -> None:
        """Add a refusal; of a script's client, the one whose script it is is shown."""
        shown = self.show(getattr(client, "caller", None) or client).rstrip(b"\n")[:CLIENT_BYTES]
        names = object_[:NAME_BYTES], username[:NAME_BYTES]
        entry = LogEntry(1, reason, context, *names, self.now_ms(), shown)
        for known in islice(self.entries, LOOKED_AT):
            if known.is_same(entry):
                self.entries.remove(known)
                self.entries.appendleft(known)
                known.count += 1
                known.changed_ms, known.client = entry.changed_ms, entry.client
                return
        self.entries.appendleft(entry)
        while len(self.entries) > self.config.acllog_max_len:
            self.entries.pop()

    def newest(self, count: int) -> list[LogEntry]:
        """Up to `count` entries."""
        return list(islice(self.entries, max(count, 0)))

    def clear(self) -> None:
        """ACL LOG RESET."""
        self.entries.clear()

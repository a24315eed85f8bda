"""The log, in Redis's format.

    4242:M 21 Nov 2026 07:50:17.355 * Ready to accept connections
    pid:role, local time with milliseconds, level (. debug, - verbose, * notice, # warning), message

A line is one write to a descriptor or, with a file, open, write and close: after a log rotation has
renamed the file, the next line creates it again, and the forked child needs no descriptor of its
own. Writing never raises: a full disk must not stop the server.
"""

import os
import time
from collections.abc import Callable

LEVELS = ("debug", "verbose", "notice", "warning")
MARKS = ".-*#"

ROLE = "M"  # a snapshot child, which has no interpreter, writes its lines itself (saving/child.py): C


class Log:
    """Writes lines of at least `level` to a descriptor, or to the file `path` if it is not empty."""

    def __init__(
        self,
        level: str = "notice",
        path: str = "",
        fd: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.abspath(path) if path else ""
        self.fd = fd
        self.clock = clock
        self.pid = os.getpid()
        self.threshold = 0
        self.set_level(level)

    @property
    def level(self) -> str:
        return LEVELS[self.threshold]

    def set_level(self, level: str) -> None:
        """Write lines of this level and above; one of LEVELS."""
        self.threshold = LEVELS.index(level)

    def check(self) -> None:
        """Open the file once, so that a wrong name fails at start; OSError."""
        if self.path:
            os.close(self._open())

    def debug(self, message: str) -> None:
        self.write(0, message)

    def verbose(self, message: str) -> None:
        self.write(1, message)

    def notice(self, message: str) -> None:
        self.write(2, message)

    def warning(self, message: str) -> None:
        self.write(3, message)

    def write(self, level: int, message: str) -> None:
        """Write one line if its level (index in LEVELS) is high enough."""
        if level < self.threshold:
            return
        now = self.clock()
        stamp = time.strftime("%d %b %Y %H:%M:%S", time.localtime(now))
        self.write_raw(f"{self.pid}:{ROLE} {stamp}.{int(now * 1000) % 1000:03d} {MARKS[level]} {message}\n")

    def write_raw(self, text: str) -> None:
        """Write text as it is, whatever the level."""
        data = text.encode("utf-8", "surrogateescape")
        try:
            if self.path:
                self._append(data)
            else:
                os.write(self.fd, data)
        except OSError:
            pass

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _append(self, data: bytes) -> None:
        fd = self._open()
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

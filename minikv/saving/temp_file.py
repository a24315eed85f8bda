"""Temporary files of saves: their names, and which ones dead writers have left."""

from __future__ import annotations

import fcntl
import os
import re
import stat

TEMP_NAME = re.compile(r"temp-([0-9]{1,10})\.rdb")


def temp_name(pid: int) -> str:
    """The temporary file of process `pid`."""
    return f"temp-{pid}.rdb"


def stale_files(directory: str) -> list[str]:
    """Names of temporary files whose writers are dead: killed with their server, or by a crash of the machine."""
    found = [match for name in os.listdir(directory) if (match := TEMP_NAME.fullmatch(name))]
    return sorted(match[0] for match in found if _is_stale(directory, int(match[1])))


def _is_stale(directory: str, pid: int) -> bool:
    """True if the file is not locked and no process has its pid: redis-server takes no lock.

    Anything but a regular file (a link, a pipe) is not ours.
    """
    if pid != os.getpid() and _is_alive(pid):
        return False
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(os.path.join(directory, temp_name(pid)), flags)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state = stat.read().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")  # dead but not reaped

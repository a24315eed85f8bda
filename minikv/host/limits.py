"""Limits of the process and of the network stack: open files, the queue of connections."""

import resource
from typing import NamedTuple

from minikv.host.files import read_number

# Descriptors that the server needs beside its clients: log, dump, listening sockets, event loop; as in redis-server.
RESERVED_FILES = 32


class OpenFiles(NamedTuple):
    """The maxclients that fit, and log lines that say what was done; the last one is the result."""

    maxclients: int
    report: list[str]


def allow_clients(maxclients: int) -> OpenFiles:
    """Raise the limit of open files so that maxclients fit, or return how many do; 0 if none."""
    wanted = maxclients + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _enough(soft, wanted):
        return OpenFiles(maxclients, [])
    reached, reason = _raise_limit(soft, hard, wanted)
    if reached >= wanted:
        return OpenFiles(
            maxclients, [f"Increased maximum number of open files to {wanted} (it was originally set to {soft})."]
        )
    if reached <= RESERVED_FILES:
        least = RESERVED_FILES + 1
        text = f"Your current 'ulimit -n' of {soft} is not enough for the server to start. "
        return OpenFiles(0, [text + f"Please increase your open file limit to at least {least}. Exiting."])
    return OpenFiles(
        reached - RESERVED_FILES,
        [
            f"You requested maxclients of {maxclients} requiring at least {wanted} max file descriptors.",
            f"Server can't set maximum open files to {wanted} because of OS error: {reason}.",
            f"Current maximum open files is {reached}. maxclients has been reduced to {reached - RESERVED_FILES} to "
            "compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'.",
        ],
    )


def _enough(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted


def _raise_limit(soft: int, hard: int, wanted: int) -> tuple[int, str]:
    """The soft limit that was reached, and why not more. Root may raise the hard limit, too."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard if _enough(hard, wanted) else wanted))
        return wanted, ""
    except (OSError, ValueError):
        reason = "Operation not permitted"
    reached = hard if hard > soft else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
    except (OSError, ValueError):
        reached = soft
    return reached, reason


def backlog_warning(tcp_backlog: int, proc: str = "/proc") -> str | None:
    """The warning to log at start if the kernel limits the queue of connections; None if it does not."""
    path = "/proc/sys/net/core/somaxconn"
    allowed = read_number(f"{proc}/sys/net/core/somaxconn")
    if allowed is None or allowed >= tcp_backlog:
        return None
    return (
        f"WARNING: The TCP backlog setting of {tcp_backlog} cannot be enforced because {path} is set to the lower "
        f"value of {allowed}."
    )

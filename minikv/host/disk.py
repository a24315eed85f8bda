"""Room on a file system."""

import os


def free_bytes(directory: str) -> int | None:
    """What this user may still write there; None if the directory is not there, or nobody knows."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize if found.f_blocks else None  # some network file systems count nothing

"""Free space of a file system."""

import os


def free_bytes(directory: str) -> int | None:
    """Bytes that this user may still write there; None if the directory is missing or the size is unknown."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize if found.f_blocks else None  # some network file systems report nothing

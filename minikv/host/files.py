"""The small files in which the kernel publishes its state: /proc, /sys and the control groups."""

import os


def read_text(path: str) -> str | None:
    """The content of a file; None if it does not exist or may not be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        chunks = []
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    except OSError:
        return None
    finally:
        os.close(fd)
    return b"".join(chunks).decode("utf-8", "replace")


def read_number(path: str) -> int | None:
    """The integer in a file; None if it holds something else (a control group's `max`)."""
    text = (read_text(path) or "").strip()
    return int(text) if text.removeprefix("-").isdecimal() else None


def chosen_word(text: str) -> str:
    """The word in brackets: `madvise` of `always [madvise] never`; empty if there is none."""
    return text.partition("[")[2].partition("]")[0]

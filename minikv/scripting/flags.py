"""The flags of scripts and functions, and the first line of a script that says them."""

from __future__ import annotations

from enum import IntFlag

from minikv.errors import CommandError
from minikv.protocol.request import split_words


class Flag(IntFlag):
    """What a script promises or wants. COMPATIBLE: without a first line that says so, as before Redis 7."""

    NO_WRITES = 1
    ALLOW_OOM = 2
    ALLOW_STALE = 4
    NO_CLUSTER = 8
    ALLOW_CROSS_SLOT_KEYS = 16
    COMPATIBLE = 32


FLAGS = {
    b"no-writes": Flag.NO_WRITES,
    b"allow-oom": Flag.ALLOW_OOM,
    b"allow-stale": Flag.ALLOW_STALE,
    b"no-cluster": Flag.NO_CLUSTER,
    b"allow-cross-slot-keys": Flag.ALLOW_CROSS_SLOT_KEYS,
}
OPTION = b"flags="


def split_shebang(body: bytes) -> tuple[int, bytes]:
    """The flags of a script and its code; CommandError if its first line is not understood.

    The line break stays, so that the lines of error messages are those of the whole.
    """
    if not body.startswith(b"#!"):
        return Flag.COMPATIBLE, body
    end = body.find(b"\n")
    if end < 0:
        raise CommandError("ERR Invalid script shebang")
    words = split_words(body[:end])
    if not words:
        raise CommandError("ERR Invalid engine in script shebang")
    if words[0] != b"#!lua":
        raise CommandError(f"ERR Unexpected engine in script shebang: {text(words[0])}")
    flags = 0
    for word in words[1:]:
        if not word.startswith(OPTION):
            raise CommandError(f"ERR Unknown lua shebang option: {text(word)}")
        for name in word[len(OPTION) :].split(b",") if len(word) > len(OPTION) else ():
            if name not in FLAGS:
                raise CommandError(f"ERR Unexpected flag in script shebang: {text(name)}")
            flags |= FLAGS[name]
    return flags, body[end:]


def text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")

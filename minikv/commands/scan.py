"""What the commands that walk in steps have in common."""

from __future__ import annotations

from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.errors import CommandError

SCAN_DEFAULT_COUNT = 10


def scan_options(options: tuple[bytes, ...]) -> tuple[int, bytes]:
    """COUNT and MATCH of HSCAN and its kin; anything else is an error."""
    count = SCAN_DEFAULT_COUNT
    pattern = b"*"
    for i in range(0, len(options), 2):
        word = options[i].upper()
        if i + 1 == len(options) or word not in (b"COUNT", b"MATCH"):
            raise CommandError(SYNTAX_ERROR)
        if word == b"COUNT":
            count = integer(options[i + 1])
            if count < 1:
                raise CommandError(SYNTAX_ERROR)
        else:
            pattern = options[i + 1]
    return count, pattern

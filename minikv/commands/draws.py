"""HRANDFIELD, SRANDMEMBER and ZRANDMEMBER with a negative count: so many independent draws, perhaps 2^62 of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minikv.dispatch.client import Client
from minikv.dispatch.script_client import ScriptClient
from minikv.errors import CommandError
from minikv.protocol.reply import Draws

# More than this are made in portions of this many, while the reply leaves; each may be a large value.
AT_ONCE = 64
# A script gets its reply whole.
MOST_IN_SCRIPT = 1 << 22
OUT_OF_RANGE = "ERR value is out of range"


def drawn(ctx: Client, draw: Callable[[int], list[Any]], count: int, width: int = 1) -> list[Any] | Draws:
    """The reply of `count` draws, `width` items each. draw: a number of them at once, in one list; it has some."""
    if count <= AT_ONCE:
        return draw(count)
    if isinstance(ctx, ScriptClient):
        if count > MOST_IN_SCRIPT:
            raise CommandError(OUT_OF_RANGE)
        return draw(count)
    return Draws(count * width, portions(draw, count))


def portions(draw: Callable[[int], list[Any]], count: int) -> Iterator[list[Any]]:
    while count > 0:
        yield draw(min(count, AT_ONCE))
        count -= AT_ONCE

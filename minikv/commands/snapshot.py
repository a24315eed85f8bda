"""SNAPSHOT: what snapshots have cost here, where the data lie, and what this host should change. Not in Redis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from minikv.commands.advice import Circumstances, advise
from minikv.commands.arguments import SYNTAX_ERROR, integer
from minikv.commands.client import Client
from minikv.commands.help import help_lines
from minikv.commands.spec import ADMIN, LOADING, STALE, command, container
from minikv.errors import CommandError
from minikv.host.pagemap import own_bytes
from minikv.host.system_check import memory_findings
from minikv.protocol.reply import OK, SimpleString, Verbatim

if TYPE_CHECKING:
    from minikv.engine.segment_map import SegmentMap
    from minikv.persistence.history import Entry

SNAPSHOT = container("SNAPSHOT", arity=-2)

FLAGS = ADMIN | LOADING | STALE
TIPS = ["nondeterministic_output"]
DEFAULT_COUNT = 10


@command("SNAPSHOT|HISTORY", arity=-2, flags=FLAGS, tips=TIPS)
def snapshot_history(ctx: Client, *options: bytes) -> list[dict[bytes, bytes | int]] | Verbatim:
    words = list(options)
    as_text = bool(words) and words[-1].upper() == b"TEXT"
    if as_text:
        words.pop()
    if len(words) > 1:
        raise CommandError(SYNTAX_ERROR)
    error = "ERR count should be greater than or equal to -1"
    count = integer(words[0], error) if words else DEFAULT_COUNT
    if count < -1:
        raise CommandError(error)
    history = ctx.server.snapshots.history
    entries = history.newest() if count < 0 else history.newest(count)
    return Verbatim(b"txt", history_text(entries).encode()) if as_text else [reply_of(entry) for entry in entries]


def reply_of(entry: Entry) -> dict[bytes, bytes | int]:
    return {
        name.encode(): value.encode() if isinstance(value, str) else value for name, value in entry.fields().items()
    }


def history_text(entries: Iterable[Entry]) -> str:
    """In the manner of INFO, a section for each."""
    return "\r\n".join(
        f"# Snapshot {number}\r\n" + "".join(f"{name}:{value}\r\n" for name, value in entry.fields().items())
        for number, entry in enumerate(entries, 1)
    )


@command("SNAPSHOT|RESET", arity=2, flags=FLAGS)
def snapshot_reset(ctx: Client) -> SimpleString:
    ctx.server.snapshots.history.clear()
    return OK


@command("SNAPSHOT|MAP", arity=2, flags=FLAGS, tips=TIPS)
def snapshot_map(ctx: Client) -> dict[bytes, bytes | int]:
    """The arena by segment, in columns: 10,000 segments (20 GB) take about 20 bytes each, and 50 ms."""
    found = ctx.keyspace.segment_map()
    return {
        b"segment-bytes": found.segment_bytes,
        b"segments": len(found.kinds),
        b"kind": found.kinds,
        b"state": found.states,
        b"database": column(found.databases),
        b"store": column(found.stores),
        b"live": column(found.live_bytes),
        b"copied": column(copied_bytes(found)),
    }


def column(numbers: Iterable[int]) -> bytes:
    """Numbers with blanks between."""
    return " ".join(map(str, numbers)).encode()


def copied_bytes(found: SegmentMap) -> list[int]:
    """What was copied since the fork of each segment that the child still needs; -1: the kernel does not tell.

    Behind the child there are no copies any more. What is new since the fork is no copy.
    """
    copied = [0] * len(found.kinds)
    if b"f" not in found.states:
        return copied
    try:
        own = own_bytes(found.address, found.segment_bytes, len(found.kinds))
        return [nbytes if state == ord("f") else 0 for nbytes, state in zip(own, found.states, strict=True)]
    except OSError:
        return [-1 if state == ord("f") else 0 for state in found.states]


@command("SNAPSHOT|ADVISE", arity=2, flags=FLAGS, tips=TIPS)
def snapshot_advise(ctx: Client) -> Verbatim:
    config = ctx.server.config
    circumstances = Circumstances(
        huge_pages=bool(ctx.keyspace.stats()["huge_pages"]),
        relocates=config.snapshot_writes == "relocate",
        live_bytes=ctx.keyspace.live_bytes,
    )
    text = advise(memory_findings(), ctx.server.snapshots.history.newest(), circumstances)
    return Verbatim(b"txt", text.encode())


@command("SNAPSHOT|HELP", arity=2, flags=LOADING | STALE)
def snapshot_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "SNAPSHOT",
        [
            "ADVISE",
            "    What this host should change for better snapshots, in words.",
            "HISTORY [<count>] [TEXT]",
            "    What the newest <count> snapshots cost (10 if not given, -1 for all that are remembered).",
            "    TEXT gives them in the manner of INFO.",
            "MAP",
            "    The arena by segment, in columns. kind and state have a letter for each segment:",
            "    . free  r records  p pages  c chains  j first segment of a large value  J the rest of it",
            "    - no snapshot  f the child still needs it  b behind the child  n new since the fork",
            "    The others have numbers with blanks between: database, store (of a large collection, or",
            "    the database's own), live bytes, bytes copied since the fork.",
            "RESET",
            "    Forget the history.",
        ],
    )

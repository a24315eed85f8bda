"""SNAPSHOT: what snapshots have cost here, where the data lie, and what this host should change. Not in Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from minikv.commands.advice import Circumstances, advise
from minikv.commands.help import help_lines
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, LOADING, STALE, command, container
from minikv.errors import CommandError
from minikv.host.pagemap import own_bytes
from minikv.host.system_check import memory_findings
from minikv.protocol.reply import OK, SimpleString, Verbatim

if TYPE_CHECKING:
    from minikv.engine.segment_map import SegmentMap
    from minikv.snapshot.history import Entry

SNAPSHOT = container("SNAPSHOT", arity=-2)

FLAGS = ADMIN | LOADING | STALE
TIPS = ["nondeterministic_output"]
DEFAULT_COUNT = 10
LOOK_S = 0.05  # for which MAP asks the kernel what was copied, while no other client is served


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
    """The arena by segment, in columns: about 20 bytes for each."""
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
    """What was copied since the fork of each segment that the child still needs; -1: not known.

    There are no copies in segments that the child has passed. What is new since the fork is no copy. The kernel takes 5
    to 20 us for each segment, so of very many segments the last are left out.
    """
    copied: list[int] = []
    give_up_at = time.monotonic() + LOOK_S
    for state, group in groupby(found.states):
        count = len(list(group))
        if state != ord("f"):
            copied += [0] * count
            continue
        end = len(copied) + count
        with contextlib.suppress(OSError):
            for nbytes in own_bytes(found.address + len(copied) * found.segment_bytes, found.segment_bytes, count):
                copied.append(nbytes)
                if time.monotonic() > give_up_at:
                    break
        copied += [-1] * (end - len(copied))
    return copied


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
            "DIFF <point> <point> [MATCH <pattern>] [COUNT <count>]",
            "    What happened to keys between two points: written, elements, removed, emptied.",
            "GET <key> [AT <point>]",
            "    The value that the key had at a point: its ID, or a time (2026-11-30 12:00:00).",
            "HISTORY [<count>] [TEXT]",
            "    What the newest <count> snapshots cost (10 if not given, -1 for all that are remembered).",
            "    TEXT gives them in the manner of INFO.",
            "LIST [<count>]",
            "    The newest <count> points of the history (10 if not given, -1 for all).",
            "MAP",
            "    The arena by segment, in columns. kind and state have a letter for each segment:",
            "    . free  r records  p pages  j first segment of a large value  J the rest of it",
            "    - no snapshot  f the child still needs it  b behind the child  n new since the fork",
            "    The others have numbers with blanks between: database, store (of a large collection, or",
            "    the database's own), live bytes, bytes copied since the fork (-1: not known).",
            "RESET",
            "    Forget what snapshots have cost.",
            "RESTORE <point> [MATCH <pattern> | KEY <key> [KEY <key> ...]] [TO <db>] [REPLACE]",
            "    Bring keys of this database back as they were.",
            "VERIFY",
            "    What is wrong in the history; nothing if it is sound.",
        ],
    )

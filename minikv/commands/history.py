"""SNAPSHOT LIST, GET, DIFF, RESTORE, VERIFY: the history of `snapshot-history`, while the server goes on. Not in Redis.

Another process reads the files (snapshot/questions.py); the client waits like one of BLPOP, the others do not. What
RESTORE brings is stored a slice at a time, too.
"""

from __future__ import annotations

import asyncio
import math
import mmap
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.client import Client, Waiting
from minikv.dispatch.spec import ADMIN, DENYOOM, NO_MULTI, NOSCRIPT, READONLY, WRITE, command
from minikv.dispatch.table import OOM
from minikv.errors import ArenaFull, CommandError, HistoryError, RdbError
from minikv.history.exported import Exported, read_keys
from minikv.keyspace import Database
from minikv.protocol.reply import POSTPONED, Raw
from minikv.rdb.payload import restore

FLAGS = ADMIN | NOSCRIPT | NO_MULTI
TIPS = ["nondeterministic_output"]
DEFAULT_COUNT = 10  # points
DEFAULT_CHANGES = 1000
NEWEST = b"newest"
SLICE_S = 0.0005  # for which RESTORE stores keys before other clients are served
BUSY = "BUSYKEY Target key name already exists."

Step = Callable[[int], object]  # gets the descriptor of the answer; the reply, or POSTPONED: call again


class Asked:
    """A client that waits for the answer to its question, which `step` turns into its reply."""

    def __init__(self, ctx: Client, words: Sequence[bytes], step: Step, *, to_its_end: bool = False) -> None:
        """to_its_end: even if the client goes away when the answer is there."""
        self._ctx = ctx
        self._step = step
        self._to_its_end = to_its_end
        self._output = -1
        self._error = ""
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting(ctx, [], 0, self._serve, None, math.inf)
        try:
            ctx.server.questions.ask(self._loop, words, self._answered)
        except (HistoryError, OSError) as error:
            raise CommandError(f"ERR {error}") from error
        ctx.server.blocking.add(self._waiting)

    def _answered(self, output: int, error: str) -> None:
        self._output, self._error = output, error
        self._go_on()

    def _go_on(self) -> None:
        """Call `step` once more, on behalf of the client if it is still there."""
        ctx = self._ctx
        if ctx.blocked is self._waiting:
            done = ctx.server.blocking.serve(self._waiting, b"")
        else:
            done = not self._to_its_end or self._is_done_alone()
        if done:
            self._close()
        else:
            self._loop.call_soon(self._go_on)
        if ctx.keyspace.ready:
            ctx.server.blocking.wake()

    def _serve(self, ctx: Client, key: bytes) -> object:
        if self._error:
            raise CommandError(f"ERR {self._error}")
        return self._step(self._output)

    def _is_done_alone(self) -> bool:
        self._ctx.keyspace.tick()
        try:
            return self._serve(self._ctx, b"") is not POSTPONED
        except (CommandError, ArenaFull):
            return True

    def _close(self) -> None:
        if self._output >= 0:
            os.close(self._output)
            self._output = -1


def ask(ctx: Client, *words: bytes) -> object:
    """Let the client wait for what another process answers."""
    Asked(ctx, [b"%d" % ctx.resp, *words], whole_answer)
    return POSTPONED


def whole_answer(output: int) -> Raw:
    return Raw(os.pread(output, os.fstat(output).st_size, 0))


@command("SNAPSHOT|LIST", arity=-2, flags=FLAGS, tips=TIPS)
def snapshot_list(ctx: Client, *options: bytes) -> object:
    if len(options) > 1:
        raise CommandError(SYNTAX_ERROR)
    return ask(ctx, b"list", b"%d" % (integer(options[0]) if options else DEFAULT_COUNT))


@command("SNAPSHOT|GET", arity=-3, flags=FLAGS | READONLY, keys=(2, 2, 1), key_flags="RO access", tips=TIPS)
def snapshot_get(ctx: Client, key: bytes, *options: bytes) -> object:
    at = NEWEST
    if options:
        if len(options) != 2 or options[0].upper() != b"AT":
            raise CommandError(SYNTAX_ERROR)
        at = options[1]
    return ask(ctx, b"get", b"%d" % ctx.db.number, key, at)


@command("SNAPSHOT|DIFF", arity=-4, flags=FLAGS, tips=TIPS)
def snapshot_diff(ctx: Client, first: bytes, second: bytes, *options: bytes) -> object:
    pattern, count = b"", DEFAULT_CHANGES
    for name, value in in_pairs(options):
        if name == b"MATCH":
            pattern = value
        elif name == b"COUNT":
            count = integer(value)
            if count <= 0:
                raise CommandError(SYNTAX_ERROR)
        else:
            raise CommandError(SYNTAX_ERROR)
    return ask(ctx, b"diff", b"%d" % count, pattern, first, second)


def in_pairs(options: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    if len(options) % 2:
        raise CommandError(SYNTAX_ERROR)
    return [(name.upper(), value) for name, value in zip(options[::2], options[1::2], strict=True)]


@command("SNAPSHOT|VERIFY", arity=2, flags=FLAGS, tips=TIPS)
def snapshot_verify(ctx: Client) -> object:
    return ask(ctx, b"verify")


@dataclass(slots=True)
class Options:
    """Of RESTORE. keys: empty for all that match."""

    keys: list[bytes]
    pattern: bytes = b""
    target: int = -1
    replace: bool = False


@command("SNAPSHOT|RESTORE", arity=-3, flags=FLAGS | WRITE | DENYOOM)
def snapshot_restore(ctx: Client, point: bytes, *words: bytes) -> object:
    options = restore_options(words)
    databases = ctx.keyspace.databases
    if options.target >= len(databases):
        raise CommandError("ERR DB index is out of range")
    target = databases[options.target] if options.target >= 0 else ctx.db
    how = [b"keys", *options.keys] if options.keys else [b"match", options.pattern]
    restoring = Restoring(target, replace=options.replace, is_full=ctx.server.table.out_of_memory)
    question = [b"%d" % ctx.resp, b"export", b"%d" % ctx.db.number, point, *how]
    Asked(ctx, question, restoring.step, to_its_end=True)
    return POSTPONED


def restore_options(words: Sequence[bytes]) -> Options:
    options = Options([])
    at = 0
    while at < len(words):
        word, left = words[at].upper(), len(words) - at - 1
        if word == b"REPLACE":
            options.replace = True
        elif word == b"KEY" and left:
            options.keys.append(words[at + 1])
            at += 1
        elif word == b"MATCH" and left:
            options.pattern = words[at + 1]
            at += 1
        elif word == b"TO" and left:
            options.target = integer(words[at + 1])
            if options.target < 0:
                raise CommandError("ERR DB index is out of range")
            at += 1
        else:
            raise CommandError(SYNTAX_ERROR)
        at += 1
    if options.keys and options.pattern:
        raise CommandError(SYNTAX_ERROR)
    return options


class Restoring:
    """Puts exported keys into a database, a slice at a time; the reply is how many there are now.

    Without `replace` all of them are looked up first: one that is there ends it before anything is changed. Keys whose
    time has passed are left out. Beyond maxmemory, when nothing may be evicted, it ends after a slice.
    """

    def __init__(self, target: Database, *, replace: bool, is_full: Callable[[], bool]) -> None:
        self._target = target
        self._is_full = is_full
        self._replace = replace
        self._map: mmap.mmap | None = None
        self._checked = replace
        self._restored = 0

    def step(self, output: int) -> object:
        if self._map is None:
            if not os.fstat(output).st_size:
                return 0
            self._map = mmap.mmap(output, 0, access=mmap.ACCESS_READ)
            self._begin()
        if self._checked and self._is_full():
            raise CommandError(f"{OOM} {self._restored} keys were restored before")
        ends_at = time.monotonic() + SLICE_S
        while time.monotonic() < ends_at:
            each = next(self._keys, None)
            if each is not None:
                self._take(each)
            elif self._checked:
                return self._restored
            else:
                self._checked = True
                self._begin()
        return POSTPONED

    def _begin(self) -> None:
        assert self._map is not None
        self._keys = read_keys(memoryview(self._map), payloads=self._checked)

    def _take(self, each: Exported) -> None:
        if not self._replace and self._target.lookup(each.key, False, False) >= 0:
            raise CommandError(BUSY)
        if not self._checked:
            return
        try:
            self._restored += restore(self._target, each.key, each.payload, each.expire_at_ms)
        except RdbError as error:
            raise CommandError(f"ERR Bad data format: {error}") from error

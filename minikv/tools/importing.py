"""Many whole dumps become one history: a base, and for each further dump a layer of what differs from the one before.

Each dump is read twice: for a digest of each key, and to store what has changed. Memory: 200 bytes for each key, and
the data of one dump.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from minikv.errors import HistoryError, RdbError
from minikv.history import manifest
from minikv.history.chain import History, text_of
from minikv.history.compaction import COMPACT_LOCK, alone, keyspace_at
from minikv.history.head import Head
from minikv.history.layer_target import LayerTarget
from minikv.history.manifest import BASE, LAYER, MANIFEST, MANIFEST_LOCK, TEMPORARY, Point
from minikv.history.writing import name_of, removal, save_keyspace, selected
from minikv.keyspace.database import Keyspace
from minikv.rdb import format as rdb_format
from minikv.tools.digest import Digester
from minikv.tools.opening import opened
from minikv.tools.reading import read_all, reader_of
from minikv.tools.visitor import Record, VisitorTarget

FEWEST_DATABASES = 16
SERVER_LOCK = "lock"
LEFT_BY_A_CRASH = {MANIFEST_LOCK, MANIFEST + TEMPORARY, SERVER_LOCK, COMPACT_LOCK}  # before there is a manifest
BASE_SHARE = 2  # a dump of which one key in two has changed becomes a base

Key = tuple[int, bytes]


@dataclass
class Digests:
    """What a dump holds."""

    keys: dict[Key, bytes] = field(default_factory=dict)
    databases: int = FEWEST_DATABASES
    time_ms: int = 0


def import_dumps(directory: str, paths: Sequence[str], say: Callable[[str], object], *, bar: bool) -> list[Point]:
    """Add a point for each dump, in the order of their times. HistoryError, RdbError, SaveError, OSError."""
    dumps = sorted((time_of(path), path) for path in paths)
    if not os.path.lexists(os.path.join(directory, MANIFEST)):
        if os.path.isdir(directory) and set(os.listdir(directory)) - LEFT_BY_A_CRASH:
            raise HistoryError(f"{directory}: not empty, and no history")
        manifest.create(directory)
    with unused(directory), alone(directory):
        history = History.open(directory)
        newest = history.newest
        if newest is not None and dumps[0][0] <= newest.time_ms:
            raise HistoryError(f"{dumps[0][1]} is of {text_of(dumps[0][0])}, and the history goes on after that")
        secret = Digester.new_secret()
        before = Digests() if newest is None else digests_of_point(history, newest, secret)
        made = []
        for time_ms, path in dumps:
            now = digests_of(path, secret, bar=bar)
            point = add(history, newest, path, before, now, time_ms, say, bar=bar)
            manifest.append(directory, point)
            made.append(point)
            before, newest = now, point
        return made


@contextlib.contextmanager
def unused(directory: str) -> Iterator[None]:
    """No server works on the history, and none begins to. HistoryError."""
    try:
        with manifest.locked(directory, SERVER_LOCK, wait=False):
            yield
    except BlockingIOError:
        raise HistoryError(f"{directory}: a server uses this history") from None


def time_of(path: str) -> int:
    """When a dump was made, in Unix ms: what it says, or the time of the file. RdbError, OSError."""
    found: list[int] = []

    def on_aux(name: bytes, value: bytes) -> None:
        if name == b"ctime" and value.isdigit() and len(value) < 12:
            found.append(int(value) * 1000)

    with opened(path) as fd:
        reader = reader_of(fd, VisitorTarget(Digester(ignore, ignore, b"")), on_aux)
        named(path, lambda: reader.step(1))  # the header
        while not found and named(path, lambda: reader.step(1)) and reader.code == rdb_format.OP_AUX:
            pass
        return found[0] if found else os.fstat(fd).st_mtime_ns // 1_000_000


def ignore(*_: object) -> None:
    pass


def named(path: str, step: Callable[[], bool]) -> bool:
    """An error of the reader with the name of the file."""
    try:
        return step()
    except RdbError as error:
        raise RdbError(f"{path}: {error.reason}", error.offset) from error


class DatabaseDigester(Digester):
    """A Digester that also knows how many databases there are."""

    databases = FEWEST_DATABASES

    def select(self, number: int) -> None:
        self.databases = max(self.databases, number + 1)


def digests_of(path: str, secret: bytes, *, bar: bool) -> Digests:
    """RdbError, OSError."""
    found = Digests()

    def receive(record: Record, digest: bytes) -> None:
        key = (record.database, record.key)
        if record.module is not None:
            return  # the loader leaves it out
        if key in found.keys:
            raise HistoryError(f"{path}: it holds a key twice; minikv-check-rdb tells where")
        text = b"%b %d %d" % (digest, record.kind, -1 if record.expire_at_ms is None else record.expire_at_ms)
        found.keys[key] = blake2b(text, digest_size=16).digest()

    digester = DatabaseDigester(receive, ignore, secret)
    with opened(path) as fd:
        reader = reader_of(fd, VisitorTarget(digester))

        def read() -> bool:
            read_all(reader, os.path.basename(path), bar=bar)
            return True

        named(path, read)
    found.databases = digester.databases
    return found


def digests_of_point(history: History, point: Point, secret: bytes) -> Digests:
    """Of a point that is there already, which is loaded and saved for it."""
    keyspace, functions = keyspace_at(history, point)
    with tempfile.TemporaryDirectory(suffix=TEMPORARY, dir=history.directory) as directory:
        path = os.path.join(directory, "newest.rdb")
        save_keyspace(keyspace, path, functions)
        return digests_of(path, secret, bar=False)


def add(
    history: History,
    newest: Point | None,
    path: str,
    before: Digests,
    now: Digests,
    time_ms: int,
    say: Callable[[str], object],
    *,
    bar: bool,
) -> Point:
    """Write the file of a dump's point."""
    id = newest.id + 1 if newest is not None else 1
    parent, parent_digest = (newest.id, newest.known_as) if newest is not None else (0, 0)
    changed = {key for key, digest in now.keys.items() if before.keys.get(key) != digest}
    removed = before.keys.keys() - now.keys.keys()
    kind = BASE if newest is None or len(changed) * BASE_SHARE >= len(now.keys) > 0 else LAYER
    keyspace, functions = loaded(path, now.databases, say, bar=bar)
    if kind == LAYER:
        leave_only(keyspace, changed)
    head = Head(history.id, id, parent, parent_digest).encoded()
    file = name_of(kind, id)
    with tempfile.TemporaryDirectory(suffix=TEMPORARY, dir=history.directory) as directory:
        made = os.path.join(directory, file)
        operations = removals(removed) if kind == LAYER else b""
        written = save_keyspace(keyspace, made, functions, aux=head, operations=operations, time_ms=time_ms)
        os.rename(made, os.path.join(history.directory, file))
        manifest.sync(history.directory)
    return Point(
        id=id,
        parent=parent,
        kind=kind,
        file=file,
        time_ms=time_ms,
        digest=written.digest,
        parent_digest=parent_digest,
        nbytes=written.nbytes,
        keys=written.keys,
        removed=len(removed) if kind == LAYER else 0,
        db_keys=sum(map(len, keyspace.databases)) if kind == BASE else len(now.keys),
        changes=len(changed) + len(removed),
        known_as=written.digest,
    )


def loaded(path: str, databases: int, say: Callable[[str], object], *, bar: bool) -> tuple[Keyspace, list[bytes]]:
    """A dump in a keyspace in which nothing expires."""
    keyspace = Keyspace(databases)
    keyspace.set_clock(lambda: 0)
    target = LayerTarget(keyspace)
    with opened(path) as fd:
        reader = reader_of(fd, target)

        def read() -> bool:
            read_all(reader, os.path.basename(path), bar=bar)
            return True

        named(path, read)
        for remark in reader.remarks:
            say(f"{path}: {remark}")
    for name, (keys, _) in target.modules.items():
        say(f"{path}: {keys} keys of a type that minikv does not have were left out: {name.decode()!r}")
    return keyspace, target.functions


def leave_only(keyspace: Keyspace, wanted: set[Key]) -> None:
    for database in keyspace.databases:
        for key in database.keys():  # noqa: SIM118  (a method of Database, not of a dict)
            if (database.number, key) not in wanted:
                database.discard(key)


def removals(keys: Iterable[Key]) -> bytes:
    """The operations that remove keys."""
    pieces = []
    last = -1
    for database, key in sorted(keys):
        if database != last:
            pieces.append(selected(database))
            last = database
        pieces.append(removal(key))
    return b"".join(pieces)

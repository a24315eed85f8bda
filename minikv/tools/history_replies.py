"""What SNAPSHOT LIST, GET, DIFF, VERIFY and RESTORE need of a history, in a process of its own beside the server.

    python -c "..." DIRECTORY

The question comes from standard input, as words (history/exported.py):

    RESP list COUNT
         get DATABASE KEY POINT
         diff COUNT PATTERN A B
         verify
         export DATABASE POINT "match" PATTERN  or  "keys" KEY ...

The reply goes to standard output, ready to be sent; of `export` it is the keys with their values (history/exported.py).
An error is one line of standard error, and exit code 1.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from minikv.errors import HistoryError, MinikvError
from minikv.history.chain import ANY_DATABASE, NEVER_MS, STEP_BYTES, History, text_of
from minikv.history.compaction import keyspace_at
from minikv.history.exported import Exported, error_line, read_words, write_keys
from minikv.history.looking import changes_between, payload_of, type_word, value_at
from minikv.history.manifest import Point, as_hex
from minikv.keyspace.glob import glob_match
from minikv.protocol.reply import Set, encode
from minikv.rdb import format as rdb_format
from minikv.rdb.payload import seal
from minikv.rdb.reader import RdbReader
from minikv.tools.visitor import Record, Visitor, VisitorTarget


def main() -> int:
    """Answer the question; the exit code."""
    resp, command, *words = read_words(sys.stdin.buffer.read())
    out = open(1, "wb", closefd=False)  # noqa: SIM115  (for as long as the process)
    try:
        history = History.open(sys.argv[1])
        if command == b"export":
            export(history, words, out)
        else:
            out.write(encode(QUESTIONS[command](history, words), int(resp)))
        out.flush()
    except (OSError, MinikvError) as error:
        print(error_line(error), end="", file=sys.stderr)
        return 1
    return 0


def list_(history: History, words: list[bytes]) -> object:
    count = int(words[0])
    points = history.points[::-1]
    return [fields_of(point) for point in (points if count < 0 else points[:count])]


def fields_of(point: Point) -> dict[bytes, bytes | int]:
    return {
        b"id": point.id,
        b"parent": point.parent,
        b"kind": point.kind.encode(),
        b"time": text_of(point.time_ms).encode(),
        b"time-ms": point.time_ms,
        b"written": point.keys,
        b"removed": point.removed,
        b"bytes": point.nbytes,
        b"keys": -1 if point.db_keys is None else point.db_keys,
        b"changes": point.changes,
        b"fork-us": point.fork_us,
        b"save-ms": point.save_ms,
        b"file": point.file.encode(),
        b"digest": as_hex(point.digest).encode(),
    }


def get(history: History, words: list[bytes]) -> object:
    database, key, point = words
    record = value_at(history, history.find(os.fsdecode(point)), int(database), key)
    if record is None:
        return None
    visitor = Value()
    fd = os.memfd_create("record", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(rdb_format.header(True) + record + bytes((rdb_format.OP_EOF,)) + bytes(8))
        os.lseek(fd, 0, os.SEEK_SET)
        reader = RdbReader(fd, VisitorTarget(visitor), ANY_DATABASE, NEVER_MS, False)
        while reader.step(STEP_BYTES):
            pass
    finally:
        os.close(fd)
    return visitor.value


class Value(Visitor):
    """The value of a record, as a reply."""

    takes_pieces = True
    takes_elements = True

    def __init__(self) -> None:
        self._items: list[object] = []
        self._pairs: dict[bytes, object] = {}
        self.value: object = None

    def piece(self, data: bytes) -> None:
        self._items.append(data)

    def element(self, name: bytes, value: bytes | float | None) -> None:
        if value is None:
            self._items.append(name)
        else:
            self._pairs[name] = value

    def entry(self, id: bytes, parts: list[bytes]) -> None:
        self._items.append([id, parts])

    def end(self, record: Record) -> None:
        if record.kind == rdb_format.TYPE_STRING:
            self.value = b"".join(item for item in self._items if isinstance(item, bytes))
        elif record.kind == rdb_format.TYPE_SET:
            self.value = Set(self._items)
        else:
            self.value = self._pairs or self._items


def diff(history: History, words: list[bytes]) -> object:
    """At most COUNT changes, each [what, database, key, type]; of an emptied database key and type are null."""
    count, pattern, *points = words
    first, second = (history.find(os.fsdecode(point)) for point in points)
    if first.id > second.id:
        raise HistoryError(f"point {first.id} is newer than {second.id}")
    changes, emptied = changes_between(history, first, second)
    found: list[list[object]] = [[b"emptied", database, None, None] for database in sorted(emptied)]
    for (database, key), change in sorted(changes.items()):
        if len(found) >= int(count):
            break
        if pattern and not glob_match(pattern, key):
            continue
        if change.rdb_type < 0 and change.whole:
            found.append([b"removed", database, key, None])
        else:
            kind = type_word(change.rdb_type).encode() if change.rdb_type >= 0 else None
            found.append([b"written" if change.whole else b"elements", database, key, kind])
    return found[: int(count)]


def verify(history: History, words: list[bytes]) -> object:
    """What is wrong, a sentence each."""
    problems = []
    if history.manifest.cut:
        problems.append(f"manifest: {history.manifest.cut} bytes at its end are no whole line".encode())
    for point in history.points:
        try:
            history.path_to(point)
            history.check_file(point, contents=True)
        except HistoryError as error:
            problems.append(str(error).encode())
    return problems


def export(history: History, words: list[bytes], out: BinaryIO) -> None:
    """Keys of a database at a point, for RESTORE: those of the list that are there, or all that match."""
    number, name, how, *rest = words
    point = history.find(os.fsdecode(name))
    by_name = how == b"keys"
    found = keys_of(history, point, int(number), rest) if by_name else matching(history, point, int(number), rest[0])
    write_keys(out, found)


def keys_of(history: History, point: Point, database: int, keys: Iterable[bytes]) -> Iterator[Exported]:
    for key in dict.fromkeys(keys):
        record = value_at(history, point, database, key)
        if record is not None:
            expires = record[0] == rdb_format.OP_EXPIRETIME_MS
            expire_at_ms = int.from_bytes(record[1:9], "little", signed=True) if expires else 0
            yield Exported(key, payload_of(record, key), expire_at_ms)


def matching(history: History, point: Point, number: int, pattern: bytes) -> Iterator[Exported]:
    keyspace, _ = keyspace_at(history, point)
    keyspace.set_clock(lambda: 0)  # nothing expires
    with contextlib.suppress(IndexError):  # a database that the history does not know is empty
        database = keyspace.databases[number]
        for key in database.keys():  # noqa: SIM118  (a method of Database, not of a dict)
            if pattern and not glob_match(pattern, key):
                continue
            value = database.dump(key, False)
            if value is not None:
                yield Exported(key, seal(value), database.expire_at(key))


QUESTIONS: dict[bytes, Callable[[History, list[bytes]], object]] = {
    b"list": list_,
    b"get": get,
    b"diff": diff,
    b"verify": verify,
}

if __name__ == "__main__":
    sys.exit(main())

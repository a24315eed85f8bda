"""What differs between two files of any size, in any order of keys.

Each record becomes a row of a table: file, database, key, type, expiry, digest of the content. SQLite
keeps the table in a temporary file, sorts it by database and key in constant memory, and returns the
keys without two equal rows. Memory: SQLite's cache and one key. Disk, in $SQLITE_TMPDIR, $TMPDIR or
/var/tmp: about 200 bytes and twice the key for each record while both files' records are sorted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from minikv.errors import MinikvError
from minikv.tools.record_types import type_name
from minikv.tools.text import in_a_line
from minikv.tools.visitor import Record

Row = tuple[int, int, bytes, str, int | None, bytes]  # of the table

BATCH = 1000  # rows to a call
CACHE_KIB = 8 << 10

SCHEMA = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{CACHE_KIB};
    CREATE TABLE record (side, database, key, type, expire_at_ms, digest);
"""

DIFFERENCES = """
    SELECT database, key,
        max(type) FILTER (WHERE side = 0), max(type) FILTER (WHERE side = 1),
        max(expire_at_ms) FILTER (WHERE side = 0), max(expire_at_ms) FILTER (WHERE side = 1),
        min(digest) <> max(digest), max(sum(side = 0), sum(side = 1))
    FROM record GROUP BY database, key
    HAVING count(*) <> 2 OR min(side) = max(side)
        OR min(type) <> max(type) OR min(digest) <> max(digest)
        OR count(expire_at_ms) = 1 OR min(expire_at_ms) <> max(expire_at_ms)
"""


FUNCTIONS = -1  # database of function libraries, whose names are used as keys
FUNCTION = "function"  # their type


class Difference(NamedTuple):
    """One key or function library that differs. A type of None: that file does not have it."""

    database: int
    key: bytes
    types: tuple[str | None, str | None]
    expiries: tuple[int | None, int | None]
    contents_differ: bool


class Comparison:
    """Takes the records of both files, then returns the differences by database and key."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.executescript(SCHEMA)
        self._table.execute("BEGIN")
        self._rows: list[Row] = []

    def add(self, side: int, record: Record, digest: bytes) -> None:
        """side: 0 or 1."""
        self._append((side, record.database, record.key, type_name(record), record.expire_at_ms, digest))

    def add_function(self, side: int, code: bytes, digest: bytes) -> None:
        """A function library, known by the name in its first line."""
        self._append((side, FUNCTIONS, library_name(code), FUNCTION, None, digest))

    def _append(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self._flush()

    def differences(self) -> Iterator[Difference]:
        """MinikvError if one of the files has a key twice."""
        self._flush()
        for database, key, *types_and_expiries, contents_differ, times in self._table.execute(DIFFERENCES):
            if times > 1:
                raise MinikvError(
                    f"a file holds key '{in_a_line(key)}' in DB {database} more than once; minikv-check-rdb tells where"
                )
            type_a, type_b, expiry_a, expiry_b = types_and_expiries
            yield Difference(database, key, (type_a, type_b), (expiry_a, expiry_b), bool(contents_differ))

    def _flush(self) -> None:
        self._table.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()


def library_name(code: bytes) -> bytes:
    """The name in `#!engine name=...`, the first line of a library; the whole line if there is none."""
    line = code.split(b"\n", 1)[0]
    for word in line.split():
        if word.startswith(b"name="):
            return word.removeprefix(b"name=")
    return line

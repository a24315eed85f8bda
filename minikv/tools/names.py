"""Whether a name comes twice, however many names there are.

The last ones are kept in memory, where most that come twice are seen at once; the others lie in a table of SQLite, in a
temporary file. At the end SQLite sorts them there.
"""

from __future__ import annotations

import sqlite3

MEMORY_BYTES = 8 << 20
NAME_OVERHEAD = 150  # bytes of a dict's entry with its bytes and int

SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -8192;
    CREATE TABLE name (name, offset);
"""

ANY_TWICE = "SELECT 1 FROM name GROUP BY name HAVING count(*) > 1 LIMIT 1"  # in half the time
FIRST_TWICE = """
    SELECT name, offset FROM (
        SELECT name, offset, row_number() OVER (PARTITION BY name ORDER BY offset) AS place FROM name
    ) WHERE place = 2 ORDER BY offset LIMIT 1
"""


class Names:
    """The names of a file's keys, or of one collection's elements, each with its offset in the file."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._limit = memory_bytes
        self._room = memory_bytes
        self._last: dict[bytes, int] = {}
        self._table: sqlite3.Connection | None = None

    def add(self, name: bytes, offset: int) -> bool:
        """False if this name is known to have come before; True says nothing before first_twice() has."""
        if name in self._last:
            return False
        self._last[name] = offset
        self._room -= len(name) + NAME_OVERHEAD
        if self._room < 0:
            self._write_out()
        return True

    def first_twice(self) -> tuple[bytes, int] | None:
        """The first name that had come before, with the offset of its second time; those told by add() left out."""
        if self._table is None:
            return None
        self._write_out()
        if self._table.execute(ANY_TWICE).fetchone() is None:
            return None
        found: tuple[bytes, int] | None = self._table.execute(FIRST_TWICE).fetchone()
        return found

    def clear(self) -> None:
        """Begin anew."""
        self._room = self._limit
        self._last.clear()
        if self._table is not None:
            self._table.close()
            self._table = None

    def _write_out(self) -> None:
        if self._table is None:
            self._table = sqlite3.connect("", isolation_level=None)
            self._table.executescript(SCHEMA)
            self._table.execute("BEGIN")
        self._table.executemany("INSERT INTO name VALUES (?, ?)", self._last.items())
        self._last.clear()
        self._room = self._limit

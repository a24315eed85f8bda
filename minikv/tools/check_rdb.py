"""minikv-check-rdb: whether the server would load a dump, in the manner of redis-check-rdb."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable

from tqdm import tqdm

from minikv import __version__
from minikv.errors import RdbError
from minikv.persistence import rdb_format
from minikv.persistence.rdb_reader import RdbReader
from minikv.tools.names import Names
from minikv.tools.reading import read_all, reader_of
from minikv.tools.record_types import ORDERED, type_name
from minikv.tools.text import in_a_line
from minikv.tools.visitor import Record, Visitor, VisitorTarget

GOOD, BAD = 0, 1  # exit codes

DESCRIPTION = """\
Check an RDB file: all of what minikv-server checks when it loads one, and that no key and no element comes twice.

Writes what it finds on the way, and at the end how many keys there are, of which types. For a bad file it writes the
offset at which reading stopped, the reason, and what was being read. Memory stays the same however large the file is;
tens of millions of keys, or of elements in one collection, are compared in a file in $SQLITE_TMPDIR, $TMPDIR or
/var/tmp.

Exit code: 0 for a good file, 1 for a bad one or none."""

DEFAULT_DATABASES = 16

# What was being done, in redis-check-rdb's words, by the opcode that was read last.
DOING = {
    rdb_format.OP_EXPIRETIME: "read-expire",
    rdb_format.OP_EXPIRETIME_MS: "read-expire",
    rdb_format.OP_AUX: "read-aux",
    rdb_format.OP_MODULE_AUX: "read-module-aux",
    rdb_format.OP_FUNCTION_PRE_GA: "read-functions",
    rdb_format.OP_FUNCTION2: "read-functions",
    rdb_format.OP_EOF: "check-sum",
}


def main() -> int:
    """Run the command line of this process; the exit code."""
    parser = argparse.ArgumentParser(
        "minikv-check-rdb", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, even if it takes long")
    parser.add_argument("-v", "--version", action="version", version=f"minikv-check-rdb {__version__}")
    options = parser.parse_args()
    try:
        return check(options.file, tqdm.write, bar=not options.quiet)
    except (OSError, sqlite3.Error) as error:
        print(f"minikv-check-rdb: {error}", file=sys.stderr)
        return BAD
    except KeyboardInterrupt:
        return 130


def check(path: str, say: Callable[[str], object], *, bar: bool = False, now_ms: int | None = None) -> int:
    """Check a file and say what is found, line by line; the exit code. OSError."""
    checker = Checker(int(time.time() * 1000) if now_ms is None else now_ms)
    say(f"[offset 0] Checking RDB file {path}")

    def on_aux(name: bytes, value: bytes) -> None:
        say(f"[offset {reader.offset}] AUX FIELD {in_a_line(name)} = '{in_a_line(value)}'")

    with reader_of(path, VisitorTarget(checker), on_aux) as reader:
        checker.attach(reader, say)
        error = None
        try:
            read_all(reader, os.path.basename(path), bar=bar)
        except RdbError as found:
            error = found
        error = checker.first_error(error)
        if error is not None:
            report_error(error, reader, say)
        else:
            report_good(reader, say)
        checker.report()
    return GOOD if error is None else BAD


class Checker(Visitor):
    """Counts what a file holds and sees to it that nothing comes twice."""

    takes_elements = True

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._keys = Names()
        self._elements = Names()
        self._record: Record | None = None  # at hand
        self._ordered = False  # its elements have places, not names
        self._types: Counter[str] = Counter()
        self._expires = 0
        self._expired = 0
        self._last_database = 0
        self._timed_fields = 0
        self._modules: Counter[bytes] = Counter()

    def attach(self, reader: RdbReader, say: Callable[[str], object]) -> None:
        self._reader = reader
        self._say = say

    def select(self, number: int) -> None:
        self._last_database = max(self._last_database, number)
        if self._reader.code == rdb_format.OP_SELECTDB:
            self._say(f"[offset {self._reader.offset}] Selecting DB ID {number}")

    def begin(self, record: Record) -> bool:
        self._record = record
        self._ordered = record.kind in ORDERED
        return self._keys.add(b"%d %b" % (record.database, record.key), record.offset)

    def element(self, name: bytes, value: bytes | float | None) -> bool:
        return self._ordered or self._elements.add(name, self._reader.offset)

    def timed_field(self, field: bytes, value: bytes, expire_at_ms: int) -> bool:
        self._timed_fields += 1
        return self.element(field, value)

    def module_aux(self, module: bytes) -> None:
        self._say(f"[offset {self._reader.offset}] MODULE AUX for: {in_a_line(module)}")
        self._modules[module] += 1

    def end(self, record: Record) -> None:
        if record.module is not None:
            self._modules[record.module] += 1
        if (error := self._element_twice(record)) is not None:
            raise error
        self._elements.clear()
        self._types[type_name(record)] += 1
        if record.expire_at_ms is not None:
            self._expires += 1
            self._expired += record.expire_at_ms < self._now_ms

    def first_error(self, error: RdbError | None) -> RdbError | None:
        """The reader's error, or what comes twice before it in the file."""
        errors = (error, self._key_twice(), self._element_twice(self._record))
        return min((found for found in errors if found is not None), key=lambda found: found.offset, default=None)

    def _key_twice(self) -> RdbError | None:
        if (twice := self._keys.first_twice()) is None:
            return None
        database, _, key = twice[0].partition(b" ")
        return RdbError(f"RDB has duplicated key {repr(key[:128])[1:]} in DB {int(database)}", twice[1])

    def _element_twice(self, record: Record | None) -> RdbError | None:
        if record is None or (twice := self._elements.first_twice()) is None:
            return None
        name, offset = twice
        return RdbError(
            f"Duplicate element {name[:128]!r} in key {repr(record.key[:128])[1:]} of DB {record.database}", offset
        )

    def report(self) -> None:
        """Say the counts, of the whole file or up to the error."""
        say = self._say
        say(f"[info] {self._types.total()} keys read")
        say(f"[info] {self._expires} expires")
        say(f"[info] {self._expired} already expired")
        for name, count in sorted(self._types.items()):
            say(f"[info] {count} of type {name}")
        if self._reader.keys_empty:
            say(f"[info] {self._reader.keys_empty} without elements, which are not loaded")
        for module, count in sorted(self._modules.items()):
            say(f"[info] {count} of module type {in_a_line(module)}, which minikv-server leaves out")
        if self._timed_fields:
            say(f"[info] {self._timed_fields} fields that expire: loaded with 'load-field-ttls drop' only")
        if self._last_database >= DEFAULT_DATABASES:
            say(f"[info] needs a server with 'databases {self._last_database + 1}' or more")


def report_good(reader: RdbReader, say: Callable[[str], object]) -> None:
    if reader.unchecked:
        say(f"[offset {reader.offset}] RDB file was saved with checksum disabled: no check performed.")
    elif reader.version >= rdb_format.FIRST_VERSION_WITH_CHECKSUM:
        say(f"[offset {reader.offset}] Checksum OK")
    say(f"[offset {reader.offset}] \\o/ RDB looks OK! \\o/")


def report_error(error: RdbError, reader: RdbReader, say: Callable[[str], object]) -> None:
    """What is wrong, where, and what the reader was doing."""
    say("--- RDB ERROR DETECTED ---")
    say(f"[offset {error.offset}] {error.reason}")
    say(f"[additional info] While doing: {doing(reader)}")
    if reader.key is not None:
        say(f"[additional info] Reading key '{in_a_line(reader.key)}'")
    if 0 <= reader.code < rdb_format.FIRST_OPCODE:
        say(f"[additional info] Reading type {reader.code} ({rdb_format.TYPE_NAMES.get(reader.code, 'unknown')})")


def doing(reader: RdbReader) -> str:
    """What the reader was at when it stopped."""
    if reader.offset < rdb_format.HEADER_LEN:
        return "start"
    if reader.code < 0 or (reader.code < rdb_format.FIRST_OPCODE and reader.code not in rdb_format.TYPE_NAMES):
        return "read-type"
    if reader.code < rdb_format.FIRST_OPCODE:
        return "read-key" if reader.key is None else "read-object-value"
    return DOING.get(reader.code, "read-len")


if __name__ == "__main__":
    sys.exit(main())

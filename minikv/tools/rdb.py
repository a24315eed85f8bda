"""minikv-rdb: look into dumps without a server."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TextIO

from minikv import __version__
from minikv.tools.command_line import GOOD, run_command_line
from minikv.tools.difference import FUNCTIONS, Comparison, Difference
from minikv.tools.digest import Digester
from minikv.tools.filters import Filter
from minikv.tools.json_lines import JsonLines
from minikv.tools.opening import STANDARD_INPUT
from minikv.tools.reading import visit
from minikv.tools.record_types import TYPES
from minikv.tools.tables import Keys, Largest, Memory
from minikv.tools.text import in_a_line
from minikv.tools.visitor import Visitor

DIFFERENT = 1  # exit code

DESCRIPTION = """\
Look into RDB files: dumps of Redis 1 to 8.10 (versions 1 to 15), Valkey 9 (80 and 81) and minikv, of every type and
encoding; plain or compressed (gzip, zstd), or - for standard input, which go through a temporary file.

  minikv-rdb json dump.rdb > dump.jsonl
  minikv-rdb keys dump.rdb --match 'user:*' --db 0
  minikv-rdb memory dump.rdb --type hash > hashes.csv
  minikv-rdb largest 20 dump.rdb
  minikv-rdb diff monday.rdb tuesday.rdb

Expired keys are shown, too. Memory does not depend on the size of the file: about 50 MB, and the largest single element
(of a large string, only a piece) or the groups of one stream. A truncated file, or one with a wrong checksum, ends a
command with the offset and the reason, after the output of what was read before."""

EPILOG = r"""text:
  Keys and values may hold any bytes. They are written as UTF-8; a backslash is doubled, a byte that is not UTF-8 is
  written as \xHH. Where a line must stay one line (keys, memory, largest, diff), so are control characters and line
  separators; in JSON these have JSON's own escapes. To get the bytes back: \\ is a backslash, \xHH a byte, everything
  else its UTF-8 bytes.

exit code:
  0; for diff, 1 if the files differ; 2 if a file cannot be read or the command line is wrong."""

JSON = """\
Write all records as JSON, one object per line:

  {"database":0,"key":"k","type":"hash","expire_at_ms":1700000000000,"value":{"field":"value"}}

expire_at_ms (Unix time) is left out if the key has none. The value of a string is a string, of a list or set an array
of strings, of a hash an object, of a sorted set an object of numbers ("inf" and "-inf" are strings). Elements are in
the order of the file. A field that expires has {"value":"...","expire_at_ms":...} in place of its value.
The value of a module's type, or of a type that minikv lacks (array), is null; "module" has the type's name. "idle_s"
and "frequency" say how a key was used, if the file does. Function libraries are lines {"function":"code"}; they are
left out if only some keys are asked for.

The value of a stream is an object: {"entries":[{"id":"1-1","fields":["field","value",...]},...],"last_id":"1-1",
"first_id":...,"max_deleted_id":...,"entries_added":1,"groups":[{"name":...,"last_id":...,"entries_read":1 or null,
"consumers":[{"name":...,"seen_ms":...,"pending":[{"id":...,"delivered_ms":...,"deliveries":1},...]},...]},...]}."""

MEMORY = """\
Write what each key takes, as CSV with a heading:

  database, type, key
  file_bytes             in the file, from its expiry or type to its last byte
  arena_bytes            in minikv's memory, for the record and its elements (without indexes)
  encoding               in the file: plain, int, lzf, ziplist, listpack, intset, zipmap, quicklist ...
  elements               1 for a string
  largest_element_bytes  of the longest string, member, field or value
  expire_at_ms           Unix time; empty if the key has none"""

LARGEST = "Write the N keys that take most of minikv's arena, in the form of the memory command, largest first."

DIFF = """\
Write how the data of two files differ, sorted by database and key:

  - 0 key: string                only in A
  + 0 key: list                  only in B
  ! 0 key: string, now a list    in both, but not the same: type, value, expiry

Function libraries are compared, too; of module values only the type is. Encodings and the order of keys, fields and
members make no difference. The exit code is 1 if anything differs.

Each record becomes a row with a digest of its value in a table on disk, which SQLite sorts: about 200 bytes and twice
the key for each record, in $SQLITE_TMPDIR, $TMPDIR or /var/tmp."""


def main() -> int:
    """Run the command line of this process; the exit code."""
    return run_command_line(parser(), run)


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--db", type=natural, action="append", default=[], metavar="N", help="this database only")
    common.add_argument("--type", choices=TYPES.values(), action="append", default=[], help="this type only")
    common.add_argument("--match", type=os.fsencode, metavar="PATTERN", help="keys that match this glob only (as KEYS)")
    common.add_argument("--quiet", action="store_true", help="no progress bar, even if it takes long")
    top = argparse.ArgumentParser(
        "minikv-rdb", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("-v", "--version", action="version", version=f"minikv-rdb {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, summary: str, description: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=description,
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    add("json", "records as JSON, one per line", JSON).add_argument("file")
    add("keys", "keys, one per line", "Write the keys, one per line, in the order of the file.").add_argument("file")
    add("memory", "what each key takes, as CSV", MEMORY).add_argument("file")
    largest = add("largest", "the N largest keys", LARGEST)
    largest.add_argument("count", type=positive, metavar="N")
    largest.add_argument("file")
    diff = add("diff", "what differs between two files", DIFF)
    diff.add_argument("file", metavar="A")
    diff.add_argument("other", metavar="B")
    return top


def natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError
    return number


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Run a parsed command line. RdbError, OSError."""
    chosen = Filter(frozenset(options.db), frozenset(options.type), options.match)
    at_the_end = options.command in ("largest", "diff")  # others write while they read: over the bar
    bar = not options.quiet and (at_the_end or not out.isatty())
    if options.command == "diff":
        return diff(options.file, options.other, chosen, out, bar=bar)
    visitor: Visitor
    if options.command == "largest":
        visitor = Largest(options.count)
        visit(options.file, visitor, chosen, bar=bar)
        visitor.report(out)
        return GOOD
    visitor = {"json": JsonLines, "keys": Keys, "memory": Memory}[options.command](out)
    visit(options.file, visitor, chosen, bar=bar)
    return GOOD


def diff(
    path_a: str,
    path_b: str,
    chosen: Filter,
    out: TextIO,
    *,
    bar: bool,
    form: Callable[[Difference], str] | None = None,
) -> int:
    """Write the differences, each in a form of one's own if given; returns the exit code."""
    form = form or describe
    if path_a == path_b == STANDARD_INPUT:
        raise OSError(errno.EINVAL, "Standard input can be one of the files only")
    comparison = Comparison()
    secret = Digester.new_secret()
    for side, path in enumerate((path_a, path_b)):
        digester = Digester(partial(comparison.add, side), partial(comparison.add_function, side), secret)
        visit(path, digester, chosen, bar=bar)
    code = GOOD
    for found in comparison.differences():
        out.write(form(found))
        code = DIFFERENT
    return code


def describe(found: Difference) -> str:
    """One difference as a line."""
    name = in_a_line(found.key)
    name = f"function {name}" if found.database == FUNCTIONS else f"{found.database} {name}"
    before, now = found.types
    if now is None:
        return f"- {name}: {before}\n"
    if before is None:
        return f"+ {name}: {now}\n"
    parts = []
    if before != now:
        parts.append(f"{before}, now a {now}")
    elif found.contents_differ:
        parts.append("value")
    if found.expiries[0] != found.expiries[1]:
        parts.append("expiry {}, now {}".format(*("none" if at_ms is None else at_ms for at_ms in found.expiries)))
    return f"! {name}: {'; '.join(parts)}\n"


if __name__ == "__main__":
    sys.exit(main())

"""minikv-check-rdb: would the server load this dump? Output in the form of redis-check-rdb."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from minikv import __version__
from minikv.errors import RdbError
from minikv.rdb import format as rdb_format
from minikv.rdb.reader import RdbReader
from minikv.tools.checker import Checker, SecondChecker
from minikv.tools.opening import opened
from minikv.tools.reading import os_error_text, read_all, reader_of
from minikv.tools.text import in_a_line
from minikv.tools.visitor import VisitorTarget

GOOD, BAD = 0, 1  # exit codes

DESCRIPTION = """\
Check an RDB file: everything that minikv-server checks when it loads one, and that no key or element is a duplicate.

Writes what it finds on the way, and at the end the number of keys of each type. For a bad file it writes the offset at
which reading stopped, the reason, and what was being read. Memory does not depend on the size of the file: from 100 000
keys on, or elements of one collection, 16 bytes for each go to a temporary file in $TMPDIR or /tmp; a compressed file,
or standard input, is unpacked into one first.

Exit code: 0 for a good file, 1 for a bad one or none, 2 for a wrong command line."""

# What the reader was doing, in redis-check-rdb's words, by the opcode read last.
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
    parser.add_argument("file", help="plain or compressed (gzip, zstd); - for standard input")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, even if it takes long")
    parser.add_argument("-v", "--version", action="version", version=f"minikv-check-rdb {__version__}")
    options = parser.parse_args()
    try:
        return check(options.file, say, bar=not options.quiet)
    except OSError as error:
        print(f"minikv-check-rdb: {os_error_text(error)}", file=sys.stderr)
        return BAD
    except KeyboardInterrupt:
        return 130


def say(line: str) -> None:
    """Write a line above the progress bar; a closed pipe does not change the exit code."""
    try:
        with tqdm.external_write_mode():
            print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check(path: str, say: Callable[[str], object], *, bar: bool = False, now_ms: int | None = None) -> int:
    """Check a file and print the findings line by line; returns the exit code. OSError."""
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    say(f"[offset 0] Checking RDB file {path}")
    checker = Checker(now_ms)
    label = os.path.basename(path)
    with opened(path) as fd:
        reader, error = read_with(checker, fd, label, say, bar=bar)
        if any(suspects := checker.suspects()):
            checker = SecondChecker(now_ms, suspects)
            reader, error = read_with(checker, fd, label, lambda line: None, bar=bar)
    if error is not None:
        report_error(error, reader, say)
    else:
        report_good(reader, say)
    checker.report(say)
    return GOOD if error is None else BAD


def read_with(
    checker: Checker, fd: int, label: str, say: Callable[[str], object], *, bar: bool
) -> tuple[RdbReader, RdbError | None]:
    """Read the file up to its end or first error; returns the reader, where it stopped, and the error."""

    def on_aux(name: bytes, value: bytes) -> None:
        if name != rdb_format.PADDING:
            say(f"[offset {reader.offset}] AUX FIELD {in_a_line(name)} = '{in_a_line(value)}'")

    reader = reader_of(fd, VisitorTarget(checker), on_aux)
    checker.attach(reader, say)
    try:
        read_all(reader, label, bar=bar)
    except RdbError as error:
        return reader, error
    return reader, None


def report_good(reader: RdbReader, say: Callable[[str], object]) -> None:
    if reader.unchecked:
        say(f"[offset {reader.offset}] RDB file was saved with checksum disabled: no check performed.")
    elif reader.version >= rdb_format.FIRST_VERSION_WITH_CHECKSUM:
        say(f"[offset {reader.offset}] Checksum OK")
    say(f"[offset {reader.offset}] \\o/ RDB looks OK! \\o/")


def report_error(error: RdbError, reader: RdbReader, say: Callable[[str], object]) -> None:
    """Print what is wrong, where, and what the reader was doing."""
    say("--- RDB ERROR DETECTED ---")
    say(f"[offset {error.offset}] {error.reason}")
    say(f"[additional info] While doing: {doing(reader)}")
    if reader.key is not None:
        say(f"[additional info] Reading key '{in_a_line(reader.key)}'")
    if 0 <= reader.code < rdb_format.FIRST_OPCODE:
        say(f"[additional info] Reading type {reader.code} ({rdb_format.TYPE_NAMES.get(reader.code, 'unknown')})")


def doing(reader: RdbReader) -> str:
    """What the reader was doing when it stopped."""
    if reader.offset < rdb_format.HEADER_LEN:
        return "start"
    if reader.code < 0 or (reader.code < rdb_format.FIRST_OPCODE and reader.code not in rdb_format.TYPE_NAMES):
        return "read-type"
    if reader.code < rdb_format.FIRST_OPCODE:
        return "read-key" if reader.key is None else "read-object-value"
    return DOING.get(reader.code, "read-len")


if __name__ == "__main__":
    sys.exit(main())

"""minikv-history: look into a history of snapshots, go back in it, and keep it small; without a server."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from tqdm import tqdm

from minikv import __version__
from minikv.errors import HistoryError
from minikv.history import compaction, shipping
from minikv.history.append_only import write_append_only
from minikv.history.chain import History, adopt, text_of, total_bytes
from minikv.history.copying import copy_into
from minikv.history.loading import HistoryReader
from minikv.history.looking import (
    Operation,
    changes_between,
    operations_back,
    operations_of,
    payload_of,
    type_word,
    value_at,
)
from minikv.history.manifest import BASE, MANIFEST, Point, as_hex
from minikv.history.operations import OP_DEL, OP_DELTA, OP_RECORD
from minikv.history.writing import new_file, save_keyspace
from minikv.keyspace.glob import glob_match
from minikv.rdb import format as rdb_format
from minikv.tools import rdb as dumps
from minikv.tools.command_line import GOOD, run_command_line
from minikv.tools.difference import FUNCTIONS, Difference
from minikv.tools.filters import Filter
from minikv.tools.importing import import_dumps, unused
from minikv.tools.json_lines import JsonLines
from minikv.tools.reading import BAR_AFTER_S, read_all, reader_of
from minikv.tools.text import in_a_line, readable
from minikv.tools.visitor import VisitorTarget

FOUND = 1  # exit code: a difference, damage, or no such key
STEP_BYTES = 256 << 10
READING = {"show", "diff", "get", "log", "restore"}  # and write nothing before they have read all
SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

DESCRIPTION = """\
Look into a history: the directory in which a server with 'snapshot-mode layers' keeps a base, layers of what has
changed since, and a manifest of the points to which one can go back.

  minikv-history --history DIR list
  minikv-history --history DIR get user:1 --at '2026-11-30 12:00'
  minikv-history --history DIR diff 7 9 --match 'user:*'
  minikv-history --history DIR restore 7 dump.rdb
  minikv-history --history DIR prune --keep 'hourly 24 daily 30 monthly 12'

A POINT is an ID as list shows it, a time (the newest point that is not later), or the word newest. Times are local:
'2026-11-30 12:00:00', 12:00 (today), 2026-11-30T12:00:00Z, @1700000000. A server may use the history meanwhile; only
import and pull want it for themselves."""

EPILOG = """exit code:
  0; 1 if diff finds a difference, verify damage, get or log no such key; 2 if something cannot be done."""

LIST = """\
Write a line for each point: ID, time, kind, keys written and removed since the point before (of a base: all keys),
bytes of its file, and what it cost: for how long the fork stopped the server, and how long the child took.
With --json an object for each, with all fields of the manifest."""

DIFF = """\
Write what happened to keys between two points, of which only the layers in between are read:

  * 0 key: string              written: new, or another value or expiry
  * 0 key: hash, elements      some of its elements, or its expiry
  - 0 key                      removed, if it was there
  - 0 *                        the whole database was emptied before

With --exact, or where a base comes in between, both points are loaded and compared instead, as by minikv-rdb diff:

  - 0 key: string              only at the first point
  + 0 key: list                only at the second
  ! 0 key: string, now a list  at both, but not the same: type, value, expiry"""

GET = """\
Write a key as it was at a point, as minikv-rdb json does, with --json or without; with --payload as DUMP does, for
RESTORE."""

RESTORE = """\
Write a point as one plain RDB file, which minikv, redis-server and Valkey load. With --aof write a directory instead,
for redis-server 7 and later with '--dir DIR --appendonly yes': the base, and a file of commands for each layer."""

COMPACT = """\
Merge the layers that lead from one point to another into one: the points between them are gone. With --base put a base
in the place of a point's layer instead, so that what follows does not need anything older."""

PRUNE = """\
Take points away. What is left can be restored as before: layers are merged, and the oldest point becomes a base.

  --keep RULES      pairs of a unit and a number: 'last 10 hourly 24 daily 30 monthly 12' keeps the last ten points,
                    the newest of each of the last 24 hours that have one, of 30 days, of 12 months. Units: secondly,
                    minutely, hourly, daily, weekly, monthly, yearly
  --before POINT    all that are older
  --max-bytes SIZE  the oldest, until the files take no more than SIZE (such as 10gb)"""

IMPORT = """\
Add a point for each dump, in the order of their times (which the dump says, else the file). Of any release of Redis or
Valkey, plain or compressed. The history is created if need be; no server may use it meanwhile."""

PUSH = """\
Bring a copy elsewhere to the state of this history: files that it lacks go over, then the manifest; what the manifest
does not name any more is removed. A copy that was interrupted goes on where it was. URL is a directory or whatever
fsspec reaches:

  /backup/history  file:///backup/history      s3://bucket/history      sftp://user@host/history

Needs libraries (pip install minikv[store]). Credentials are looked for in their usual places only: AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL and so on, ~/.aws, the instance's role; ~/.ssh and the agent."""

PULL = """\
Bring this history, which may not be there yet, to the state of a copy elsewhere (see push). Each file is read
throughout before the manifest names it. No server may use the history meanwhile."""

VERIFY = """\
Read all files: digests, contents, and that each point can be reached. With --repair also put right what a crash has
left: a cut line of the manifest, files without a line."""


def main() -> int:
    """Run the command line of this process; the exit code."""
    return run_command_line(parser(), run)


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("minikv-history", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    top.add_argument("-v", "--version", action="version", version=f"minikv-history {__version__}")
    top.add_argument("--history", default="history", metavar="DIR", help="its directory (default: history)")
    top.add_argument("--quiet", action="store_true", help="no progress bar, even if it takes long")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, summary: str, description: str = "", *, as_json: bool = False) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=description or summary, formatter_class=raw)
        if as_json:
            made.add_argument("--json", action="store_true", help="one JSON object per line")
        return made

    def add_key(command: argparse.ArgumentParser) -> None:
        command.add_argument("key", type=os.fsencode, metavar="KEY")
        command.add_argument("--db", type=dumps.natural, default=0, metavar="N", help="its database (default: 0)")

    add("list", "the points, a line for each", LIST, as_json=True)
    add("show", "all about a point", as_json=True).add_argument("point", metavar="POINT")
    diff = add("diff", "what happened between two points", DIFF, as_json=True)
    diff.add_argument("point", metavar="A")
    diff.add_argument("other", metavar="B")
    diff.add_argument("--match", type=os.fsencode, metavar="PATTERN", help="keys that match this glob only (as KEYS)")
    diff.add_argument("--db", type=dumps.natural, action="append", default=[], metavar="N", help="this database only")
    diff.add_argument("--exact", action="store_true", help="load both points and compare them")
    get = add("get", "a key as it was", GET, as_json=True)
    add_key(get)
    get.add_argument("--at", default="newest", metavar="POINT", help="default: newest")
    get.add_argument("--payload", action="store_true", help="as DUMP writes it")
    add_key(add("log", "the points at which a key changed, newest first", as_json=True))
    restore = add("restore", "a point as a dump", RESTORE, as_json=True)
    restore.add_argument("point", metavar="POINT")
    restore.add_argument("target", metavar="FILE")
    restore.add_argument("--aof", action="store_true", help="FILE is a directory to make, for appendonly yes")
    restore.add_argument("--force", action="store_true", help="replace FILE")
    add("verify", "is all of it sound?", VERIFY, as_json=True).add_argument(
        "--repair", action="store_true", help="put right what a crash has left"
    )
    compact = add("compact", "merge layers, or make a new base", COMPACT, as_json=True)
    compact.add_argument("point", metavar="POINT")
    compact.add_argument("other", metavar="TO", nargs="?")
    compact.add_argument("--base", action="store_true", help="put a base in the place of POINT's layer")
    prune = add("prune", "take points away", PRUNE, as_json=True)
    prune.add_argument("--keep", metavar="RULES")
    prune.add_argument("--before", metavar="POINT")
    prune.add_argument("--max-bytes", type=size, metavar="SIZE")
    prune.add_argument("--dry-run", action="store_true", help="only say which points would go")
    add("push", "copy it elsewhere", PUSH, as_json=True).add_argument("url", metavar="URL")
    add("pull", "copy it from elsewhere", PULL, as_json=True).add_argument("url", metavar="URL")
    add("import", "make a history of dumps", IMPORT, as_json=True).add_argument("dumps", nargs="+", metavar="DUMP")
    return top


def size(text: str) -> int:
    """Bytes, as in redis.conf: 10gb is 10 * 2**30."""
    found = re.fullmatch("([0-9]+)([kmgt]?)b?", text.lower())
    if found is None:
        raise ValueError
    return int(found[1]) * SIZE_UNITS[found[2]]


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Run a parsed command line. MinikvError, OSError."""
    command: Callable[[argparse.Namespace, TextIO], int] = COMMANDS[options.command]
    if options.command not in READING:
        return command(options, out)
    while True:
        before = manifest_inode(options.history)
        try:
            return command(options, out)
        except HistoryError:
            if manifest_inode(options.history) == before:
                raise  # else the history was compacted meanwhile, and a file is gone


def manifest_inode(directory: str) -> int:
    """Another one after the manifest was swapped; 0 without one."""
    try:
        return os.stat(os.path.join(directory, MANIFEST)).st_ino
    except OSError:
        return 0


# Looking


def list_(options: argparse.Namespace, out: TextIO) -> int:
    history = History.open(options.history)
    for point in history.points:
        out.write(as_json(point) if options.json else f"{in_columns(point)}\n")
    return GOOD


def in_columns(point: Point) -> str:
    return (
        f"{point.id:>8}  {text_of(point.time_ms)}  {point.kind:5}  {point.keys:>10,} written"
        f"  {point.removed:>8,} removed  {bytes_text(point.nbytes):>9}"
        f"  fork {point.fork_us / 1000:6.1f} ms  save {point.save_ms:>7,} ms"
    )


def bytes_text(nbytes: int) -> str:
    amount = float(nbytes)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TB"


def fields_of(point: Point) -> dict[str, object]:
    return {
        "id": point.id,
        "parent": point.parent,
        "kind": point.kind,
        "file": point.file,
        "time_ms": point.time_ms,
        "digest": as_hex(point.digest),
        "written": point.keys,
        "removed": point.removed,
        "bytes": point.nbytes,
        "keys": point.db_keys,
        "changes": point.changes,
        "fork_us": point.fork_us,
        "save_ms": point.save_ms,
        **{name.replace("-", "_"): value for name, value in point.others.items()},
    }


def as_json(point: Point) -> str:
    return json.dumps(fields_of(point)) + "\n"


def show(options: argparse.Namespace, out: TextIO) -> int:
    history = History.open(options.history)
    point = history.find(options.point)
    way = history.path_to(point)
    operations, functions = operations_of(history, point)
    counts = Counter(word_of(each) for each in operations)
    fields = fields_of(point) | {
        "time": text_of(point.time_ms),
        "base": way[0].id,
        "layers": len(way) - 1,
        "bytes_to_load": total_bytes(way),
        "functions": len(functions),
        "operations": dict(sorted(counts.items())),
    }
    if options.json:
        out.write(json.dumps(fields) + "\n")
        return GOOD
    fields["operations"] = ", ".join(f"{count:,} {word}" for word, count in sorted(counts.items())) or "none"
    for name, value in fields.items():
        out.write(f"{name:14} {value if value is not None else 'not known'}\n")
    return GOOD


def word_of(each: Operation) -> str:
    if each.op == OP_RECORD:
        return type_word(each.rdb_type)
    return {OP_DEL: "removed", OP_DELTA: f"{type_word(each.rdb_type)} elements"}.get(each.op, "elements removed")


def diff(options: argparse.Namespace, out: TextIO) -> int:
    history = History.open(options.history)
    first, second = history.find(options.point), history.find(options.other)
    if first.id > second.id:
        raise HistoryError(f"point {first.id} is newer than {second.id}")
    try:
        between = history.between(first, second)
    except HistoryError:
        return exact_diff(history, first, second, options, out)
    if options.exact:
        return exact_diff(history, first, second, options, out)
    with bar(options, "layers", len(between)) as progress:
        changes, emptied = changes_between(history, first, second, lambda point: progress.update())
    code = GOOD
    for database in sorted(emptied):
        if not options.db or database in options.db:
            out.write(difference(options, database, None, "-", ""))
            code = FOUND
    for (database, key), change in sorted(changes.items()):
        if options.db and database not in options.db:
            continue
        if options.match is not None and not glob_match(options.match, key):
            continue
        if change.rdb_type < 0 and change.whole:
            out.write(difference(options, database, key, "-", ""))
        else:
            word = "" if change.rdb_type < 0 else type_word(change.rdb_type)
            out.write(difference(options, database, key, "*", word, "" if change.whole else "elements"))
        code = FOUND
    return code


def difference(
    options: argparse.Namespace, database: int, key: bytes | None, mark: str, kind: str, part: str = ""
) -> str:
    if options.json:
        fields: dict[str, object] = {"database": database, "change": "removed" if mark == "-" else part or "written"}
        if key is not None:
            fields["key"] = readable(key)
        if kind:
            fields["type"] = kind
        return json.dumps(fields, ensure_ascii=False) + "\n"
    words = ", ".join(word for word in (kind, part) if word)
    return f"{mark} {database} {'*' if key is None else in_a_line(key)}{': ' if words else ''}{words}\n"


def exact_diff(history: History, first: Point, second: Point, options: argparse.Namespace, out: TextIO) -> int:
    """Of two states, whatever leads from one to the other."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for point in (first, second):
            paths.append(os.path.join(directory, f"{point.id}.rdb"))
            keyspace, functions = compaction.keyspace_at(history, point, steps_of(options))
            save_keyspace(keyspace, paths[-1], functions)
            del keyspace
        chosen = Filter(frozenset(options.db), frozenset(), options.match)
        form = exact_as_json if options.json else dumps.describe
        return dumps.diff(paths[0], paths[1], chosen, out, bar=not options.quiet, form=form)


def exact_as_json(found: Difference) -> str:
    before, now = found.types
    fields: dict[str, object] = {"change": "added" if before is None else "removed" if now is None else "changed"}
    if found.database == FUNCTIONS:
        fields["function"] = readable(found.key)
    else:
        fields |= {"database": found.database, "key": readable(found.key), "type": before if now is None else now}
        if before is not None and now is not None:
            fields |= {"type_before": before, "value_differs": found.contents_differ}
            fields |= dict(zip(("expire_at_ms_before", "expire_at_ms"), found.expiries, strict=True))
    return json.dumps(fields, ensure_ascii=False) + "\n"


def get(options: argparse.Namespace, out: TextIO) -> int:
    history = History.open(options.history)
    point = history.find(options.at)
    record = value_at(history, point, options.db, options.key)
    if record is None:
        print(f"minikv-history: no such key at point {point.id}", file=sys.stderr)
        return FOUND
    if options.payload:
        out.flush()
        sys.stdout.buffer.write(payload_of(record, options.key))
        sys.stdout.buffer.flush()
        return GOOD
    fd = os.memfd_create("record", os.MFD_CLOEXEC)
    try:
        select = bytes((rdb_format.OP_SELECTDB,)) + rdb_format.encode_length(options.db)
        with open(fd, "wb", closefd=False) as file:
            file.write(rdb_format.header(True) + select + record + bytes((rdb_format.OP_EOF,)) + bytes(8))
        read_all(reader_of(fd, VisitorTarget(JsonLines(out))), "", bar=False)
    finally:
        os.close(fd)
    return GOOD


def log(options: argparse.Namespace, out: TextIO) -> int:
    history = History.open(options.history)
    code = FOUND
    found = list(operations_back(history, history.find("newest"), options.db, options.key))
    for operations in found:
        code = GOOD
        point, last = operations[-1].point, operations[-1]
        if options.json:
            fields: dict[str, object] = {"id": point.id, "time_ms": point.time_ms, "change": word_of(last)}
            fields |= {"database": last.database, "bytes": last.end - last.begin}
            if last.expire_at_ms is not None:
                fields["expire_at_ms"] = last.expire_at_ms
            out.write(json.dumps(fields) + "\n")
            continue
        expiry = "" if last.expire_at_ms is None else f", expires {text_of(last.expire_at_ms)}"
        moved = "" if last.database == options.db else f", as database {last.database}"
        size = "" if last.op == OP_DEL else f", {last.end - last.begin} bytes"
        out.write(f"{point.id:>8}  {text_of(point.time_ms)}  {word_of(last)}{size}{expiry}{moved}\n")
    if code == FOUND:
        print("minikv-history: no point has this key", file=sys.stderr)
    return code


# Going back


def restore(options: argparse.Namespace, out: TextIO) -> int:
    history = History.open(options.history)
    point = history.find(options.point)
    if options.aof:
        way = history.path_to(point)
        with bar(options, "files", len(way)) as progress:
            files = write_append_only(history, point, options.target, lambda _: progress.update())
        layers = counted(files - 1, "layer")
        text = f"{options.target}: point {point.id} of {text_of(point.time_ms)}, a base and {layers}"
        tell(
            options, out, text, {"directory": options.target, "id": point.id, "time_ms": point.time_ms, "files": files}
        )
        return GOOD
    if os.path.lexists(options.target) and not options.force:
        raise FileExistsError(17, "It is there already; --force replaces it", options.target)
    if point.kind == BASE:
        keys, nbytes = copy_base(history, point, options)
    else:
        keyspace, functions = compaction.keyspace_at(history, point, steps_of(options))
        base = history.path(history.path_to(point)[0])
        written = save_keyspace(keyspace, options.target, functions, time_ms=point.time_ms, like=base)
        keys, nbytes = written.keys, written.nbytes
    text = f"{options.target}: point {point.id} of {text_of(point.time_ms)}, {counted(keys, 'key')}"
    fields = {"file": options.target, "id": point.id, "time_ms": point.time_ms, "keys": keys, "bytes": nbytes}
    tell(options, out, f"{text}, {bytes_text(nbytes)}", fields)
    return GOOD


def copy_base(history: History, point: Point, options: argparse.Namespace) -> tuple[int, int]:
    """A base is a plain dump already; returns its keys and bytes."""
    with bar(options, f"point {point.id}", point.nbytes, unit="B", unit_scale=True, unit_divisor=1024) as progress:
        history.check_file(point, contents=True, told=lambda nbytes: progress.update(nbytes - progress.n))
    with new_file(options.target) as file:
        if copy_into(history.path(point), file) != point.nbytes:
            raise history.damage(point, "it has changed while it was copied")
    return point.keys, point.nbytes


def tell(options: argparse.Namespace, out: TextIO, text: str, fields: dict[str, object]) -> None:
    """What was done, as a line."""
    out.write(f"{json.dumps(fields) if options.json else text}\n")


def counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def bar(options: argparse.Namespace, label: str, total: int, **more: object) -> tqdm:  # type: ignore[type-arg]
    made: tqdm = tqdm(  # type: ignore[type-arg]
        desc=label,
        total=total,
        file=sys.stderr,
        delay=BAR_AFTER_S,
        leave=False,
        disable=options.quiet or not sys.stderr.isatty(),
        **more,  # type: ignore[call-overload]
    )
    return made


def steps_of(options: argparse.Namespace) -> Callable[[HistoryReader], None]:
    """Read a point with a progress bar."""

    def steps(reader: HistoryReader) -> None:
        label = f"point {reader.point.id}"
        with bar(options, label, reader.size, unit="B", unit_scale=True, unit_divisor=1024) as progress:
            while reader.step(STEP_BYTES):
                progress.update(reader.offset - progress.n)

    return steps


def layers_of(options: argparse.Namespace) -> compaction.Layers:
    """Go through layers with a progress bar."""

    def through(layers: Sequence[Point]) -> Iterator[Point]:
        label = f"points {layers[0].id} to {layers[-1].id}"
        with bar(options, label, total_bytes(layers), unit="B", unit_scale=True, unit_divisor=1024) as progress:
            for point in layers:
                yield point
                progress.update(point.nbytes)

    return through


# Keeping it sound and small


def verify(options: argparse.Namespace, out: TextIO) -> int:
    if options.repair:
        for sentence in adopt(options.history):
            tell(options, out, sentence, {"repaired": sentence})
    history = History.open(options.history)
    code = GOOD
    if history.manifest.cut:
        code = FOUND
        problem = f"{history.manifest.cut} bytes at its end are no whole line; --repair removes them"
        tell(options, out, f"manifest: {problem}", {"file": MANIFEST, "sound": False, "problem": problem})
    with bar(options, "files", len(history.points)) as progress:
        for point in history.points:
            problem = ""
            try:
                history.path_to(point)
                history.check_file(point, contents=True)
            except HistoryError as error:
                problem = str(error)
                code = FOUND
            progress.update()
            if options.json:
                found: dict[str, object] = {"id": point.id, "file": point.file, "sound": not problem}
                out.write(json.dumps(found | ({"problem": problem} if problem else {})) + "\n")
            elif problem:
                out.write(f"{problem}\n")
    if not options.json:
        word = "all sound" if code == GOOD else "NOT SOUND"
        out.write(f"{counted(len(history.points), 'point')}, {bytes_text(total_bytes(history.points))}: {word}\n")
    return code


def compact(options: argparse.Namespace, out: TextIO) -> int:
    if options.base == (options.other is not None):
        raise HistoryError("compact wants two points, or --base and one")
    with compaction.alone(options.history):
        compaction.sweep(options.history)
        history = History.open(options.history)
        point = history.find(options.point)
        if options.base:
            made = compaction.rebase(history, point, steps_of(options))
        else:
            made = compaction.merge(history, point, history.find(options.other), layers_of(options))
    tell(options, out, in_columns(made), fields_of(made))
    return GOOD


def prune(options: argparse.Namespace, out: TextIO) -> int:
    if options.keep is None and options.before is None and options.max_bytes is None:
        raise HistoryError("prune wants --keep, --before or --max-bytes")
    rules = compaction.parse_rules(options.keep) if options.keep is not None else None
    with compaction.alone(options.history):
        history = History.open(options.history)
        before = history.points
        if not before:
            return GOOD
        first = history.find(options.before) if options.before is not None else before[0]
        younger = [point for point in before if point.id >= first.id]
        keep = {point.id for point in younger} if rules is None else compaction.kept_by(younger, rules)
        if options.dry_run:
            gone = [point for point in before if point.id not in keep]
        else:
            compaction.sweep(options.history)
            history = compaction.thin(history, keep, steps_of(options), layers_of(options))
            if options.max_bytes is not None:
                history = compaction.bound(history, options.max_bytes, steps_of(options))
            left = {point.id for point in history.points}
            gone = [point for point in before if point.id not in left]
    for point in gone:
        text = f"{'would go' if options.dry_run else 'gone'} {in_columns(point)}"
        tell(options, out, text, fields_of(point) | {"gone": not options.dry_run})
    if not gone and not options.json:
        out.write("no point goes\n")
    if options.max_bytes is not None and not options.dry_run and total_bytes(history.points) > options.max_bytes:
        raise HistoryError(f"the newest point alone takes {bytes_text(total_bytes(history.points))}")
    return GOOD


def import_(options: argparse.Namespace, out: TextIO) -> int:
    def say(line: str) -> None:
        print(f"minikv-history: {line}", file=sys.stderr)

    made: Sequence[Point] = import_dumps(options.history, options.dumps, say, bar=not options.quiet)
    for point in made:
        tell(options, out, in_columns(point), fields_of(point))
    return GOOD


def push(options: argparse.Namespace, out: TextIO) -> int:
    store = shipping.Store(options.url)
    with compaction.alone(options.history), transfer(options) as start:
        done = shipping.push(History.open(options.history), store, start)
    tell_shipped(options, out, options.url, done)
    return GOOD


def pull(options: argparse.Namespace, out: TextIO) -> int:
    store = shipping.Store(options.url)
    os.makedirs(options.history, exist_ok=True)
    with unused(options.history), compaction.alone(options.history), transfer(options) as start:
        done = shipping.pull(store, options.history, start)
    tell_shipped(options, out, options.history, done)
    return GOOD


def tell_shipped(options: argparse.Namespace, out: TextIO, place: str, done: tuple[int, int]) -> None:
    files, nbytes = done
    text = f"{counted(files, 'file')}, {bytes_text(nbytes)}" if files else "nothing was lacking"
    tell(options, out, f"{place}: {text}", {"to": place, "files": files, "bytes": nbytes})


@contextlib.contextmanager
def transfer(options: argparse.Namespace) -> Iterator[Callable[[int, int], shipping.Progress]]:
    """The progress bar of a copy, which begins when its size is known."""
    with contextlib.ExitStack() as bars:

        def start(files: int, nbytes: int) -> shipping.Progress:
            progress = bars.enter_context(
                bar(options, counted(files, "file"), nbytes, unit="B", unit_scale=True, unit_divisor=1024)
            )
            return progress.update

        yield start


COMMANDS: dict[str, Callable[[argparse.Namespace, TextIO], int]] = {
    "list": list_,
    "show": show,
    "diff": diff,
    "get": get,
    "log": log,
    "restore": restore,
    "verify": verify,
    "compact": compact,
    "prune": prune,
    "push": push,
    "pull": pull,
    "import": import_,
}

if __name__ == "__main__":
    sys.exit(main())

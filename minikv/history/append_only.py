"""A point as a directory that redis-server 7 and later loads with `appendonly yes`.

    appendonlydir/appendonly.aof.manifest
    appendonlydir/appendonly.aof.1.base.rdb      the base, as it is
    appendonlydir/appendonly.aof.1.incr.aof      a file for each layer: last values, as commands
    appendonlydir/appendonly.aof.2.incr.aof      ...

Whole values are RESTORE with their expiry, changed streams too; deltas HSET, SADD, ZADD and PEXPIREAT or PERSIST;
removals DEL, HDEL, SREM, ZREM. SWAPDB and FLUSHDB move databases, FUNCTION replaces libraries.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO

from minikv.errors import HistoryError, RdbError
from minikv.history.chain import ANY_DATABASE, NEVER_MS, History
from minikv.history.compaction import mapped
from minikv.history.copying import copy_into
from minikv.history.head import length_at, read_head, string_at
from minikv.history.layer_target import KEY_LEN_SIZE
from minikv.history.looking import (
    Operation,
    opened,
    operations_back,
    operations_of,
    payload_of,
    type_word,
    value_at,
)
from minikv.history.manifest import Point, sync
from minikv.history.operations import OP_DEL, OP_DELTA, OP_RECORD, OP_REM
from minikv.rdb import format as rdb_format
from minikv.rdb.payload import seal
from minikv.rdb.reader import RdbReader
from minikv.rdb.target import RecordTarget

DIRECTORY = "appendonlydir"
NAME = "appendonly.aof"
ELEMENTS = 512  # names in one command
REMOVING = {"hash": b"HDEL", "set": b"SREM", "zset": b"ZREM"}


def write_append_only(
    history: History, point: Point, directory: str, told: Callable[[Point], object] = lambda point: None
) -> int:
    """Write the directory, which must not be there or be empty; returns the number of files. HistoryError, OSError."""
    way = history.path_to(point)
    for each in way:
        history.check_file(each)
    if os.path.isdir(directory) and os.listdir(directory):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), directory)
    made = f"{directory.rstrip('/')}.new"
    shutil.rmtree(made, ignore_errors=True)
    try:
        os.makedirs(os.path.join(made, DIRECTORY))
        write_files(history, way, os.path.join(made, DIRECTORY), told)
        if os.path.isdir(directory):
            os.rmdir(directory)
        os.rename(made, directory)
        sync(os.path.dirname(os.path.abspath(directory)))
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return len(way)


def write_files(history: History, way: list[Point], directory: str, told: Callable[[Point], object]) -> None:
    base = f"{NAME}.1.base.rdb"
    lines = [f"file {base} seq 1 type b"]
    with open(os.path.join(directory, base), "wb") as out:
        copy_into(history.path(way[0]), out)
        out.flush()
        os.fsync(out.fileno())
    functions = set(operations_of(history, way[0])[1])
    told(way[0])
    for number, point in enumerate(way[1:], 1):
        name = f"{NAME}.{number}.incr.aof"
        lines.append(f"file {name} seq {number} type i")
        with open(os.path.join(directory, name), "wb", buffering=1 << 20) as out:
            functions = write_layer(history, point, functions, out)
            out.flush()
            os.fsync(out.fileno())
        told(point)
    with open(os.path.join(directory, f"{NAME}.manifest"), "w") as text:
        text.write("".join(f"{line}\n" for line in lines))
        text.flush()
        os.fsync(text.fileno())
    sync(directory)


def write_layer(history: History, point: Point, functions: set[bytes], out: BinaryIO) -> set[bytes]:
    """The commands that do what a layer does; returns its libraries. functions: those before it. HistoryError."""
    operations, libraries = operations_of(history, point)
    for command in moves(read_head(history.path(point)).origins):
        out.write(encoded(command))
    if set(libraries) != functions:
        out.write(encoded((b"FUNCTION", b"FLUSH", b"SYNC")))
        for library in libraries:
            out.write(encoded((b"FUNCTION", b"LOAD", text_of_library(library))))
    database = 0
    removing: dict[tuple[int, bytes], bytes | None] = {}
    with mapped(history.path(point)) as data, opened(history, point) as fd:
        for each in operations:
            if each.database != database:
                database = each.database
                out.write(encoded((b"SELECT", b"%d" % database)))
            if each.op == OP_REM and (place := (each.database, each.key)) not in removing:
                removing[place] = removing_from(history, each)
            for command in commands_of(history, each, data, fd, removing):
                out.write(encoded(command))
    return set(libraries)


def removing_from(history: History, each: Operation) -> bytes | None:
    """The command that removes elements of a key, by the type that the key has before a layer; None if it has none."""
    for operations in operations_back(history, each.point, each.database, each.key):
        for other in reversed(operations):
            if other.op == OP_DEL and other.point is not each.point:
                return None
            if other.op == OP_DELTA or (other.op == OP_RECORD and other.point is not each.point):
                return REMOVING.get(type_word(other.rdb_type))
    return None


def commands_of(
    history: History,
    each: Operation,
    data: mmap.mmap,
    fd: int,
    removing: Mapping[tuple[int, bytes], bytes | None],
) -> Iterator[tuple[bytes, ...]]:
    """The commands for one operation."""
    if each.op == OP_DEL:
        yield b"DEL", each.key
    elif each.op == OP_REM:
        command = removing[each.database, each.key]
        if command is not None:
            yield command, each.key, element_of(each, data[each.begin : each.end])
    elif each.op == OP_RECORD:
        value = value_of(data[each.begin : each.end])
        expire_at_ms = each.expire_at_ms or 0
        yield b"RESTORE", each.key, b"%d" % max(expire_at_ms, 0), seal(value), b"REPLACE", b"ABSTTL"
    elif type_word(each.rdb_type) == "stream":  # no command puts a node: the whole stream, as it is then
        record = value_at(history, each.point, each.database, each.key)
        if record is not None:
            payload = payload_of(record, each.key)
            yield b"RESTORE", each.key, b"%d" % max(each.expire_at_ms or 0, 0), payload, b"REPLACE", b"ABSTTL"
    else:
        try:
            yield from delta_of(each, fd)
        except RdbError as error:
            raise history.damage(each.point, str(error)) from error


def element_of(each: Operation, aux: bytes) -> bytes:
    """The element that goes."""
    name = string_at(aux, 1)
    value = string_at(aux, name[1]) if name is not None else None
    if value is None:
        raise HistoryError(f"point {each.point.id}: {each.point.file}: minikv-rem is compressed")
    return value[0][KEY_LEN_SIZE + len(each.key) :]


def delta_of(each: Operation, fd: int) -> Iterator[tuple[bytes, ...]]:
    """The elements of a delta as commands, then its expiry."""
    found: list[tuple[object, int]] = []
    target = RecordTarget(lambda database, key, value, expire_at_ms: found.append((value, expire_at_ms)))
    reader = RdbReader(fd, target, ANY_DATABASE, NEVER_MS, False)
    reader.seek(each.begin, each.database)
    while reader.offset < each.end and reader.step(each.end - reader.offset):
        pass
    value: object = found[0][0] if found else ()
    expire_at_ms = each.expire_at_ms or 0
    for group in in_groups(elements_of(value)):
        yield command_of(value), each.key, *group
    for field, at_ms in timed_fields(value):
        yield b"HPEXPIREAT", each.key, b"%d" % at_ms, b"FIELDS", b"1", field
    yield (b"PEXPIREAT", each.key, b"%d" % expire_at_ms) if expire_at_ms else (b"PERSIST", each.key)


def command_of(value: object) -> bytes:
    if isinstance(value, set):
        return b"SADD"
    assert isinstance(value, dict)
    return b"ZADD" if any(isinstance(score, float) for score in value.values()) else b"HSET"


def elements_of(value: object) -> Iterable[tuple[bytes, ...]]:
    if isinstance(value, set):
        return [(member,) for member in sorted(value)]
    if not isinstance(value, dict):
        return []
    pairs: list[tuple[bytes, ...]] = []
    for name, item in value.items():
        if isinstance(item, float):
            pairs.append((repr(item).encode(), name))
        else:
            pairs.append((name, item[0] if isinstance(item, tuple) else item))
    return pairs


def timed_fields(value: object) -> list[tuple[bytes, int]]:
    if not isinstance(value, dict):
        return []
    return [(field, item[1]) for field, item in value.items() if isinstance(item, tuple)]


def in_groups(elements: Iterable[tuple[bytes, ...]]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    for element in elements:
        group += element
        if len(group) >= ELEMENTS:
            yield group
            group = []
    if group:
        yield group


def moves(origins: Mapping[int, int | None]) -> Iterator[tuple[bytes, ...]]:
    """FLUSHDB and SWAPDB that let databases begin as what others were."""
    if not origins:
        return
    databases = sorted({*origins, *(origin for origin in origins.values() if origin is not None)})
    wanted = {number: origins.get(number, number) for number in databases}
    for number in sorted(set(databases) - set(wanted.values())):
        yield b"SELECT", b"%d" % number
        yield b"FLUSHDB", b"SYNC"
    place, holds = {n: n for n in databases}, {n: n for n in databases}
    for number, origin in wanted.items():
        if origin is not None and place[origin] != number:
            other, displaced = place[origin], holds[number]
            yield b"SWAPDB", b"%d" % number, b"%d" % other
            holds[number], holds[other] = origin, displaced
            place[origin], place[displaced] = number, other
    yield b"SELECT", b"0"


def value_of(record: bytes) -> bytes:
    """A record's type and value, without its expiry and key."""
    at = 0
    while True:
        opcode = record[at]
        if opcode == rdb_format.OP_EXPIRETIME_MS:
            at += 9
        elif opcode == rdb_format.OP_EXPIRETIME:
            at += 5
        elif opcode == rdb_format.OP_FREQ:
            at += 2
        elif opcode == rdb_format.OP_IDLE:
            found = length_at(record, at + 1)
            assert found is not None
            at = found[1]
        else:
            break
    return record[at : at + 1] + record[behind_string(record, at + 1) :]


def behind_string(data: bytes, at: int) -> int:
    """The offset behind a string of any encoding."""
    if data[at] == rdb_format.SPECIAL_STRING | rdb_format.SPECIAL_LZF:
        packed = length_at(data, at + 1)
        assert packed is not None
        length = length_at(data, packed[1])
        assert length is not None
        return length[1] + packed[0]
    found = string_at(data, at)
    assert found is not None
    return found[1]


def text_of_library(library: bytes) -> bytes:
    """A library's code; as in the file it may be compressed."""
    found = string_at(library, 0)
    if found is None:
        raise HistoryError("a library of functions is compressed")
    return found[0]


def encoded(words: tuple[bytes, ...]) -> bytes:
    """A command as the AOF has it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)

"""minikv-rdb: what its commands write for files made here."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.errors import MinikvError, RdbError
from minikv.keyspace import Keyspace
from minikv.rdb import format as rdb_format
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from minikv.tools import rdb as tool
from minikv.tools.text import in_a_line
from tests.rdb.rdb_files import EXPIRETIME_MS, SELECTDB, STRING, open_bytes, pair, plain, rdb
from tests.rdb.test_compact import FORMS, HASH, IDS, LIST, SET, listpack, string
from tests.rdb.test_reader import compressed, sample_file
from tests.tools.test_text import original

ZSET_2 = b"\x05"
STREAM_2 = b"\x13"
SEEN_MS, DELIVERED_MS = 1_700_000_000_000, 1_700_000_000_001


def raw_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def run(command: str, *files: bytes, code: int = 0, options: tuple[str, ...] = ()) -> str:
    """What a command writes for files of these bytes."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for index, data in enumerate(files):
            path = Path(directory) / f"{index}.rdb"
            path.write_bytes(data)
            paths.append(str(path))
        out = io.StringIO()
        assert tool.run(tool.parser().parse_args([*command.split(), *paths, *options]), out) == code
        return out.getvalue()


def from_json(data: bytes, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("json", data, **options).split("\n")[:-1]]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def zset(key: bytes, members: dict[bytes, float]) -> bytes:
    elements = b"".join(string(member) + struct.pack("<d", score) for member, score in members.items())
    return ZSET_2 + string(key) + rdb_format.encode_length(len(members)) + elements


def hash_(key: bytes, fields: dict[bytes, bytes]) -> bytes:
    elements = b"".join(string(part) for item in fields.items() for part in item)
    return HASH + string(key) + rdb_format.encode_length(len(fields)) + elements


def set_(key: bytes, members: list[bytes]) -> bytes:
    return SET + string(key) + rdb_format.encode_length(len(members)) + b"".join(map(string, members))


def list_(key: bytes, elements: list[bytes]) -> bytes:
    return LIST + set_(key, elements)[1:]


def stream_id(ms: int, sequence: int = 0) -> bytes:
    return rdb_format.encode_length(ms) + rdb_format.encode_length(sequence)


def stream(key: bytes, nodes: list[list[bytes]], pending: int = 0, groups: int = 1) -> bytes:
    """Entries 1-0, 1-1 ... of a node, 2-0 of the next; the first `pending` of each node's first are each group's."""
    record = STREAM_2 + string(key) + rdb_format.encode_length(len(nodes))
    for ms, values in enumerate(nodes, 1):
        entries = [part for sequence, value in enumerate(values) for part in (2, 0, sequence, value, 4)]
        record += string(raw_id(ms << 64)) + string(listpack(len(values), 0, 1, b"field", 0, *entries))
    length = rdb_format.encode_length(sum(map(len, nodes)))
    record += length + stream_id(len(nodes), 2**40) + stream_id(1 if nodes else 0) + stream_id(0) + length
    ids = [raw_id(ms << 64) for ms in range(1, pending + 1)]
    count = rdb_format.encode_length(pending)
    record += rdb_format.encode_length(groups)
    for number in range(groups):
        record += plain(b"group%d" % number if number else b"group") + stream_id(pending) + count + count
        record += b"".join(id + struct.pack("<q", DELIVERED_MS) + b"\1" for id in ids)
        record += b"\1" + plain(b"consumer") + struct.pack("<q", SEEN_MS) + count + b"".join(ids)
    return record


RECORDS: dict[str, Callable[..., bytes]] = {
    "string": lambda key, value: STRING + string(key) + string(value),
    "list": list_,
    "set": set_,
    "hash": hash_,
    "zset": zset,
}


def timed(at_ms: int, record: bytes) -> bytes:
    return EXPIRETIME_MS + struct.pack("<q", at_ms) + record


# -- json


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (pair(b"k", b""), '{"database":0,"key":"k","type":"string","value":""}'),
        (pair(b'"\n', b"\\\xff"), r'{"database":0,"key":"\"\n","type":"string","value":"\\\\\\xff"}'),
        (
            SELECTDB + b"\x07" + timed(0, pair(b"k", b"\0")),
            r'{"database":7,"key":"k","type":"string","expire_at_ms":0,"value":"\u0000"}',
        ),
        (set_(b"s", [b"b", b"a"]), '{"database":0,"key":"s","type":"set","value":["b","a"]}'),
        (list_(b"l", [b"b", b"", b"b"]), '{"database":0,"key":"l","type":"list","value":["b","","b"]}'),
        (hash_(b"h", {b"b": b"1", b"a": b""}), '{"database":0,"key":"h","type":"hash","value":{"b":"1","a":""}}'),
        (
            zset(b"z", {b"a": -math.inf, b"b": -0.5, b"c": 1e300, b"d": math.inf}),
            '{"database":0,"key":"z","type":"zset","value":{"a":"-inf","b":-0.5,"c":1e+300,"d":"inf"}}',
        ),
        (
            stream(b"x", [[b"a", b"\n"], [b"b"]], pending=1),
            '{"database":0,"key":"x","type":"stream","value":{"entries":['
            '{"id":"1-0","fields":["field","a"]},{"id":"1-1","fields":["field","\\n"]},'
            '{"id":"2-0","fields":["field","b"]}],'
            '"last_id":"2-1099511627776","first_id":"1-0","max_deleted_id":"0-0","entries_added":3,"groups":['
            '{"name":"group","last_id":"1-0","entries_read":1,"consumers":['
            '{"name":"consumer","seen_ms":1700000000000,"pending":['
            '{"id":"1-0","delivered_ms":1700000000001,"deliveries":1}]}]}]}}',
        ),
    ],
)
def test_json(record: bytes, line: str) -> None:
    assert run("json", rdb(record)) == line + "\n"


@pytest.mark.parametrize(("record", "taker", "value"), FORMS, ids=IDS)
def test_json_of_every_encoding(record: bytes, taker: object, value: object) -> None:
    (found,) = from_json(rdb(record))
    content = content_of(found)
    assert (set(content) if isinstance(value, set) else content) == value


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_large_string_is_written_in_pieces(step: int) -> None:
    """Characters of UTF-8 and escapes lie across the borders of pieces."""
    for value in ("x" * step + "☃" * 100_000, "x" * step + "\\\n" * 100_000):
        for encoded in (rdb_format.encode_string(value.encode()), compressed(value.encode())):
            (found,) = from_json(rdb(STRING + plain(b"k") + encoded))
            assert original(found["value"]).decode() == value


def test_bytes_that_are_no_text_in_pieces() -> None:
    value = random.Random(1).randbytes(300_000)
    (found,) = from_json(rdb(STRING + plain(b"k") + rdb_format.encode_string(value)))
    assert original(found["value"]) == value


values = st.one_of(
    st.tuples(st.just("string"), st.binary(max_size=80)),
    st.tuples(st.just("set"), st.lists(st.binary(max_size=20), unique=True, min_size=1, max_size=8)),
    st.tuples(st.just("list"), st.lists(st.binary(max_size=20), min_size=1, max_size=8)),
    st.tuples(st.just("hash"), st.dictionaries(st.binary(max_size=20), st.binary(max_size=20), min_size=1, max_size=8)),
    st.tuples(
        st.just("zset"),
        st.dictionaries(st.binary(max_size=20), st.floats(allow_nan=False), min_size=1, max_size=8),
    ),
)
Keys = dict[tuple[int, bytes], tuple[str, Any, int | None]]
keys = st.dictionaries(
    st.tuples(st.integers(0, 3), st.binary(max_size=20)),
    st.tuples(values, st.none() | st.integers(-(2**63), 2**63 - 1)).map(lambda drawn: (*drawn[0], drawn[1])),
    max_size=8,
)


def dump(content: Keys) -> bytes:
    """A file with these keys."""
    body = b""
    for (database, key), (kind, value, at_ms) in content.items():
        record = RECORDS[kind]
        body += SELECTDB + rdb_format.encode_length(database)
        body += record(key, value) if at_ms is None else timed(at_ms, record(key, value))
    return rdb(body)


def content_of(found: dict[str, Any]) -> Any:
    """A value as JSON has it, as bytes again."""
    value = found["value"]
    if found["type"] == "stream":
        return in_bytes(value)
    if found["type"] == "zset":
        return {original(member): float(score) for member, score in value.items()}
    if isinstance(value, dict):
        return {original(field): original(text) for field, text in value.items()}
    return [original(member) for member in value] if isinstance(value, list) else original(value)


def in_bytes(value: Any) -> Any:
    """The same with all strings but the names of members as bytes."""
    if isinstance(value, dict):
        return {name: in_bytes(member) for name, member in value.items()}
    if isinstance(value, list):
        return [in_bytes(item) for item in value]
    return original(value) if isinstance(value, str) else value


@given(keys)
def test_json_says_all(content: Keys) -> None:
    found = from_json(dump(content))
    assert {
        (each["database"], original(each["key"])): (each["type"], content_of(each), each.get("expire_at_ms"))
        for each in found
    } == content


# -- keys, and what is chosen


SOME = rdb(
    pair(b"user:1", b"x")
    + set_(b"user:\n", [b"a"])
    + SELECTDB
    + b"\x03"
    + pair(b"user:1", b"y")
    + hash_(b"other", {b"f": b"v"})
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["user:1", "user:\\x0a", "user:1", "other"]),
        (("--db", "3"), ["user:1", "other"]),
        (("--db", "3", "--db", "0"), ["user:1", "user:\\x0a", "user:1", "other"]),
        (("--db", "4"), []),
        (("--type", "string"), ["user:1", "user:1"]),
        (("--type", "set", "--type", "hash"), ["user:\\x0a", "other"]),
        (("--match", "user:?"), ["user:1", "user:\\x0a", "user:1"]),
        (("--match", "[^u]*"), ["other"]),
        (("--match", ""), []),
        (("--db", "3", "--type", "string", "--match", "u*"), ["user:1"]),
    ],
)
def test_keys(options: tuple[str, ...], expected: list[str]) -> None:
    assert run("keys", SOME, options=options).splitlines() == expected
    assert [in_a_line(original(found["key"])) for found in from_json(SOME, options=options)] == expected
    assert [row["key"] for row in table(run("memory", SOME, options=options))] == expected
    assert len(run("largest 9", SOME, options=options).splitlines()) == 1 + len(expected)
    assert len(run("diff", SOME, rdb(b""), options=options, code=bool(expected)).splitlines()) == len(expected)


# -- memory and largest


def test_memory() -> None:
    body = STRING + plain(b"n") + b"\xc0\x05" + timed(7, STRING + plain(b"a,b") + compressed(b"x" * 300))
    body += b"\xf9\x05" + hash_(b"h", {b"field": b"value", b"g": b"longest"}) + FORMS[0][0]
    body += stream(b"x", [[b"1", b"longer"], [b"2"]])
    rows = table(run("memory", rdb(body)))
    assert [[row[name] for name in row if name != "arena_bytes"] for row in rows] == [
        ["0", "string", "n", "5", "int", "1", "1", ""],
        ["0", "string", "a,b", "30", "lzf", "1", "300", "7"],
        ["0", "hash", "h", "28", "plain", "2", "7", ""],
        ["0", "hash", "k", str(len(FORMS[0][0])), "listpack", "4", "70", ""],
        ["0", "stream", "x", str(len(stream(b"x", [[b"1", b"longer"], [b"2"]]))), "listpacks_2", "3", "6", ""],
    ]


def live_bytes(data: bytes) -> int:
    """What a keyspace that has loaded a file keeps in its arena."""
    keyspace = Keyspace(16, 256 << 20, huge_pages=False)
    with open_bytes(data) as fd:
        reader = RdbReader(fd, EngineTarget(keyspace), 16, -(2**63))
        while reader.step(1 << 20):
            pass
    return keyspace.live_bytes


def arena_bytes(data: bytes) -> int:
    return sum(int(row["arena_bytes"]) for row in table(run("memory", data)))


FIRST = pair(b"first", b"")  # has the arena's first segment, whose first page is not given out
SIZES = [0, 1, 40, 63, 64, 4000, 4096, 16383, 16384, 32_700, 32_740, 32_750, 32_768, 40_000, 1 << 20, 3 << 20]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("expires", [False, True])
def test_arena_bytes_of_strings_are_those_of_the_arena(size: int, expires: bool) -> None:
    for length in range(size, size + (40 if size < 50_000 else 2)):
        data = rdb(
            timed(2**40, pair(b"key", b""))
            + (timed(2**40, b"") if expires else b"")
            + STRING
            + plain(b"k")
            + rdb_format.encode_string(random.Random(length).randbytes(length))
        )
        assert arena_bytes(data) == live_bytes(data), length


@pytest.mark.parametrize("count", [1, 2, 100, 511, 512, 513, 2000])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 60, 4000])
@pytest.mark.parametrize("kind", [list_, set_, hash_, zset])
def test_arena_bytes_of_collections_are_those_of_the_arena(kind: Callable[..., bytes], size: int, count: int) -> None:
    names = [b"%d:" % number + b"x" * size for number in range(count)]
    value = {
        list_: names,
        set_: names,
        hash_: dict.fromkeys(names, b"v" * (size // 2)),
        zset: dict.fromkeys(names, 1.0),
    }[kind]
    data = rdb(FIRST + kind(b"key", value))
    # The buckets of a hash's or set's elements are up to their hashes; the names of a sorted set are not in order.
    assert arena_bytes(data) == pytest.approx(
        live_bytes(data), rel=0 if kind is list_ else 0.02, abs=0 if kind is list_ else 64
    )


def test_arena_bytes_of_large_elements() -> None:
    names = [b"x" * size for size in (5, 32_750, 32_760, 32_761, 32_764, 32_768, 33_000, 100_000, 2 << 20)]
    data = rdb(
        FIRST
        + list_(b"l", names * 3)
        + set_(b"a", names)
        + hash_(b"b" * 40_000, dict.fromkeys(names, b""))
        + set_(b"c" * 32_755, [b"1"])
    )
    assert arena_bytes(data) == live_bytes(data)


@pytest.mark.parametrize("pending", [0, 1, 3000])
@pytest.mark.parametrize("expires", [False, True])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 3000])
@pytest.mark.parametrize("size", [0, 10, 1000, 3000, 50_000])
def test_arena_bytes_of_streams_are_those_of_the_arena(size: int, count: int, expires: bool, pending: int) -> None:
    nodes = [[b"x" * (size - number % 7)] for number in range(count if size < 3000 else count // 100)]
    record = stream(b"key", nodes, pending)
    data = rdb(FIRST + (timed(2**42, record) if expires else record))
    assert arena_bytes(data) == live_bytes(data)


@pytest.mark.parametrize("pending", [0, 1, 200])
@pytest.mark.parametrize("groups", [0, 128, 129, 500])
@pytest.mark.parametrize("count", [0, 1, 30, 3000])
def test_arena_bytes_of_streams_with_many_groups(count: int, groups: int, pending: int) -> None:
    data = rdb(FIRST + stream(b"key", [[b"x" * 10]] * count, pending, groups))
    assert arena_bytes(data) == live_bytes(data)


def test_largest() -> None:
    data = rdb(
        b"".join(pair(b"%d" % size, b"x" * size) for size in (5, 300, 100, 301, 1000, 20)) + pair(b"b", b"x" * 299)
    )
    everything = table(run("memory", data))
    for count in (1, 3, 7, 100):
        found = table(run(f"largest {count}", data))
        assert found == sorted(everything, key=lambda row: -int(row["arena_bytes"]))[:count]
    assert [row["key"] for row in found][:3] == ["1000", "300", "301"]


# -- diff


def test_diff() -> None:
    before = pair(b"same", b"1") + pair(b"gone", b"2") + pair(b"value", b"3") + timed(5, pair(b"expiry", b"4"))
    before += pair(b"kind", b"5") + set_(b"members", [b"a", b"b"]) + timed(6, pair(b"both", b"6"))
    now = pair(b"new\n", b"2") + timed(9, pair(b"both", b"7")) + pair(b"expiry", b"4") + pair(b"value", b"-3")
    now += set_(b"members", [b"b", b"a", b"c"]) + set_(b"kind", [b"5"]) + pair(b"same", b"1")
    now += SELECTDB + b"\1" + pair(b"same", b"1")
    assert run("diff", rdb(before), rdb(now), code=1).splitlines() == [
        "! 0 both: value; expiry 6, now 9",
        "! 0 expiry: expiry 5, now none",
        "- 0 gone: string",
        "! 0 kind: string, now a set",
        "! 0 members: value",
        "+ 0 new\\x0a: string",
        "! 0 value: value",
        "+ 1 same: string",
    ]


def test_diff_of_streams() -> None:
    """The order of the nodes in a file makes no difference."""
    nodes = [[b"%d" % number] for number in range(40)]
    data = stream(b"x", nodes)
    first = string(raw_id(1 << 64))
    at = data.index(first)
    end = data.index(string(raw_id(2 << 64)))
    behind = data.index(string(raw_id(3 << 64)))
    swapped = data[:at] + data[end:behind] + data[at:end] + data[behind:]
    assert run("diff", rdb(data), rdb(swapped)) == ""
    for other in (stream(b"x", nodes[:-1]), stream(b"x", [*nodes[:-1], [b"z"]]), stream(b"x", nodes, pending=1)):
        assert run("diff", rdb(data), rdb(other), code=1) == "! 0 x: value\n"


def test_order_and_encoding_make_no_difference() -> None:
    numbers = [b"%d" % number for number in range(-5, 5)]
    fields = dict.fromkeys(numbers, b"v" * 100)
    plain_form = set_(b"s", numbers) + hash_(b"h", fields) + zset(b"z", {b"a": 0.0, b"b": 2.0}) + pair(b"x", b"y" * 99)
    parts = [part for item in fields.items() for part in item]
    compact = STRING + plain(b"x") + compressed(b"y" * 99)
    compact += b"\x14" + plain(b"s") + string(listpack(*map(int, reversed(numbers))))
    compact += (
        b"\x10"
        + plain(b"h")
        + string(listpack(*parts))
        + b"\x11"
        + plain(b"z")
        + string(listpack(b"b", 2, b"a", b"-0"))
    )
    assert run("diff", rdb(plain_form), rdb(compact)) == ""


@given(keys, keys)
def test_diff_tells_what_differs(before: Keys, now: Keys) -> None:
    def comparable(kind: str, value: Any) -> object:
        return sorted(value) if kind == "set" else value

    for a in (before, now):
        assert run("diff", dump(a), dump(dict(reversed(a.items())))) == ""
    lines = run("diff", dump(before), dump(now), code=int(before != now)) if before != now else ""
    expected = []
    for database, key in sorted(before.keys() | now.keys()):
        old, new = before.get((database, key)), now.get((database, key))
        mark = "+" if old is None else "-" if new is None else "!"
        same = old and new and (old[0], comparable(*old[:2]), old[2]) == (new[0], comparable(*new[:2]), new[2])
        if not same:
            expected.append(f"{mark} {database} {in_a_line(key)}: ")
    found = lines.splitlines()
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_diff_refuses_a_file_that_holds_a_key_twice() -> None:
    for twice in (pair(b"k", b"1") * 2, pair(b"k", b"1") + SELECTDB + b"\0" + pair(b"k", b"2")):
        for files in ((rdb(twice), rdb(b"")), (rdb(pair(b"k", b"1")), rdb(twice)), (rdb(twice), rdb(twice))):
            with pytest.raises(MinikvError, match="holds key 'k' in DB 0 more than once"):
                run("diff", *files)


# -- bad files and the command itself


@pytest.mark.parametrize("command", ["json", "keys", "memory", "largest 3"])
def test_a_bad_file(command: str) -> None:
    data = sample_file()
    for length in (0, 5, 100, len(data) - 1):
        with pytest.raises(RdbError):
            run(command, data[:length])
    with pytest.raises(RdbError):
        run("diff", data, data[:-1])


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "minikv.tools.rdb", *arguments], capture_output=True, timeout=60, **options
    )


def test_the_command(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.rdb", tmp_path / "bad.rdb"
    good.write_bytes(rdb(pair("ä".encode(), "☃".encode())))
    bad.write_bytes(rdb(pair(b"k", b"v"), checksum=b"x" * 8))
    done = command("json", str(good), env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == '{"database":0,"key":"ä","type":"string","value":"☃"}\n'.encode()
    assert command("keys", str(good), "--match", "ä").stdout == "ä\n".encode()
    done = command("keys", str(bad))
    assert (done.returncode, done.stdout) == (2, b"k\n")
    assert done.stderr.startswith(b"minikv-rdb: " + bytes(bad) + b": Wrong RDB checksum expected: ")
    assert command("diff", str(good), str(good)).returncode == 0
    assert command("diff", str(good), str(bad)).returncode == 2
    for path, reason in ((tmp_path / "none", b"No such file or directory"), (tmp_path, b"Is a directory")):
        done = command("keys", str(path))
        assert (done.returncode, done.stderr) == (2, b"minikv-rdb: " + bytes(path) + b": " + reason + b"\n")
    assert command("keys", "/dev/null").stderr == b"minikv-rdb: /dev/null: Not a regular file\n"
    assert command("keys", "--db", "-1", str(good)).returncode == 2
    assert command("largest", "0", str(good)).returncode == 2
    assert command().returncode == 2
    assert command("--version").stdout.startswith(b"minikv-rdb ")


@pytest.mark.parametrize("name", ["", "json", "keys", "memory", "largest", "diff"])
def test_help(name: str) -> None:
    done = command(*name.split(), "--help")
    assert done.returncode == 0
    assert b"FILE" in done.stdout.upper()


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    path = tmp_path / "x.rdb"
    path.write_bytes(rdb(b"".join(pair(b"%d" % number, b"") for number in range(100_000))))
    with subprocess.Popen(
        [sys.executable, "-m", "minikv.tools.rdb", "keys", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0

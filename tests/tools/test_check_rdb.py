"""minikv-check-rdb: what it says of good files, and that it sees what the server's loader refuses."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.errors import RdbError
from minikv.keyspace import Keyspace
from minikv.rdb import format as rdb_format
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from minikv.tools import check_rdb
from tests.rdb.rdb_files import AUX, EXPIRETIME_MS, SELECTDB, open_bytes, pair, plain, rdb
from tests.rdb.test_compact import FORMS, HASH, LISTPACK, SET, listpack, string
from tests.rdb.test_reader import sample_file
from tests.tools.test_rdb import stream

NOW_MS = 50_000
NEVER_MS = -(2**63)
ERROR = "--- RDB ERROR DETECTED ---"


def check(data: bytes, now_ms: int = NOW_MS) -> tuple[int, list[str]]:
    """The exit code and the lines after the first for a file of these bytes."""
    lines: list[str] = []
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        code = check_rdb.check(file.name, lines.append, now_ms=now_ms)
        assert lines.pop(0) == f"[offset 0] Checking RDB file {file.name}"
    return code, lines


def loading_error(data: bytes) -> RdbError | None:
    """What the server's loader says of these bytes."""
    keyspace = Keyspace(16, 64 << 20, huge_pages=False)
    with open_bytes(data) as fd:
        reader = RdbReader(fd, EngineTarget(keyspace), 16, NEVER_MS)
        try:
            while reader.step(1 << 20):
                pass
        except RdbError as error:
            return error
    return None


def assert_same_verdict(data: bytes) -> None:
    """The tool refuses what the loader refuses, for the same reason.

    It takes any number of databases and fields that expire, which are no defects of a file, and says so.
    """
    code, lines = check(data)
    error = loading_error(data)
    if error is None:
        assert code == 0
        assert ERROR not in lines
    elif "databases" not in error.reason and "whose fields expire" not in error.reason:
        assert code == 1
        assert lines[lines.index(ERROR) + 1] == f"[offset {error.offset}] {error.reason}"


def test_a_good_file() -> None:
    body = AUX + plain(b"redis-ver") + plain(b"7.0\n") + SELECTDB + b"\0" + pair(b"a", b"1")
    body += EXPIRETIME_MS + struct.pack("<q", NOW_MS - 1) + pair(b"b", b"2") + SET + plain(b"empty") + b"\0"
    body += (
        SELECTDB + b"\x11" + EXPIRETIME_MS + struct.pack("<q", NOW_MS) + HASH + plain(b"h") + b"\1" + plain(b"f") * 2
    )
    assert check(rdb(body)) == (
        0,
        [
            "[offset 25] AUX FIELD redis-ver = '7.0\\x0a'",
            "[offset 27] Selecting DB ID 0",
            "[offset 56] Selecting DB ID 17",
            "[offset 82] Checksum OK",
            "[offset 82] \\o/ RDB looks OK! \\o/",
            "[info] 3 keys read",
            "[info] 2 expires",
            "[info] 1 already expired",
            "[info] 1 of type hash",
            "[info] 2 of type string",
            "[info] 1 without elements, which are not loaded",
            "[info] needs a server with 'databases 18' or more",
        ],
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (rdb(pair(b"k", b"v"), 4), None),
        (rdb(pair(b"k", b"v"), 5), "[offset 23] Checksum OK"),
        (
            rdb(pair(b"k", b"v"), checksum=bytes(8)),
            "[offset 23] RDB file was saved with checksum disabled: no check performed.",
        ),
    ],
    ids=["old", "checked", "unchecked"],
)
def test_what_it_says_of_the_checksum(data: bytes, line: str | None) -> None:
    code, lines = check(data)
    assert code == 0
    assert [said for said in lines if "hecksum" in said] == [line] * (line is not None)


TIMED = EXPIRETIME_MS + struct.pack("<q", 5) + pair(b"a", b"1")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"REDIS00", ["[offset 0] Short read", "While doing: start"]),
        (b"REDIT0010\xff", ["[offset 0] Wrong signature", "While doing: start"]),
        (rdb(AUX + plain(b"name"))[:14], ["[offset 11] Short read", "While doing: read-aux"]),
        (rdb(EXPIRETIME_MS)[:12], ["[offset 10] Short read", "While doing: read-expire"]),
        (rdb(SELECTDB)[:10], ["[offset 10] Short read", "While doing: read-len"]),
        (rdb(TIMED)[:23], ["[offset 23] Short read", "While doing: read-type"]),
        (
            rdb(pair(b"key", b"v"))[:11],
            ["[offset 11] Short read", "While doing: read-key", "Reading type 0 (string)"],
        ),
        (
            rdb(pair(b"k\n", b"value"))[:16],
            ["[offset 14] Short read", "While doing: read-object-value", "Reading key 'k\\x0a'", "type 0 (string)"],
        ),
        (
            rdb(b"\x77" + plain(b"k")),
            ["[offset 9] Unknown RDB type 119", "While doing: read-type", "Reading type 119 (unknown)"],
        ),
        (
            rdb(LISTPACK + plain(b"k") + string(listpack(b"a"))),
            [
                "[offset 22] Hash listpack integrity check failed: key 'k' in DB 0 has a field without value",
                "While doing: read-object-value",
                "Reading key 'k'",
                "Reading type 16 (hash listpack)",
            ],
        ),
        (rdb(TIMED, checksum=b"x" * 8), ["Wrong RDB checksum expected", "While doing: check-sum"]),
        (rdb(TIMED, 4) + b"abc", ["3 bytes follow the end of the data", "While doing: check-sum"]),
    ],
)
def test_a_bad_file(data: bytes, expected: list[str]) -> None:
    code, lines = check(data)
    assert code == 1
    report = lines[
        lines.index(ERROR) + 1 : lines.index("[info] 0 keys read" if TIMED not in data else "[info] 1 keys read")
    ]
    assert len(report) == len(expected)
    for line, part in zip(report, expected, strict=True):
        assert part in line


def test_counts_are_those_before_the_error() -> None:
    _, lines = check(rdb(pair(b"k", b"v") + TIMED + pair(b"x", b"y"))[:-12])
    assert lines[-4:] == [
        "[info] 2 keys read",
        "[info] 1 expires",
        "[info] 1 already expired",
        "[info] 2 of type string",
    ]


def test_a_file_cut_at_every_byte() -> None:
    data = sample_file()
    end = len(data) - 70_000
    for length in [*range(end), *range(len(data) - 20, len(data))]:
        assert_same_verdict(data[:length])
        assert check(data[:length])[0] == 1


@pytest.mark.parametrize("form", FORMS, ids=[str(form[0][0]) for form in FORMS])
def test_a_collection_with_any_byte_changed(form: tuple[bytes, object, object]) -> None:
    """Without a checksum, so that damage reaches all of the parser."""
    data = rdb(form[0], checksum=bytes(8))
    for place in range(9, len(data) - 9):
        for mask in (0x01, 0x10, 0x80):
            assert_same_verdict(data[:place] + bytes((data[place] ^ mask,)) + data[place + 1 :])


def test_a_stream_with_any_byte_changed() -> None:
    data = rdb(stream(b"k", [[b"value", b"5"], [b"another"]], pending=1), checksum=bytes(8))
    assert "[info] 1 of type stream" in check(data)[1]
    for place in range(9, len(data) - 9):
        for mask in (0x01, 0x10, 0x80):
            assert_same_verdict(data[:place] + bytes((data[place] ^ mask,)) + data[place + 1 :])


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=2, max_size=4), st.data())
def test_keys_that_come_twice(keys: list[bytes], data: st.DataObject) -> None:
    body = b""
    for key in keys:
        body += SELECTDB + bytes((data.draw(st.integers(0, 1)),)) + pair(key, b"v")
    assert_same_verdict(rdb(body))


@pytest.mark.parametrize("many", [1000, pytest.param(500_000, marks=pytest.mark.slow)])
def test_keys_and_elements_that_come_twice_among_many(many: int) -> None:
    """Few stay in memory, many go to a file."""
    keys = [b"%d" % number for number in range(many)]
    code, lines = check(rdb(b"".join(pair(key, b"") for key in [*keys, b"55", b"7"])))
    assert code == 1
    assert "RDB has duplicated key '55' in DB 0" in lines[1]
    assert f"[info] {many} keys read" in lines
    for again in ([], [b"7", b"7"], [b"999"]):
        count = rdb_format.encode_length(many + len(again))
        body = SET + plain(b"key") + count + b"".join(map(plain, keys + again))
        code, lines = check(rdb(body))
        assert code == (1 if again else 0)
        if again:
            assert f"Duplicate element {again[0]!r} in key 'key' of DB 0" in lines[1]
            assert str(loading_error(rdb(body))).startswith(f"Duplicate element {again[0]!r} in key 'key' of DB 0")


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(body: bytes, framed: bool) -> None:
    assert_same_verdict(rdb(body, checksum=bytes(8)) if framed else b"REDIS0010" + body)


# -- the command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "minikv.tools.check_rdb", *arguments], capture_output=True, text=True, timeout=60
    )


def test_the_command(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.rdb", tmp_path / "bad.rdb"
    good.write_bytes(sample_file())
    bad.write_bytes(sample_file()[:100])
    done = run(str(good))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\o/ RDB looks OK! \\o/" in done.stdout
    done = run(str(bad))
    assert (done.returncode, done.stderr) == (1, "")
    assert ERROR in done.stdout


@pytest.mark.parametrize(
    ("path", "reason"),
    [("none.rdb", "No such file or directory"), (".", "Is a directory"), ("/dev/null", "Not a regular file")],
)
def test_a_file_that_cannot_be_read(path: str, reason: str) -> None:
    done = run(path)
    assert done.returncode == 1
    assert done.stderr == f"minikv-check-rdb: {path}: {reason}\n"


@pytest.mark.parametrize("good", [True, False])
def test_a_reader_that_has_seen_enough_still_gets_the_exit_code(tmp_path: Path, good: bool) -> None:
    path = tmp_path / "x.rdb"
    path.write_bytes(sample_file() if good else sample_file()[:-1])
    with subprocess.Popen(
        [sys.executable, "-m", "minikv.tools.check_rdb", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == (0 if good else 1)


def test_help_and_version() -> None:
    assert "offset" in run("--help").stdout
    assert run("--version").stdout.startswith("minikv-check-rdb ")

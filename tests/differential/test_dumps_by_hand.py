"""Dumps put together by hand: what redis-server loads without complaint, minikv loads with equal content."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server
from tests.harness.process import ServerFailed
from tests.rdb.rdb_files import AUX, EXPIRETIME, EXPIRETIME_MS, RESIZEDB, SELECTDB, plain, rdb
from tests.rdb.test_compact import intset, listpack, ziplist, zipmap
from tests.tools.test_real_dumps import Content, held

IDLE, FREQ = b"\xf8", b"\xf9"
STRING, LIST, SET, OLD_ZSET, HASH, ZSET = (bytes((kind,)) for kind in range(6))
ZIPMAP, LIST_ZIPLIST, INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, QUICKLIST = (bytes((kind,)) for kind in range(9, 15))
HASH_LISTPACK, ZSET_LISTPACK, QUICKLIST_2 = b"\x10", b"\x11", b"\x12"
NOTHING_PACKED = b"\xc3\x00\x00"  # by LZF
HELLO_PACKED = b"\xc3\x06\x05\x04hello"

SCORES = [b"0x10", b"0x1p3", b"1e5", b".5", b"5.", b" 1", b"\t2", b"1 ", b"+1", b"1abc", b"1,5", b"1e", b"-0", b"inf"]
SCORES += [b"+Infinity", b"1e400", b"1e-400", b"00012", b"9223372036854775808", b"7" * 200, b"1.0000000000000002"]
NO_SCORES = [b"", b"abc", b"--1"]  # that compact sorted sets take for 0


def at_ms(expire_at_ms: int) -> bytes:
    return EXPIRETIME_MS + struct.pack("<q", expire_at_ms)


def at_s(expire_at_s: int) -> bytes:
    return EXPIRETIME + struct.pack("<i", expire_at_s)


def string(key: bytes, value: bytes = b"\x01v") -> bytes:
    return STRING + plain(key) + value


def scores() -> bytes:
    body = b""
    for place, text in enumerate(SCORES):
        body += OLD_ZSET + plain(b"old:%d" % place) + b"\x01" + plain(b"m") + bytes((len(text),)) + text
    for place, text in enumerate(SCORES + NO_SCORES):
        body += ZSET_ZIPLIST + plain(b"ziplist:%d" % place) + plain(ziplist(b"m", text))
        body += ZSET_LISTPACK + plain(b"listpack:%d" % place) + plain(listpack(b"m", text))
    return body


FILES = {
    "scores": scores(),
    "packed strings": (
        string(b"nothing", NOTHING_PACKED)
        + STRING
        + NOTHING_PACKED
        + b"\x01v"
        + STRING
        + b"\xc3\x03\x02\x01ab"
        + HELLO_PACKED
        + LIST
        + plain(b"list")
        + b"\x02"
        + NOTHING_PACKED
        + HELLO_PACKED
        + HASH
        + plain(b"hash")
        + b"\x02"
        + NOTHING_PACKED
        + b"\xc0\x05"
        + HELLO_PACKED
        + NOTHING_PACKED
        + SET
        + plain(b"set")
        + b"\x02"
        + NOTHING_PACKED
        + b"\xc1\x00\x01"
        + ZSET
        + plain(b"zset")
        + b"\x01"
        + NOTHING_PACKED
        + struct.pack("<d", -0.0)
        + QUICKLIST_2
        + plain(b"plain node")
        + b"\x02\x01"
        + HELLO_PACKED
        + b"\x02"
        + plain(listpack(b"", 7))
    ),
    "keys": (
        string(b"")
        + STRING
        + b"\xc0\x85"
        + b"\x01v"
        + STRING
        + b"\xc1\x85\x00"
        + b"\x01v"
        + STRING
        + b"\xc2\x86\0\0\0\x01v"
        + STRING
        + b"\x81"
        + bytes(7)
        + b"\x03key"
        + b"\x80\x00\x00\x00\x01v"
        + STRING
        + b"\x40\x02k2"
        + b"\x81"
        + bytes(8)
    ),
    "empty collections": (
        b"".join(
            kind + plain(b"empty:%d" % kind[0]) + b"\0"
            for kind in (LIST, SET, OLD_ZSET, HASH, ZSET, QUICKLIST, QUICKLIST_2)
        )
        + LIST_ZIPLIST
        + plain(b"a")
        + plain(ziplist())
        + HASH_ZIPLIST
        + plain(b"b")
        + plain(ziplist())
        + ZSET_ZIPLIST
        + plain(b"c")
        + plain(ziplist())
        + HASH_LISTPACK
        + plain(b"d")
        + plain(listpack())
        + ZSET_LISTPACK
        + plain(b"e")
        + plain(listpack())
        + QUICKLIST
        + plain(b"g")
        + b"\x02"
        + plain(ziplist())
        + plain(ziplist(b"x"))
        + at_ms(2**62)
        + IDLE
        + b"\x05"
        + LIST
        + plain(b"with expiry")
        + b"\0"
        + string(b"behind it")
    ),
    "expiry": (
        at_ms(-1)
        + string(b"-1 is none")
        + at_s(-1)
        + string(b"-1 s is long ago")
        + at_ms(-2)
        + string(b"-2")
        + at_ms(0)
        + string(b"0")
        + at_ms(2**63 - 1)
        + string(b"last")
        + at_ms(2**62)
        + string(b"far")
        + at_s(2**31 - 1)
        + string(b"last in seconds")
        + at_ms(1)
        + at_ms(2**50)
        + string(b"two")
        + at_ms(2**50)
        + at_ms(-1)
        + string(b"taken back")
        + at_ms(2**50)
        + SELECTDB
        + b"\x03"
        + string(b"in another database")
        + string(b"not this one")
    ),
    "an expired key and its twin": at_ms(5)
    + string(b"k", b"\x03old")
    + string(b"k", b"\x03new")
    + LIST
    + plain(b"l")
    + b"\0"
    + string(b"l"),
    "usage": (
        IDLE
        + b"\x05"
        + at_ms(2**50)
        + string(b"a")
        + at_ms(2**50)
        + FREQ
        + b"\xff"
        + string(b"b")
        + IDLE
        + b"\x81"
        + b"\x7f" * 8
        + FREQ
        + b"\0"
        + AUX
        + plain(b"x")
        + plain(b"y")
        + string(b"c")
    ),
    "aux": b"".join(
        AUX + name + value
        for name in (
            b"\0",
            plain(b"ctime"),
            plain(b"used-mem"),
            plain(b"redis-ver"),
            plain(b"repl-stream-db"),
            plain(b"repl-id"),
            plain(b"repl-offset"),
            plain(b"%x"),
            plain(b"\xff\0"),
            plain(b"n" * 300),
            b"\xc0\x07",
            NOTHING_PACKED,
        )
        for value in (b"\0", plain(b"not a number"), b"\xc2\xff\xff\xff\xff", plain(b"9" * 40), NOTHING_PACKED)
    )
    + string(b"k"),
    "databases": (
        SELECTDB
        + b"\x0f"
        + RESIZEDB
        + b"\0\0"
        + string(b"k")
        + RESIZEDB
        + b"\x80\x00\x01\x00\x00\x05"
        + SELECTDB
        + b"\0"
        + string(b"k")
        + SELECTDB
        + b"\x81"
        + bytes(7)
        + b"\x0f"
        + string(b"l")
        + SELECTDB
        + b"\x01"
    ),
    "integers": (
        ZIPMAP
        + plain(b"map")
        + plain(zipmap(b"1", b"", b"", b"2", free=3))
        + INTSET
        + plain(b"16")
        + plain(intset(-(2**15), 5))
        + INTSET
        + plain(b"64")
        + plain(intset(-5, 3, width=8))
        + SET
        + plain(b"mixed")
        + b"\x03\xc0\x05"
        + plain(b"05")
        + plain(b"9223372036854775808")
        + LIST
        + plain(b"list")
        + b"\x03\xc0\xff\xc1\x00\x80\xc2\x00\x00\x00\x80"
    ),
}

REFUSED = {
    "duplicate key": string(b"k") + string(b"k"),
    "duplicate member": SET + plain(b"k") + b"\x02" + plain(b"m") + plain(b"m"),
    "duplicate integer": SET + plain(b"k") + b"\x02\xc0\x05" + plain(b"5"),
    "empty plain node": QUICKLIST_2 + plain(b"k") + b"\x01\x01\x00",
    "empty blob": HASH_LISTPACK + plain(b"k") + NOTHING_PACKED,
    "duplicate score": ZSET + plain(b"k") + b"\x02" + 2 * (plain(b"m") + struct.pack("<d", 1.5)),
    "no database": SELECTDB + b"\x10" + string(b"k"),
    "a score that is no number": ZSET + plain(b"k") + b"\x01" + plain(b"m") + struct.pack("<d", float("nan")),
    **{f"old score {text!r}": OLD_ZSET + plain(b"k") + b"\x01\x01m" + bytes((len(text),)) + text for text in NO_SCORES},
    "old score nan": OLD_ZSET + plain(b"k") + b"\x01\x01m\x03nan",
    "nothing for something": string(b"k", b"\xc3\x00\x01"),
}


def loaded(start: Callable[..., Server], directory: Path) -> Content | None:
    """What the server holds, or None if it refuses the dump."""
    with contextlib.suppress(ServerFailed):
        return held(start(directory=directory))
    return None


@pytest.mark.parametrize("version", [10, 4])
@pytest.mark.parametrize("body", FILES.values(), ids=FILES)
def test_accepted(
    start_minikv: Callable[..., Server], start_redis: Callable[..., Server], tmp_path: Path, body: bytes, version: int
) -> None:
    (tmp_path / "dump.rdb").write_bytes(rdb(body, version))
    expected = loaded(start_redis, tmp_path)
    assert expected is not None
    assert loaded(start_minikv, tmp_path) == expected


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_refused(
    start_minikv: Callable[..., Server], start_redis: Callable[..., Server], tmp_path: Path, body: bytes
) -> None:
    (tmp_path / "dump.rdb").write_bytes(rdb(string(b"first") + body))
    assert loaded(start_redis, tmp_path) is None
    assert loaded(start_minikv, tmp_path) is None

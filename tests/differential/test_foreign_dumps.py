"""Dumps put together by hand: what a real redis-server loads without a word, minikv loads with equal content."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from minikv.rdb.format import encode_length, encode_string
from tests.harness import Server, parse
from tests.rdb.rdb_files import EXPIRETIME, EXPIRETIME_MS, SELECTDB, pair, plain, rdb
from tests.rdb.test_foreign import FUNCTION2
from tests.rdb.test_newer import OLD_FUNCTION
from tests.rdb.test_payload import VALUES, stream

StartServer = Callable[..., Server]

LATER_S = struct.pack("<i", 2**31 - 1)
CODE = b"redis.register_function('g', function(keys, args) return 1 end)"


def stale_stream(form: int, length: int) -> bytes:
    """A stream of three entries that claims another number of them."""
    value = stream(form)
    entries = value.index(b"\x03\x06\x00", 40)
    return value[:entries] + encode_length(length) + value[entries + 1 :]


def named(value: bytes, key: bytes = b"k") -> bytes:
    return value[:1] + plain(key) + value[1:]


DUMPS = {
    **{
        name: rdb(b"".join(named(value, b"k%d" % number) for number in range(3)))
        for name, value in VALUES.items()
        if value[0] not in (20, 21, 22, 23, 24, 25)  # types of later releases
    },
    **{f"stale length {form} {n}": rdb(named(stale_stream(form, n))) for form in (15, 19) for n in (0, 1, 130, 2**40)},
    **{
        f"scores {text!r}": rdb(b"\x03" + plain(b"z") + b"\x01" + plain(b"m") + plain(text))
        for text in (b"1", b"-0", b"1e5", b"+7.25", b"0.1", b"1.7976931348623157e308", b"5e-324", b"17179869184.5")
    },
    "bytes behind the end": rdb(pair(b"a", b"1")) + b"x" * 40,
    "no checksum": rdb(pair(b"a", b"1"), checksum=bytes(8)),
    "version 1": rdb(pair(b"a", b"1") + b"\x03" + plain(b"z") + b"\x01" + plain(b"m") + b"\x011", 1),
    "version 4": rdb(EXPIRETIME + LATER_S + pair(b"a", b"1"), 4),
    "databases twice": rdb(
        SELECTDB + b"\x03" + pair(b"a", b"1") + SELECTDB + b"\x00" + SELECTDB + b"\x03" + pair(b"b", b"")
    ),
    "long lengths": rdb(
        b"\x00\x80\x00\x00\x00\x01a\x81" + bytes(7) + b"\x01b" + SELECTDB + b"\x40\x05" + pair(b"c", b"d")
    ),
    "numbers as keys": rdb(b"\x00\xc0\xff\xc1\x00\x80" + b"\x02\xc2\x00\x00\x00\x80\x02\xc0\x05\xc1\x06\x01"),
    "empty collections": rdb(
        b"".join(kind + plain(b"e%d" % number) + b"\x00" for number, kind in enumerate((b"\1", b"\2", b"\4", b"\5")))
        + pair(b"a", b"1")
    ),
    "expired": rdb(
        EXPIRETIME_MS + struct.pack("<q", 5) + pair(b"a", b"1") + EXPIRETIME + b"\x05\0\0\0" + pair(b"b", b"")
    ),
    "usage": rdb(b"\xf8\x40\xff\xf9\x07" + pair(b"a", b"1")),
    "resize hints": rdb(b"\xfb\x00\x00" + pair(b"a", b"1") + b"\xfb\x7f\xff\x05" + pair(b"b", b"1")),
    "functions": rdb(FUNCTION2 + encode_string(b"#!lua name=now\n" + CODE) + pair(b"a", b"1")),
    "functions of a release candidate": rdb(
        OLD_FUNCTION + plain(b"old") + plain(b"LUA") + b"\x01" + plain(b"what") + encode_string(CODE) + pair(b"a", b"1")
    ),
    "auxiliary fields": rdb(b"\xfa" + plain(b"") + plain(b"") + b"\xfa\xc0\x05\xc0\x06" + pair(b"a", b"1")),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


def content(server: Server) -> tuple[bytes, list[bytes]]:
    """The digest, and how many keys the databases have."""
    sizes = []
    with server.connect() as client:
        for number in range(16):
            client.call(f"SELECT {number}")
            sizes.append(client.call("DBSIZE"))
        return client.call("DEBUG DIGEST"), sizes


@pytest.mark.parametrize("name", DUMPS)
def test_equal_content(minikv: Server, start_redis: StartServer, tmp_path: Path, name: str) -> None:
    (tmp_path / "dump.rdb").write_bytes(DUMPS[name])
    theirs = start_redis(directory=tmp_path)
    minikv.dump_path.write_bytes(DUMPS[name])
    assert minikv.call("DEBUG RELOAD NOSAVE") == b"+OK\r\n"
    assert content(minikv) == content(theirs)


def test_functions_of_a_release_candidate_go_on_to_redis(
    start_minikv: StartServer, start_redis: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "dump.rdb").write_bytes(DUMPS["functions of a release candidate"])
    direct = start_redis(directory=tmp_path)
    wanted = parse(direct.call("FUNCTION LIST WITHCODE"))
    direct.kill()
    through = start_minikv(directory=tmp_path)
    assert through.call("SAVE") == b"+OK\r\n"
    through.kill()
    assert parse(start_redis(directory=tmp_path).call("FUNCTION LIST WITHCODE")) == wanted

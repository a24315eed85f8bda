"""Starting with a dump that is broken, foreign or large."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import MINIKV, Server, wait_until
from tests.harness.dataset import contents
from tests.rdb.rdb_files import EXPIRETIME_MS, pair, plain, rdb

pytestmark = pytest.mark.server

StartServer = Callable[..., Server]

GOOD = rdb(pair(b"a", b"1") + pair(b"b", b"2"))

BROKEN = [
    (b"", "Wrong signature trying to load DB from file: it is empty", 0),
    (b"PK\3\4 something else", "Wrong signature trying to load DB from file", 0),
    (rdb(b"", b"0080"), "Can't handle RDB format version 0080", 0),
    (GOOD[:20], "Short read or OOM loading DB. Unrecoverable error, aborting now.", 20),
    (GOOD[:-1], "Short read or OOM loading DB. Unrecoverable error, aborting now.", len(GOOD) - 8),
    (GOOD[:-1] + b"x", "Wrong RDB checksum expected: (", len(GOOD)),
    (rdb(b"\x06" + plain(b"a module")), "The type module (pre-GA) (6) of key 'a module' in DB 0 is not supported", 9),
    (
        rdb(b"\xfe\x10" + pair(b"a", b"1")),
        "FATAL: Data file was created with a Redis server configured to handle more",
        11,
    ),
]


def refused(directory: Path, data: bytes) -> Server:
    """A server that was launched on this dump and has ended."""
    (directory / "dump.rdb").write_bytes(data)
    server = Server(MINIKV, directory=directory)
    server.launch()
    assert server.wait() == 1
    return server


def listens(server: Server) -> bool:
    """Whether connections are accepted: bind(2) makes the path, listen(2) comes later."""
    try:
        server.connect().close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("data", "reason", "offset"), BROKEN)
def test_a_broken_dump_stops_the_start_and_stays(tmp_path: Path, data: bytes, reason: str, offset: int) -> None:
    server = refused(tmp_path, data)
    try:
        assert f"# Fatal error loading the DB from {tmp_path}/dump.rdb: {reason}" in server.log()
        assert f"(at offset {offset})\n" in server.log()
        assert "Traceback" not in server.log()
        assert server.dump_path.read_bytes() == data
    finally:
        server.dispose()


def test_clients_are_told_while_the_dump_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(rdb(b"".join(pair(b"%d" % i, b"v") for i in range(1000))))
    server = Server(MINIKV, {"key-load-delay": 2000}, directory=tmp_path)
    try:
        server.launch()
        wait_until(lambda: listens(server), "the server listens")
        with server.connect() as client:
            assert client.call("GET 1") == b"-LOADING Redis is loading the dataset in memory\r\n"
            assert client.call("PING") == b"-LOADING Redis is loading the dataset in memory\r\n"
            fields = server.info("persistence")
            assert fields["loading"] == "1"
            assert fields["loading_total_bytes"] == str(server.dump_path.stat().st_size)
            assert 0 < int(fields["loading_loaded_bytes"]) < server.dump_path.stat().st_size
            wait_until(lambda: client.call("GET 1") == b"$1\r\nv\r\n", "the dump is loaded")
            assert server.info("persistence")["loading"] == "0"
            assert server.info("persistence")["rdb_last_load_keys_loaded"] == "1000"
    finally:
        server.dispose()


def test_a_shutdown_while_the_dump_is_loaded_saves_nothing(tmp_path: Path) -> None:
    """Half of a data set must not replace the whole."""
    data = rdb(b"".join(pair(b"%d" % i, b"v") for i in range(1000)))
    (tmp_path / "dump.rdb").write_bytes(data)
    server = Server(MINIKV, {"key-load-delay": 100_000, "save": "3600 1"}, directory=tmp_path)
    try:
        server.launch()
        wait_until(lambda: listens(server), "the server listens")
        assert server.call("PING").startswith(b"-LOADING")
        assert server.stop() == 0
        assert server.dump_path.read_bytes() == data
    finally:
        server.dispose()


def test_keys_that_expired_meanwhile_are_dropped(start_minikv: StartServer, tmp_path: Path) -> None:
    later = int(time.time() * 1000) + 1_000_000
    body = EXPIRETIME_MS + struct.pack("<q", 5) + pair(b"gone", b"1")
    body += EXPIRETIME_MS + struct.pack("<q", later) + pair(b"here", b"2")
    (tmp_path / "dump.rdb").write_bytes(rdb(body))
    server = start_minikv(directory=tmp_path)
    assert contents(server) == {0: {b"here": (b"2", later)}}
    assert "* Done loading RDB, keys loaded: 1, keys expired: 1.\n" in server.log()
    assert server.info("persistence")["rdb_last_load_keys_expired"] == "1"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_everything_saved_is_back_after_a_restart(start_minikv: StartServer, tmp_path: Path, end: str) -> None:
    server = start_minikv(directory=tmp_path, save="3600 1")
    server.call(("SET", b"\0\xff", bytes(range(256)) * 1000))
    server.call("SET timed 1 PXAT 4102444800000")
    server.call("SELECT 9")
    server.call("SET nine 9")
    expected = contents(server)
    assert server.call("BGSAVE" if end == "stop" else "SAVE").startswith(b"+")
    server.stop() if end == "stop" else server.kill()
    server.start()
    assert contents(server) == expected
    assert server.info("persistence")["rdb_changes_since_last_save"] == "0"

"""Loading into a keyspace: what Redis wrote, what the log says, what INFO shows meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from minikv.config import Config
from minikv.errors import ArenaFull, DataLost, RdbError
from minikv.keyspace.database import Keyspace
from minikv.log import Log
from minikv.snapshot.loader import Loader
from minikv.snapshot.points import Points
from tests.fixtures import make_strings
from tests.rdb.rdb_files import AUX, EXPIRETIME_MS, STRING, crc, pair, plain, rdb

MB = 1 << 20


class Lines(Log):
    """A log that keeps its messages."""

    def __init__(self) -> None:
        super().__init__("debug")
        self.messages: list[str] = []

    def write(self, level: int, message: str) -> None:
        self.messages.append(f"{'.-*#'[level]} {message}")


class Bench:
    """A loader with all that it needs, over a directory of its own."""

    def __init__(self, directory: Path, arena_bytes: int = 64 * MB) -> None:
        self.config = Config()
        self.config.dir = str(directory)
        self.path = directory / self.config.dbfilename
        self.keyspace = Keyspace(16, arena_bytes)
        self.log = Lines()
        self.loader = Loader(self.config, self.keyspace, self.log, Points(self.config, self.keyspace, self.log))

    def load(self, data: bytes | None = None) -> None:
        if data is not None:
            self.path.write_bytes(data)
        asyncio.run(self.loader.load())

    def dataset(self) -> make_strings.Dataset:
        found: make_strings.Dataset = {}
        for database in self.keyspace.databases:
            for key in database.keys():  # noqa: SIM118 (not a dict)
                value = database.get(key)
                assert value is not None
                found.setdefault(database.number, {})[key] = (value, database.expire_at(key))
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.keyspace.check()


@pytest.mark.parametrize("delay_us", [200, 3000])
def test_each_key_is_delayed_however_short_the_delay(bench: Bench, delay_us: int) -> None:
    keys = 600_000 // delay_us
    bench.path.write_bytes(rdb(b"".join(STRING + plain(b"%d" % i) + plain(b"x") for i in range(keys))))
    bench.config.key_load_delay = delay_us
    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bench.loader.load())
    assert time.monotonic() - began >= 0.5
    assert len(bench.keyspace.databases[0]) == keys


def test_the_dump_of_a_real_redis(bench: Bench) -> None:
    shutil.copyfile(make_strings.PATH, bench.path)
    bench.load()
    assert bench.dataset() == make_strings.dataset()
    assert bench.keyspace.dirty == 0
    assert bench.loader.keys_loaded == sum(len(keys) for keys in make_strings.dataset().values())


def test_no_dump_is_an_empty_data_set(bench: Bench) -> None:
    bench.load()
    assert bench.dataset() == {}
    assert bench.log.messages == []
    assert not bench.loader.active


def test_the_log_tells_where_the_dump_comes_from_and_what_it_held(bench: Bench) -> None:
    body = AUX + plain(b"redis-ver") + plain(b"7.2.4") + AUX + plain(b"redis-bits") + b"\xc0\x40"
    body += AUX + plain(b"ctime") + plain(b"%d" % (time.time() - 100)) + AUX + plain(b"used-mem") + plain(b"1572864")
    body += AUX + plain(b"%note") + plain(b"hello")
    body += pair(b"a", b"1") + EXPIRETIME_MS + struct.pack("<q", 1) + pair(b"b", b"2")
    bench.load(rdb(body, 11))
    messages = [re.sub(r"RDB age 10[0-9]", "RDB age 100", message) for message in bench.log.messages]
    assert re.fullmatch(r"\* DB loaded from disk: [0-9]+\.[0-9]{3} seconds", messages.pop())
    assert messages == [
        "* Loading RDB produced by version 7.2.4",
        ". RDB AUX field redis-bits: 64",
        "* RDB age 100 seconds",
        "* RDB memory usage when created 1.50 Mb",
        "* RDB '%note': hello",
        "* Done loading RDB, keys loaded: 1, keys expired: 1.",
    ]
    assert (bench.loader.keys_loaded, bench.loader.keys_expired) == (1, 1)


def test_a_dump_without_checksum_is_said(bench: Bench) -> None:
    bench.load(rdb(pair(b"a", b"1"), checksum=bytes(8)))
    assert "* RDB file was saved with checksum disabled: no check performed." in bench.log.messages


def test_the_loop_runs_between_the_slices(bench: Bench) -> None:
    """And INFO shows how far the load is."""
    bench.path.write_bytes(rdb(b"".join(STRING + plain(b"%d" % i) + plain(b"x" * 9000) for i in range(1000))))
    seen: list[dict[str, int | float | str]] = []

    async def watch() -> None:
        load = asyncio.ensure_future(bench.loader.load())
        while not load.done():
            await asyncio.sleep(0)
            if bench.loader.active:
                seen.append(bench.loader.info_fields())
        await load

    asyncio.run(watch())
    done = [fields["loading_loaded_bytes"] for fields in seen]
    assert len(done) > 10
    assert done == sorted(done)
    size = bench.path.stat().st_size
    assert list(seen[5]) == [
        "loading_start_time",
        "loading_total_bytes",
        "loading_rdb_used_mem",
        "loading_loaded_bytes",
        "loading_loaded_perc",
        "loading_eta_seconds",
    ]
    assert seen[5]["loading_total_bytes"] == size
    assert seen[5]["loading_loaded_perc"] == f"{100 * int(done[5]) / size:.2f}"
    assert bench.loader.info_fields() == {}


def test_a_large_value_is_read_in_slices_too(bench: Bench) -> None:
    value = os.urandom(20 * MB)
    body = STRING + plain(b"big") + b"\x80" + struct.pack(">I", len(value)) + value
    bench.path.write_bytes(rdb(body + pair(b"after", b"it")))
    turns = 0

    async def count() -> None:
        nonlocal turns
        load = asyncio.ensure_future(bench.loader.load())
        while not load.done():
            turns += 1
            await asyncio.sleep(0)
        await load

    asyncio.run(count())
    assert turns > 20
    assert bench.dataset() == {0: {b"big": (value, 0), b"after": (b"it", 0)}}


def test_a_broken_dump_is_told_with_offset_and_reason_and_left_alone(bench: Bench) -> None:
    good = rdb(pair(b"a", b"1"))
    data = good[:-1] + bytes((good[-1] ^ 1,))
    with pytest.raises(RdbError):
        bench.load(data)
    assert bench.path.read_bytes() == data
    assert not bench.loader.active
    _, message = bench.log.messages
    assert message.startswith(f"# Fatal error loading the DB from {bench.path}: Wrong RDB checksum expected: (")
    assert message.endswith(f"Aborting now. (at offset {len(data)})")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_dump_that_may_not_be_read(bench: Bench) -> None:
    bench.path.write_bytes(rdb(b""))
    bench.path.chmod(0)
    with pytest.raises(PermissionError):
        bench.load()
    assert bench.log.messages == [f"# Fatal error: can't open the RDB file {bench.path} for reading: Permission denied"]


def test_a_dump_larger_than_the_arena(tmp_path: Path) -> None:
    bench = Bench(tmp_path, arena_bytes=4 * MB)
    with pytest.raises(ArenaFull):
        bench.load(rdb(b"".join(STRING + plain(b"%d" % i) + plain(b"x" * 9000) for i in range(2000))))
    assert "# Fatal error loading the DB" in bench.log.messages[-1]
    bench.keyspace.check()


def test_reload_replaces_the_data_and_keeps_dirty(bench: Bench) -> None:
    bench.path.write_bytes(rdb(pair(b"from", b"disk")))
    bench.keyspace.databases[3].set(b"in", b"memory")
    bench.keyspace.dirty = 7
    bench.loader.reload(flush=True)
    assert bench.dataset() == {0: {b"from": (b"disk", 0)}}
    assert bench.keyspace.dirty == 7


def test_reload_without_flush_adds_to_the_data(bench: Bench) -> None:
    bench.path.write_bytes(rdb(pair(b"from", b"disk")))
    bench.keyspace.databases[0].set(b"in", b"memory")
    bench.loader.reload(flush=False)
    assert bench.dataset() == {0: {b"from": (b"disk", 0), b"in": (b"memory", 0)}}


def test_reload_can_replace_keys_that_are_there(bench: Bench) -> None:
    bench.path.write_bytes(rdb(pair(b"both", b"disk") + pair(b"from", b"disk")))
    bench.keyspace.databases[0].set(b"both", b"memory", 4_000_000_000_000)
    bench.keyspace.databases[0].set(b"in", b"memory")
    bench.loader.reload(flush=False, merge=True)
    assert bench.dataset() == {0: {b"both": (b"disk", 0), b"from": (b"disk", 0), b"in": (b"memory", 0)}}


def test_reload_without_a_dump_is_an_error(bench: Bench) -> None:
    bench.keyspace.databases[0].set(b"in", b"memory")
    with pytest.raises(FileNotFoundError):
        bench.loader.reload()
    assert bench.dataset() == {0: {b"in": (b"memory", 0)}}


@pytest.mark.parametrize("flush", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        rdb(pair(b"a", b"1"))[:-9],
        rdb(pair(b"a", b"1"), checksum=b"x" * 8),
        rdb(pair(b"a", b"1") + b"\x06" + plain(b"module")),
        rdb(b"\x18" + plain(b"k") + bytes(7) + b"\1\1\1" + plain(b"f") + plain(b"v"), 12),
        b"",
    ],
    ids=["cut", "checksum", "module", "fields that expire", "empty"],
)
def test_a_reload_of_a_bad_dump_changes_nothing(bench: Bench, data: bytes, flush: bool) -> None:
    bench.keyspace.databases[0].set(b"in", b"memory")
    bench.path.write_bytes(data)
    with pytest.raises(RdbError):
        bench.loader.reload(flush=flush)
    assert bench.dataset() == {0: {b"in": (b"memory", 0)}}


def test_a_reload_that_fails_after_its_check_leaves_nothing_half(bench: Bench) -> None:
    body = pair(b"a", b"1") + pair(b"a", b"2")
    bench.path.write_bytes(rdb(body))
    with pytest.raises(DataLost, match="duplicated key 'a'"):
        bench.loader.reload(flush=True)
    assert bench.dataset() == {}


def test_the_checksum_is_not_looked_at_without_rdbchecksum(bench: Bench) -> None:
    bench.config.rdbchecksum = False
    bench.load(rdb(pair(b"a", b"1"), checksum=crc(b"other")))
    assert bench.dataset() == {0: {b"a": (b"1", 0)}}


def test_empty_keys_are_named(bench: Bench) -> None:
    empty = b"".join(b"\x02" + plain(b"set:%d" % number) + b"\x00" for number in range(12))
    bench.load(rdb(empty + pair(b"key", b"value")))
    skipped = [line for line in bench.log.messages if "skipping" in line]
    assert skipped == [f"* RDB: skipping empty key: set:{number}" for number in range(10)]
    assert "* Done loading RDB, keys loaded: 1, keys expired: 0, empty keys skipped: 12." in bench.log.messages


def test_a_damaged_encoding_is_told_as_redis_tells_it(bench: Bench) -> None:
    with pytest.raises(RdbError):
        bench.load(rdb(b"\x0d" + plain(b"key") + plain(b"\x0b\x00\x00\x00\x0a\x00\x00\x00\x01\x00\xff")))
    first, second = bench.log.messages[-2:]
    assert first.startswith("# Internal error in RDB reading offset ")
    assert "Hash ziplist integrity check failed: key 'key' in DB 0 has " in first
    assert second.startswith("# Fatal error loading the DB from ")

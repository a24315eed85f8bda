"""What the dumps of other servers hold beside plain data: functions, modules, times of fields, Valkey's forms."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import lzf
import pytest

from minikv.errors import RdbError
from minikv.keyspace.hash import Hash
from minikv.rdb import format as rdb_format
from minikv.rdb.format import encode_length, encode_string
from minikv.saving.foreground import save
from minikv.saving.save_job import SaveJob
from minikv.saving.settings import SaveSettings
from tests.rdb.rdb_files import EXPIRETIME_MS, SELECTDB, crc, pair, plain, rdb, read
from tests.rdb.test_compact import listpack
from tests.snapshot.test_loader import Bench

FUNCTION2, MODULE_AUX = b"\xf5", b"\xf7"
MODULE, FIELD_TTL, FIELD_TTL_LISTPACK = b"\x07", b"\x18", b"\x19"
FIELD_TTL_PRE_GA, FIELD_TTL_LISTPACK_PRE_GA = b"\x16", b"\x17"

LIBRARY = b"#!lua name=mylib\nredis.register_function('f', function(keys, args) return args[1] end)\n" * 3
LATER = 4_000_000_000_000  # Unix ms


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.keyspace.check()


def module_id(name: str, version: int = 1) -> bytes:
    number = 0
    for letter in name:
        number = number << 6 | rdb_format.MODULE_NAME_LETTERS.index(letter)
    return b"\x81" + (number << 10 | version).to_bytes(8, "big")


MODULE_PARTS = (
    b"\x01" + encode_length(70_000),
    b"\x02" + encode_length(5),
    b"\x03" + struct.pack("<f", 1.5),
    b"\x04" + struct.pack("<d", 2.5),
    b"\x05" + encode_string(b"text"),
    b"\x05\xc0\x07",
    b"\x05\xc3" + encode_length(len(lzf.compress(b"a" * 100) or b"")) + encode_length(100) + lzf.compress(b"a" * 100),
    b"\x00",
)
MODULE_DATA = b"".join(MODULE_PARTS)


# -- functions


@pytest.mark.parametrize("encoded", [encode_string(LIBRARY), b"\x80" + struct.pack(">I", len(LIBRARY)) + LIBRARY])
def test_functions_go_into_the_next_dump_as_they_came(bench: Bench, encoded: bytes) -> None:
    packed = lzf.compress(LIBRARY)
    assert packed is not None
    other = b"\xc3" + encode_length(len(packed)) + encode_length(len(LIBRARY)) + packed
    bench.load(rdb(FUNCTION2 + encoded + FUNCTION2 + other + pair(b"k", b"v")))
    assert bench.loader.functions == (encoded, other)
    assert "* 2 function libraries in the dump" in bench.log.messages
    save(SaveJob(), bench.keyspace.walker(), SaveSettings.of(bench.config, bench.loader.functions))
    data = bench.path.read_bytes()
    place = data.index(FUNCTION2 + encoded + FUNCTION2 + other + SELECTDB)
    assert place < data.index(plain(b"v"))
    assert read(data).records == read(rdb(pair(b"k", b"v"))).records


def test_a_large_library_of_functions(bench: Bench) -> None:
    encoded = encode_string(b"x" * 9_000_000)
    bench.load(rdb(FUNCTION2 + encoded))
    save(SaveJob(), bench.keyspace.walker(), SaveSettings.of(bench.config, bench.loader.functions))
    assert FUNCTION2 + encoded in bench.path.read_bytes()


def test_reloading_keeps_functions_once(bench: Bench) -> None:
    one, other = encode_string(b"one"), encode_string(b"other")
    bench.load(rdb(FUNCTION2 + one))
    bench.path.write_bytes(rdb(FUNCTION2 + one + FUNCTION2 + other))
    bench.loader.reload(flush=False, merge=True)
    assert bench.loader.functions == (one, other)
    bench.path.write_bytes(rdb(FUNCTION2 + other))
    bench.loader.reload()
    assert bench.loader.functions == (other,)


def test_a_refused_dump_changes_no_functions(bench: Bench) -> None:
    bench.load(rdb(FUNCTION2 + encode_string(b"one")))
    bench.path.write_bytes(rdb(FUNCTION2 + encode_string(b"other") + b"\x77"))
    with pytest.raises(RdbError, match=r"Unknown RDB type 119"):
        bench.loader.reload()
    assert bench.loader.functions == (encode_string(b"one"),)


# -- modules


def test_data_of_modules_is_left_out_and_said(bench: Bench) -> None:
    aux = MODULE_AUX + module_id("search000") + b"\x02\x01" + MODULE_DATA
    body = aux + pair(b"a", b"1") + MODULE + plain(b"json") + module_id("ReJSON-RL", 3) + MODULE_DATA
    body += EXPIRETIME_MS + struct.pack("<q", LATER) + MODULE + plain(b"other") + module_id("ReJSON-RL", 3) + b"\0"
    bench.load(rdb(body + pair(b"b", b"2") + MODULE_AUX + module_id("search000") + b"\x02\x02\x00"))
    assert sorted(bench.keyspace.databases[0].keys()) == [b"a", b"b"]
    assert bench.loader.keys_loaded == 2
    left_out = "# Data of a type that minikv does not have was left out: "
    assert [message for message in bench.log.messages if message.startswith(left_out)] == [
        f"{left_out}'search000', 0 keys, 2 auxiliary fields",
        f"{left_out}'ReJSON-RL', 2 keys, 0 auxiliary fields",
    ]


@pytest.mark.parametrize("step_bytes", [1, 3, 50])
def test_data_of_modules_in_steps(step_bytes: int) -> None:
    body = MODULE + plain(b"k") + module_id("ReJSON-RL") + MODULE_DATA + pair(b"a", b"1")
    assert [record.key for record in read(rdb(body), step_bytes=step_bytes).records] == [b"a"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x06" + plain(b"k") + encode_length(5), r"The type module \(pre-GA\) \(6\) of key 'k' in DB 0 is not supp"),
        (
            MODULE + plain(b"k") + module_id("ReJSON-RL") + b"\x06",
            "Unknown part 6 in the data of the module type 'ReJS",
        ),
        (MODULE + plain(b"k") + module_id("ReJSON-RL") + b"\x05\xc5", "Unknown string encoding 5"),
        (MODULE + plain(b"k") + module_id("ReJSON-RL") + b"\x05\x80\xff\xff\xff\xff", "Short read"),
        (MODULE + plain(b"k") + module_id("ReJSON-RL") + b"\x05\x40\xff", "Short read"),
        (MODULE + plain(b"k") + module_id("ReJSON-RL"), "A string's encoding where a length is expected"),
        (MODULE_AUX + module_id("ReJSON-RL") + b"\x01\x01\x00", "Module AUX data without its place"),
    ],
)
def test_data_of_modules_that_does_not_tell_its_length(body: bytes, reason: str) -> None:
    with pytest.raises(RdbError, match=reason):
        read(rdb(body))


def test_an_expired_key_of_a_module_counts_as_expired() -> None:
    body = EXPIRETIME_MS + struct.pack("<q", 5) + MODULE + plain(b"k") + module_id("ReJSON-RL") + MODULE_DATA
    found = read(rdb(body))
    assert (found.keys_loaded, found.keys_expired) == (0, 1)


# -- times of fields


def timed_fields(base_ms: int, *fields: tuple[int, bytes, bytes]) -> bytes:
    """Of version 12: (ttl, field, value), counted from the base."""
    body = struct.pack("<q", base_ms) + encode_length(len(fields))
    return body + b"".join(encode_length(ttl) + plain(field) + plain(value) for ttl, field, value in fields)


SOON = 1  # before now
TIMED = FIELD_TTL + plain(b"k") + timed_fields(LATER, (0, b"a", b"1"), (1, b"b", b"2"), (500, b"c", b"3"))
TIMED_LISTPACK = FIELD_TTL_LISTPACK + plain(b"k") + struct.pack("<q", LATER)
TIMED_LISTPACK += encode_string(listpack(b"b", 2, LATER, b"c", b"3", LATER + 499, b"a", b"1", 0))
PRE_GA = FIELD_TTL_PRE_GA + plain(b"k") + b"\x03\x00" + plain(b"a") + plain(b"1")
PRE_GA += encode_length(LATER) + plain(b"b") + plain(b"2") + encode_length(LATER + 499) + plain(b"c") + plain(b"3")
PRE_GA_LISTPACK = FIELD_TTL_LISTPACK_PRE_GA + plain(b"k")
PRE_GA_LISTPACK += encode_string(listpack(b"b", 2, LATER, b"c", b"3", LATER + 499, b"a", b"1", 0))
VALKEY_TIMED = FIELD_TTL_PRE_GA + plain(b"k") + b"\x03"
for _name, _value, _time in ((b"a", b"1", -1), (b"b", b"2", LATER), (b"c", b"3", LATER + 499)):
    VALKEY_TIMED += plain(_name) + plain(_value) + struct.pack("<q", _time)


def valkey(body: bytes, digits: bytes = b"080") -> bytes:
    data = b"VALKEY" + digits + body + b"\xff"
    return data + crc(data)


TIMED_FILES = {
    "table": rdb(TIMED, 12),
    "listpack": rdb(TIMED_LISTPACK, 12),
    "pre-GA table": rdb(PRE_GA, 12),
    "pre-GA listpack": rdb(PRE_GA_LISTPACK, 12),
    "valkey": valkey(VALKEY_TIMED),
}


@pytest.mark.parametrize("data", TIMED_FILES.values(), ids=TIMED_FILES)
def test_fields_are_loaded_with_their_times(bench: Bench, data: bytes) -> None:
    bench.load(data)
    hash_ = Hash.at(bench.keyspace.databases[0], b"k")
    assert hash_ is not None
    found = {field: (hash_.get(field), hash_.expire_at(field)) for field in hash_.fields()}
    assert found == {b"a": (b"1", 0), b"b": (b"2", LATER), b"c": (b"3", LATER + 499)}


@pytest.mark.parametrize("data", TIMED_FILES.values(), ids=TIMED_FILES)
def test_a_dump_has_the_version_that_its_hashes_need(bench: Bench, data: bytes) -> None:
    bench.load(data)
    saved(bench)
    assert bench.path.read_bytes().startswith(b"REDIS0012")
    assert read(bench.path.read_bytes()).records == read(data).records
    hash_ = Hash.to_write(bench.keyspace.databases[0], b"k")
    for field in (b"b", b"c"):
        hash_.set(field, b"v")
    saved(bench)
    assert bench.path.read_bytes().startswith(b"REDIS0010")


def saved(bench: Bench) -> None:
    settings = SaveSettings.of(bench.config, has_field_ttls=bench.keyspace.has_field_ttls)
    save(SaveJob(), bench.keyspace.walker(), settings)


def test_the_bytes_of_a_hash_with_times(bench: Bench) -> None:
    """As Redis 7.4 reads them: a base of 0, and each expiry plus one."""
    bench.load(TIMED_FILES["table"])
    saved(bench)
    wide = b"\x81" + (LATER + 1).to_bytes(8, "big"), b"\x81" + (LATER + 500).to_bytes(8, "big")
    expected = FIELD_TTL + plain(b"k") + bytes(8) + struct.pack(">H", 0x4003)
    expected += (
        b"\0" + plain(b"a") + plain(b"1") + wide[0] + plain(b"b") + plain(b"2") + wide[1] + plain(b"c") + plain(b"3")
    )
    assert expected in bench.path.read_bytes()


@pytest.mark.parametrize(
    "data",
    [
        rdb(FIELD_TTL + plain(b"k") + timed_fields(0, (0, b"a", b"1")), 12),
        rdb(FIELD_TTL_LISTPACK + plain(b"k") + bytes(8) + encode_string(listpack(b"a", 1, 0)), 12),
        valkey(FIELD_TTL_PRE_GA + plain(b"k") + b"\1" + plain(b"a") + plain(b"1") + struct.pack("<q", -1)),
    ],
)
def test_a_hash_of_such_a_type_without_times(bench: Bench, data: bytes) -> None:
    bench.load(data)
    hash_ = Hash.at(bench.keyspace.databases[0], b"k")
    assert hash_ is not None
    assert hash_.get(b"a") == b"1"


def test_fields_whose_time_has_passed_are_left_out(bench: Bench) -> None:
    body = FIELD_TTL + plain(b"some") + timed_fields(SOON, (0, b"a", b"1"), (1, b"b", b"2"))
    body += FIELD_TTL + plain(b"all") + timed_fields(SOON, (1, b"a", b"1"), (2, b"b", b"2"))
    bench.load(rdb(body, 12))
    assert bench.keyspace.databases[0].keys() == [b"some"]
    hash_ = Hash.at(bench.keyspace.databases[0], b"some")
    assert hash_ is not None
    assert hash_.fields() == [b"a"]
    assert (bench.loader.keys_loaded, bench.loader.keys_expired) == (1, 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (rdb(FIELD_TTL + plain(b"k") + timed_fields(1 << 49, (1, b"a", b"1")), 12), "a time that cannot be"),
        (rdb(FIELD_TTL + plain(b"k") + timed_fields(-1, (1, b"a", b"1")), 12), "a time that cannot be"),
        (rdb(FIELD_TTL + plain(b"k") + timed_fields(5, (1 << 60, b"a", b"1")), 12), "a time that cannot be"),
        (
            rdb(FIELD_TTL + plain(b"k") + timed_fields(5, (0, b"a", b"1"), (0, b"a", b"1")), 12),
            "Duplicate element b'a'",
        ),
        (rdb(FIELD_TTL_LISTPACK + plain(b"k") + bytes(8) + encode_string(listpack(b"a", 1, -1)), 12), "cannot be"),
        (rdb(FIELD_TTL_LISTPACK + plain(b"k") + bytes(8) + encode_string(listpack(b"a", 1, b"x")), 12), "cannot be"),
        (
            rdb(FIELD_TTL_LISTPACK + plain(b"k") + bytes(8) + encode_string(listpack(b"a", 1)), 12),
            "without value or ti",
        ),
        (
            valkey(FIELD_TTL_PRE_GA + plain(b"k") + b"\1" + plain(b"a") + plain(b"1") + struct.pack("<q", -2)),
            "a time that cannot be",
        ),
    ],
)
def test_times_that_cannot_be(data: bytes, reason: str) -> None:
    with pytest.raises(RdbError, match=reason):
        read(data)


# -- Valkey


def test_a_dump_of_valkey() -> None:
    found = read(valkey(b"\xfa" + plain(b"valkey-ver") + plain(b"9.0.0") + b"\xf4\1\2\3" + pair(b"k", b"v")))
    assert found.aux == {b"valkey-ver": b"9.0.0"}
    assert [record.key for record in found.records] == [b"k"]


@pytest.mark.parametrize("digits", [b"079", b"082", b"010", b"08\xff", b"8.0"])
def test_another_version_of_valkey(digits: bytes) -> None:
    with pytest.raises(RdbError, match="Can't handle RDB format version"):
        read(valkey(pair(b"k", b"v"), digits))


def test_numbers_that_both_use_are_valkeys_in_its_files() -> None:
    with pytest.raises(RdbError, match=r"The type hash paths \(23\) of key 'k' in DB 0 is not supported"):
        read(valkey(b"\x17" + plain(b"k")))
    for number in (24, 25, 26):
        with pytest.raises(RdbError, match=f"Unknown RDB type {number}"):
            read(valkey(bytes((number,)) + plain(b"k")))


# -- how keys were used


def test_idle_times_and_frequencies_set_the_access_clock(bench: Bench) -> None:
    body = b"\xf8" + encode_length(1000) + pair(b"idle", b"1") + pair(b"new", b"2")
    body += b"\xf8" + encode_length(500) + b"\x02" + plain(b"set") + b"\1" + plain(b"a")
    body += b"\xf9\x07" + pair(b"often", b"3") + b"\xf8" + encode_length(16_000_000) + pair(b"ages", b"4")
    bench.load(rdb(body))
    database = bench.keyspace.databases[0]
    assert 1000 <= database.idle_seconds(b"idle") <= 1001
    assert 500 <= database.idle_seconds(b"set") <= 501
    assert database.idle_seconds(b"new") <= 1
    assert database.idle_seconds(b"often") <= 1
    assert 16_000_000 <= database.idle_seconds(b"ages") <= 16_000_001
    bench.keyspace.flush_all()
    bench.keyspace.lfu = True
    bench.keyspace.tick()
    bench.load(rdb(body))
    assert database.frequency(b"often") == 7
    assert database.frequency(b"new") == database.frequency(b"idle") == 5


# Of each kind one, for test_rdb_damage.py.
FILES = TIMED_FILES | {
    "functions": rdb(FUNCTION2 + encode_string(LIBRARY)),
    "modules": rdb(
        MODULE_AUX
        + module_id("search000")
        + b"\x02\x01"
        + MODULE_DATA
        + MODULE
        + plain(b"k")
        + module_id("x" * 9)
        + MODULE_DATA
    ),
    "usage": rdb(b"\xf8" + encode_length(1000) + b"\xf9\x03" + pair(b"idle", b"1")),
}

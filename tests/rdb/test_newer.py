"""Dumps of Redis 8.6 to 8.10, Valkey 9.2 and the release candidates of 7.0: what they hold that 7.0 does not know."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from minikv.errors import RdbError
from minikv.keyspace import Database, Keyspace
from minikv.keyspace.hash import Hash
from minikv.keyspace.stream import Stream
from minikv.keyspace.stream_group import Group
from minikv.rdb.format import encode_length, encode_string
from minikv.rdb.payload import is_sound, restore
from tests.harness.payloads import sealed
from tests.rdb.rdb_files import EXPIRETIME_MS, pair, plain, rdb, read
from tests.rdb.test_compact import listpack
from tests.rdb.test_foreign import LATER, LIBRARY, MODULE_DATA, valkey
from tests.rdb.test_payload import NODE, stream_id
from tests.snapshot.test_loader import Bench

MB = 1 << 20
TEMPLATE, METADATA, OLD_FUNCTION = b"\xf2", b"\xf3", b"\xf6"
STREAM_4, STREAM_5, ARRAY, GCRA = b"\x1a", b"\x1b", b"\x1c", b"\x21"
LISTPACK_ALONE, LISTPACK_REF, ARRAY_ALONE, ARRAY_REF = b"\x1d", b"\x1e", b"\x1f", b"\x20"
PAST = EXPIRETIME_MS + struct.pack("<q", 5)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.keyspace.check()


@pytest.fixture
def database() -> Iterator[Database]:
    keyspace = Keyspace(1, 64 * MB, huge_pages=False)
    yield keyspace.databases[0]
    keyspace.check()


def hash_of(database: Database, key: bytes) -> dict[bytes, bytes]:
    found = Hash.at(database, key)
    assert found is not None
    return dict(zip(found.fields(), found.values(), strict=True))


# -- hashes with templates


def template(identifier: int, *fields: bytes) -> bytes:
    return TEMPLATE + encode_length(identifier) + encode_length(len(fields)) + b"".join(map(encode_string, fields))


def by_listpack(key: bytes, identifier: object, *values: object) -> bytes:
    return LISTPACK_REF + plain(key) + encode_string(listpack(identifier, *values))


def by_array(key: bytes, identifier: int, *values: bytes) -> bytes:
    return ARRAY_REF + plain(key) + encode_length(identifier) + b"".join(map(encode_string, values))


TEMPLATES = template(7, b"a", b"z", b"age", b"name") + template(70_000, b"x" * 300)
TEMPLATE_HASHES = (
    by_listpack(b"one", 7, b"1", b"2", 3, b"four")
    + by_array(b"two", 7, b"5", b"6", b"", b"8" * 100)
    + by_listpack(b"three", 70_000, -5)
    + by_array(b"four", 70_000, b"\xc0\x07")
    + PAST
    + by_array(b"gone", 7, b"1", b"2", b"3", b"4")
    + pair(b"plain", b"v")
)


@pytest.mark.parametrize("step_bytes", [1, 7, 1 << 20])
def test_hashes_with_templates_become_ordinary_hashes(step_bytes: int) -> None:
    found = read(rdb(TEMPLATES + TEMPLATE_HASHES, 15), step_bytes=step_bytes)
    assert {record.key: record.value for record in found.records} == {
        b"one": {b"a": b"1", b"z": b"2", b"age": b"3", b"name": b"four"},
        b"two": {b"a": b"5", b"z": b"6", b"age": b"", b"name": b"8" * 100},
        b"three": {b"x" * 300: b"-5"},
        b"four": {b"x" * 300: b"\xc0\x07"},
        b"plain": b"v",
    }
    assert found.keys_expired == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (template(1), "A hash template without fields"),
        (template(1, b"a") + template(1, b"b"), "Duplicate hash template 1"),
        (template(1, b"b", b"a"), "Fields of a hash template that are not in order"),
        (template(1, b"a", b"a"), "not in order"),
        (template(1, b"aa", b"b"), "not in order"),
        (TEMPLATE + b"\x01\x7f\x01a", "Short read"),
        (by_array(b"k", 1, b"a"), "key 'k' in DB 0 refers to the hash template 1, which is not in the file"),
        (by_listpack(b"k", 1, b"a"), "which is not in the file"),
        (by_listpack(b"k", -1, b"a"), "which is not in the file"),
        (by_listpack(b"k", b"id", b"a"), "a listpack without the number of its template"),
        (by_listpack(b"k", b""), "a listpack without the number of its template"),
        (template(1, b"a") + by_listpack(b"k", 1), "more or fewer values than fields"),
        (template(1, b"a") + by_listpack(b"k", 1, 1, 2), "more or fewer values than fields"),
        (LISTPACK_REF + plain(b"k") + encode_string(listpack()), "an empty listpack"),
        (template(1, b"a", b"b") + by_array(b"k", 1, b"a"), "Short read|Unknown string encoding|special"),
        (LISTPACK_ALONE + plain(b"k") + b"\x00", "refers to a hash template that is elsewhere"),
        (ARRAY_ALONE + plain(b"k") + b"\x00", "refers to a hash template that is elsewhere"),
    ],
)
def test_templates_that_cannot_be(body: bytes, reason: str) -> None:
    with pytest.raises(RdbError, match=reason):
        read(rdb(body, 15))


FIELDS_ONE_BY_ONE = b"\x01\x02" + plain(b"a") + plain(b"bb")
FIELDS_IN_LISTPACK = b"\x00" + encode_string(listpack(b"a", b"bb"))
PAYLOADS = {
    "listpack, one by one": LISTPACK_ALONE + FIELDS_ONE_BY_ONE + encode_string(listpack(99, 1, b"x")),
    "listpack, in a listpack": LISTPACK_ALONE + FIELDS_IN_LISTPACK + encode_string(listpack(b"", 1, b"x")),
    "array, one by one": ARRAY_ALONE + FIELDS_ONE_BY_ONE + plain(b"1") + plain(b"x"),
    "array, in a listpack": ARRAY_ALONE + FIELDS_IN_LISTPACK + plain(b"1") + plain(b"x"),
}


@pytest.mark.parametrize("value", PAYLOADS.values(), ids=PAYLOADS)
def test_payloads_bring_their_template_along(database: Database, value: bytes) -> None:
    assert restore(database, b"k", sealed(value, 15))
    assert hash_of(database, b"k") == {b"a": b"1", b"bb": b"x"}
    for length in range(1, len(value)):
        with pytest.raises(RdbError):
            restore(database, b"k", sealed(value[:length], 15))
    for index in range(len(value)):
        for bit in range(8):
            damaged = bytearray(value)
            damaged[index] ^= 1 << bit
            with contextlib.suppress(RdbError):
                restore(database, b"k", sealed(bytes(damaged), 15))
    database.keyspace.check()


@pytest.mark.parametrize(
    "value",
    [
        LISTPACK_REF + encode_string(listpack(1, b"x")),
        ARRAY_REF + b"\x01\x01x",
        ARRAY_ALONE + b"\x02",
        ARRAY_ALONE + b"\x01\x00",
        ARRAY_ALONE + b"\x00" + encode_string(listpack()),
        ARRAY_ALONE + b"\x01\x02" + plain(b"b") + plain(b"a") + plain(b"1") + plain(b"2"),
        ARRAY_ALONE + FIELDS_ONE_BY_ONE + plain(b"1") + plain(b"x") + plain(b"more"),
        LISTPACK_ALONE + FIELDS_ONE_BY_ONE + encode_string(listpack(1, 2)),
        ARRAY + b"\x00\x00",
        GCRA + b"\x05",
    ],
)
def test_payloads_that_are_refused(database: Database, value: bytes) -> None:
    with pytest.raises(RdbError):
        restore(database, b"k", sealed(value, 15))
    assert len(database) == 0


def test_a_template_costs_no_more_memory_than_a_few_times_its_bytes() -> None:
    fields = [b"%04x" % number for number in range(1 << 16)]
    data = rdb(template(1, *fields) + by_array(b"k", 1, *(b"v" for _ in fields)), 15)
    tracemalloc.start()
    try:
        with pytest.raises(RdbError, match="Short read"):
            read(data[: len(data) * 3 // 4])  # the template, before anything of the hash
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(data)


# -- checksums of payloads


def test_a_payload_of_8_10_may_be_without_checksum(database: Database) -> None:
    unsealed = b"\x00\x05hello" + struct.pack("<H", 15) + bytes(8)
    assert is_sound(unsealed)
    assert restore(database, b"k", unsealed)
    assert database.get(b"k") == b"hello"
    for version in (1, 10, 14, 80, 81):
        assert not is_sound(b"\x00\x05hello" + struct.pack("<H", version) + bytes(8))


def test_the_version_of_a_payload_tells_the_family(database: Database) -> None:
    fields = b"\x16\x01" + plain(b"a") + plain(b"1") + struct.pack("<q", -1)
    for version in (80, 81):
        assert restore(database, b"k", sealed(fields, version))
        assert hash_of(database, b"k") == {b"a": b"1"}
    with pytest.raises(RdbError):
        restore(database, b"k", sealed(fields, 12))
    assert restore(database, b"k", sealed(b"\x16\x01\x00" + plain(b"a") + plain(b"1"), 12))


# -- streams


def later_stream(
    form: bytes, length: int = 3, released: tuple[bytes, ...] = (), alice: tuple[bytes, ...] = ()
) -> bytes:
    """With a group of two consumers, bob's pending entry 6-0, and messages of two producers."""
    value = form + plain(b"s") + b"\x01\x10" + stream_id(1, 1) + encode_string(NODE) + encode_length(length)
    value += b"\x06\x00" + b"\x01\x01\x02\x00\x04"
    entries = sorted((*released, *alice, stream_id(6, 0)))
    value += b"\x01\x01g\x06\x00\x04" + bytes((len(entries),))
    value += b"".join(entry + struct.pack("<q", 1_700_000_000_000) + b"\x02" for entry in entries)
    times = struct.pack("<qq", 1_700_000_000_000, -1)
    value += b"\x02" + plain(b"alice") + times + bytes((len(alice),)) + b"".join(alice)
    value += plain(b"bob") + times + b"\x01" + stream_id(6, 0)
    if form == STREAM_5:
        value += bytes((len(released),)) + b"".join(released)
    producers = (
        plain(b"p1") + b"\x02" + plain(b"m1") + b"\x01\x01" + plain(b"m2") + b"\x05\x05" + plain(b"p2") + b"\x00"
    )
    return value + encode_length(100) + encode_length(1000) + b"\x02" + producers + b"\x02\x01"


@pytest.mark.parametrize("form", [STREAM_4, STREAM_5])
def test_streams_with_producers(bench: Bench, form: bytes) -> None:
    bench.load(rdb(later_stream(form) + pair(b"a", b"b"), 14))
    stream = Stream.at(bench.keyspace.databases[0], b"s")
    assert stream is not None
    assert len(stream) == 3
    (group,) = Group.all_of(stream)
    assert {name: len(consumer.ids) for name, consumer in group.consumers.items()} == {b"alice": 0, b"bob": 16}
    assert bench.keyspace.databases[0].get(b"a") == b"b"
    lost = "streams have lost what they know of producers (IDMP), which minikv does not keep"
    assert f"# RDB: 1 {lost}; the first is key 's' in DB 0" in bench.log.messages


def test_entries_given_back_stay_pending(bench: Bench) -> None:
    bench.load(rdb(later_stream(STREAM_5, released=(stream_id(5, 5),), alice=(stream_id(1, 1),)), 14))
    stream = Stream.at(bench.keyspace.databases[0], b"s")
    assert stream is not None
    (group,) = Group.all_of(stream)
    assert len(group) == 3
    assert {name: bytes(consumer.ids) for name, consumer in group.consumers.items()} == {
        b"": stream_id(5, 5),
        b"alice": stream_id(1, 1),
        b"bob": stream_id(6, 0),
    }
    assert any("(XNACK); they are now pending for a consumer without a name" in line for line in bench.log.messages)


@pytest.mark.parametrize("released", [stream_id(6, 0), stream_id(9, 9)], ids=["a consumer's", "not pending"])
def test_entries_given_back_are_pending_and_nobodys(released: bytes) -> None:
    good = later_stream(STREAM_5, released=(stream_id(5, 5),))
    before, _, after = good.rpartition(b"\x01" + stream_id(5, 5))
    with pytest.raises(RdbError, match=r"already has a consumer assigned|Consumer entry not found"):
        read(rdb(before + b"\x01" + released + after, 14))


def test_a_stale_length_is_counted_anew(bench: Bench) -> None:
    other = later_stream(STREAM_4, length=2).replace(plain(b"s"), plain(b"t"), 1)
    bench.load(rdb(later_stream(STREAM_4, length=130) + other, 13))
    for key in (b"s", b"t"):
        stream = Stream.at(bench.keyspace.databases[0], key)
        assert stream is not None
        assert len(stream) == 3
    assert (
        "# RDB: 2 streams had a wrong length and were counted anew; the first is key 's' in DB 0, 3 entries and not 130"
        in bench.log.messages
    )


# -- what minikv does not have


ARRAYS = (
    ARRAY
    + plain(b"arr")
    + b"\x04\x01\x09"
    + (b"\x00\x00" + plain(b"text"))
    + (b"\x05\x01" + struct.pack("<q", -7))
    + (b"\x40\xff\x02" + struct.pack("<d", 1.5))
    + (b"\x41\x00\x03" + plain(b"more"))
    + ARRAY
    + plain(b"empty")
    + b"\x00\x00"
    + GCRA
    + plain(b"limit")
    + encode_length(1_700_000_000_000)
)


@pytest.mark.parametrize("step_bytes", [1, 1 << 20])
def test_types_that_minikv_does_not_have_are_passed_over(bench: Bench, step_bytes: int) -> None:
    data = rdb(ARRAYS + pair(b"a", b"b"), 15)
    assert [record.key for record in read(data, step_bytes=step_bytes).records] == [b"a"]
    bench.load(data)
    assert bench.keyspace.databases[0].keys() == [b"a"]
    left_out = "# Data of a type that minikv does not have was left out: "
    assert [line for line in bench.log.messages if line.startswith(left_out)] == [
        f"{left_out}'array', 2 keys, 0 auxiliary fields",
        f"{left_out}'gcra', 1 keys, 0 auxiliary fields",
    ]


def test_an_unknown_kind_of_element_of_an_array() -> None:
    with pytest.raises(RdbError, match="An element of the array key 'k' in DB 0 is of the unknown kind 4"):
        read(rdb(ARRAY + plain(b"k") + b"\x01\x00\x00\x04\x01a", 15))


def test_a_refused_file_tells_what_it_held_beside(bench: Bench) -> None:
    with pytest.raises(RdbError):
        bench.load(rdb(ARRAYS + b"\x06" + plain(b"module"), 15))
    told = [line for line in bench.log.messages if "left out" in line or "Fatal error" in line]
    assert told[0] == "# Data of a type that minikv does not have was left out: 'array', 2 keys, 0 auxiliary fields"
    assert "The type module (pre-GA) (6) of key 'module' in DB 0 is not supported" in told[-1]


def class_spec(name: str, flags: int) -> bytes:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    number = 0
    for letter in name:
        number = number << 6 | letters.index(letter)
    return struct.pack("<I", (number << 5 | 1) << 3 | flags)


def metadata(*classes: bytes) -> bytes:
    return METADATA + encode_length(len(classes)) + b"".join(spec + MODULE_DATA for spec in classes)


def test_metadata_that_may_be_ignored_is_left_out(bench: Bench) -> None:
    may = metadata(class_spec("KMT1", 1), class_spec("Do_-", 1))
    late = EXPIRETIME_MS + struct.pack("<q", LATER)
    bench.load(rdb(late + b"\xf8\x05" + may + pair(b"a", b"b") + may + pair(b"c", b"d"), 13))
    database = bench.keyspace.databases[0]
    assert (database.get(b"a"), database.expire_at(b"a"), database.expire_at(b"c")) == (b"b", LATER, 0)
    for name in ("KMT1", "Do_-"):
        assert (
            f"# RDB: 2 keys have lost a module's metadata of the class '{name}'; the first is key 'a' in DB 0"
            in bench.log.messages
        )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (metadata(class_spec("KMT1", 0)), "Metadata of the class 'KMT1' must not be left out"),
        (METADATA + b"\x08", "Metadata of 8 classes"),
        (METADATA + b"\x01" + class_spec("KMT1", 1) + b"\x09", "Unknown part 9"),
    ],
)
def test_metadata_that_cannot_be_left_out(body: bytes, reason: str) -> None:
    with pytest.raises(RdbError, match=reason):
        read(rdb(body + pair(b"a", b"b"), 13))


def test_a_payload_may_begin_with_metadata(database: Database) -> None:
    assert restore(database, b"k", sealed(metadata(class_spec("KMT1", 1)) + b"\x00\x05hello", 13))
    assert database.get(b"k") == b"hello"
    with pytest.raises(RdbError, match="must not be left out"):
        restore(database, b"k", sealed(metadata(class_spec("KMT1", 0)) + b"\x00\x05hello", 13))


def test_a_slot_that_no_cluster_has() -> None:
    assert read(rdb(b"\xf4" + encode_length(16383) + b"\1\1" + pair(b"a", b"b"), 12)).keys_loaded == 1
    with pytest.raises(RdbError, match="A slot that no cluster has"):
        read(rdb(b"\xf4" + encode_length(16384) + b"\1\1", 12))


# -- functions of release candidates


@pytest.mark.parametrize(
    ("engine", "description"),
    [(b"LUA", None), (b"lua", b"what it does"), (b"lua", b"")],
    ids=["plain", "told", "empty"],
)
def test_functions_of_release_candidates_are_kept(bench: Bench, engine: bytes, description: bytes | None) -> None:
    flag = b"\0" if description is None else b"\1" + plain(description)
    code = LIBRARY.partition(b"\n")[2]
    bench.load(rdb(OLD_FUNCTION + plain(b"mylib") + plain(engine) + flag + encode_string(code) + pair(b"a", b"b")))
    assert bench.loader.functions == (encode_string(b"#!" + engine + b" name=mylib\n" + code),)
    assert bench.keyspace.databases[0].get(b"a") == b"b"


# -- Valkey 9.2


IMPORT = METADATA + plain(b"x" * 40) + b"\x02" + encode_length(0) + encode_length(5)
IMPORT += encode_length(16000) + encode_length(16383)


def test_an_import_of_slots_is_told(bench: Bench) -> None:
    bench.load(valkey(IMPORT + pair(b"a", b"b"), b"081"))
    assert bench.keyspace.databases[0].get(b"a") == b"b"
    assert (
        "# RDB: 2 ranges of slots were being imported; their keys may be incomplete; the first is 0-5"
        in bench.log.messages
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (METADATA + plain(b"x" * 39) + b"\x00", "An import of slots without its name"),
        (METADATA + plain(b"x" * 40) + b"\x01\x05\x04", "A slot that no cluster has"),
        (METADATA + plain(b"x" * 40) + b"\x01\x05" + encode_length(16384), "A slot that no cluster has"),
        (TEMPLATE + b"*1\r\n$4\r\nPING\r\n", "The file holds commands among its keys"),
    ],
)
def test_what_valkey_means_by_the_same_numbers(body: bytes, reason: str) -> None:
    with pytest.raises(RdbError, match=reason):
        read(valkey(body, b"081"))


# Of each kind one, for test_rdb_damage.py.
FILES = {
    "hash templates": rdb(TEMPLATES + TEMPLATE_HASHES, 15),
    "stream 4": rdb(later_stream(STREAM_4), 13),
    "stream 5": rdb(later_stream(STREAM_5, released=(stream_id(5, 5),)), 14),
    "arrays": rdb(ARRAYS, 15),
    "metadata": rdb(metadata(class_spec("KMT1", 1)) + pair(b"a", b"b"), 13),
    "old functions": rdb(OLD_FUNCTION + plain(b"lib") + plain(b"LUA") + b"\0" + plain(b"code")),
    "slot import": valkey(IMPORT + pair(b"a", b"b"), b"081"),
}


HUGE = b"\x81" + b"\x3f" + b"\xff" * 7


@pytest.mark.parametrize(
    "body",
    [
        TEMPLATE + b"\x01" + HUGE,
        TEMPLATE + b"\x01\x01" + HUGE,
        ARRAY + plain(b"k") + HUGE + b"\x00",
        ARRAY + plain(b"k") + b"\x01\x00\x00\x00" + HUGE,
        METADATA + b"\x01" + class_spec("KMT1", 1) + b"\x05" + HUGE,
        OLD_FUNCTION + HUGE,
        later_stream(STREAM_4)[: -len(b"\x02\x01p1")] + HUGE,
        later_stream(STREAM_5)[:-30] + HUGE,
    ],
)
def test_what_a_file_only_claims_takes_no_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RdbError):
            read(rdb(body + bytes(100), 15))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()

"""Payloads in process: damage at every byte, an arena that is full, and what hostile ones cost in memory."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import lzf
import pytest

from minikv.errors import ArenaFull, RdbError
from minikv.keyspace import Database, Keyspace
from minikv.rdb.format import encode_length, encode_string
from minikv.rdb.payload import is_sound, restore, seal
from tests.harness.payloads import sealed
from tests.rdb.rdb_files import plain
from tests.rdb.test_compact import FORMS, IDS, intset, listpack, ziplist

MB = 1 << 20


def packed(text: bytes) -> bytes:
    """A compressed string."""
    data = lzf.compress(text)
    assert data is not None
    return b"\xc3" + encode_length(len(data)) + encode_length(len(text)) + data


def stream_id(ms: int, sequence: int) -> bytes:
    return struct.pack(">QQ", ms, sequence)


NODE = listpack(
    *(3, 1, 2, b"a", b"b", 0),  # entries, deleted ones, their first one's fields
    *(2, 0, 0, 1, b"two", 5),  # 1-1 with the same fields
    *(3, 1, -1, 3, b"four", 5),  # 2-0, deleted
    *(0, 4, 4, 1, b"c", -70_000, 6),  # 5-5
    *(0, 5, -1, 1, b"c", b"x", 6),  # 6-0
)


def stream(form: int) -> bytes:
    """A stream with two groups, one of which has consumers, in the form of type 15, 19 or 21."""
    value = bytes((form,)) + b"\x01\x10" + stream_id(1, 1) + encode_string(NODE) + b"\x03\x06\x00"
    seen = struct.pack("<q", 1_700_000_000_000) * (2 if form == 21 else 1)
    if form > 15:
        value += b"\x01\x01\x02\x00\x04"  # first ID, largest deleted one, entries added
    value += b"\x02\x01g\x06\x00" + (b"\x04" if form > 15 else b"") + b"\x03"
    for ms, sequence in ((1, 1), (5, 5), (6, 0)):
        value += stream_id(ms, sequence) + struct.pack("<q", 1_700_000_000_000) + b"\x01"
    value += b"\x02" + plain(b"alice") + seen + b"\x02" + stream_id(1, 1) + stream_id(5, 5)
    value += plain(b"bob") + seen + b"\x01" + stream_id(6, 0)
    return value + b"\x01h\x05\x05" + (b"\x81" + b"\xff" * 8 if form > 15 else b"") + b"\x00\x00"


MEMBERS = [b"member:%d" % number for number in range(700)]
LATER = 4_000_000_000_000  # Unix ms

# Type and value of what has a form of its own, named; the forms of hashes and sets are those of files, less the key.
VALUES: dict[str, bytes] = {
    "string": b"\x00\x05hello",
    "integer": b"\x00\xc2\x01\x02\x03\x04",
    "compressed string": b"\x00" + packed(b"abc" * 40),
    "zset": b"\x05\x02\x01a" + struct.pack("<d", 1.5) + b"\x02bb" + struct.pack("<d", 2.5),
    "zset of old": b"\x03\x03\x01a\x031.5\x01b\xfe\x01c\xff",
    "zset listpack": b"\x11" + encode_string(listpack(b"a", 1, b"bb", b"2.5")),
    "zset ziplist": b"\x0c" + encode_string(ziplist(b"a", 1, b"bb", b"2.5")),
    "list": b"\x01\x03\x01a\x01a\xc0\x07",
    "list ziplist": b"\x0a" + encode_string(ziplist(b"a", 5, b"a")),
    "quicklist": b"\x0e\x02" + encode_string(ziplist(b"a", 5)) + encode_string(ziplist(b"a")),
    "quicklist_2": b"\x12\x03\x02"
    + encode_string(listpack(b"a", 5))
    + b"\x01\x05plain\x02"
    + packed(listpack(*b"\5" * 40)),
    "stream": stream(15),
    "stream 2": stream(19),
    "stream 3": stream(21),
    "compressed listpack": b"\x10" + packed(listpack(*[word for i in range(8) for word in (b"f%d" % i, b"v" * 20)])),
    "hash with times": b"\x18" + struct.pack("<q", 5) + b"\x02\x00\x01a\x01b\x00\x01c\x01d",
    "hash whose fields expire": b"\x18"
    + struct.pack("<q", LATER)
    + b"\x03\x01\x01a\x01b\x00\x01c\x01d\x40\xff\x01e\x01f",
    "listpack whose fields expire": b"\x19" + bytes(8) + encode_string(listpack(b"a", b"b", LATER, b"c", b"d", 0)),
    "such a hash of before 7.4": b"\x16\x02\x81" + struct.pack(">q", LATER) + b"\x01a\x01b\x00\x01c\x01d",
    "such a listpack of before 7.4": b"\x17" + encode_string(listpack(b"a", b"b", LATER, b"c", b"d", 0)),
} | {name: record[:1] + record[3:] for name, (record, _, _) in zip(IDS, FORMS, strict=True)}


@pytest.fixture(scope="module")
def shared() -> Keyspace:
    return Keyspace(1, 256 * MB, huge_pages=False)


@pytest.fixture
def database(shared: Keyspace) -> Iterator[Database]:
    """With a key that has a value and a time."""
    shared.flush_all()
    made = shared.databases[0]
    made.set(b"k", b"before", 2**60)
    yield made
    shared.check()


def assert_untouched(database: Database) -> None:
    assert (database.keys(), database.get(b"k"), database.expire_at(b"k")) == ([b"k"], b"before", 2**60)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_every_form_comes_back_from_dump(database: Database, value: bytes) -> None:
    assert restore(database, b"k", sealed(value))
    again = seal(database.dump(b"k", True) or b"")
    assert is_sound(again)
    assert restore(database, b"other", again, 2**60)
    assert database.expire_at(b"other") == 2**60
    assert database.dump(b"k", False) == database.dump(b"other", False)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_payload_cut_or_flipped_anywhere_is_not_sound(value: bytes) -> None:
    data = sealed(value)
    assert is_sound(data)
    assert not any(is_sound(data[:length]) for length in range(len(data)))
    for index in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[index] ^= 1 << bit
            assert not is_sound(bytes(damaged)), index


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_cut_anywhere_is_refused(database: Database, value: bytes) -> None:
    for length in range(len(value)):
        with pytest.raises(RdbError) as caught:
            restore(database, b"k", sealed(value[:length]))
        assert 0 <= caught.value.offset <= length
        assert_untouched(database)
    for more in (b"\0", b"more"):
        with pytest.raises(RdbError):
            restore(database, b"k", sealed(value + more))
        assert_untouched(database)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_with_any_bit_flipped_is_refused_or_another_value(database: Database, value: bytes) -> None:
    for index in range(len(value)):
        for bit in range(8):
            damaged = bytearray(value)
            damaged[index] ^= 1 << bit
            try:
                alive = restore(database, b"k", sealed(bytes(damaged)))
            except RdbError as error:
                assert 0 <= error.offset <= len(value)
                assert_untouched(database)
            else:
                assert alive
                assert is_sound(seal(database.dump(b"k", False) or b""))
                database.set(b"k", b"before", 2**60)


@pytest.mark.parametrize("seed", range(20))
def test_values_with_many_changes(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    values = list(VALUES.values())
    for _ in range(1000):
        damaged = bytearray(rng.choice(values))
        for _ in range(rng.randrange(1, 5)):
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 0x3F, 0x7F, 0x80, 0x81, 0xC3, 0xFE, 0xFF))
        with contextlib.suppress(RdbError):
            restore(database, b"k", sealed(bytes(damaged)))


def test_offsets_lead_into_compact_encodings(database: Database) -> None:
    value = b"\x10" + encode_string(listpack(b"a", 1, b"bb", 2))
    place = value.index(b"bb") - 1
    with pytest.raises(RdbError) as caught:
        restore(database, b"k", sealed(value[:place] + b"\xff" + value[place + 1 :]))
    assert caught.value.offset == place
    assert caught.value.reason == (
        "Hash listpack integrity check failed: key 'k' has a compact encoding that ends before its last byte"
    )


@pytest.mark.parametrize(
    "value",
    [
        b"\x00" + encode_string(b"x" * 3 * MB),
        b"\x00" + packed(b"x" * 3 * MB),
        b"\x02" + encode_length(100_000) + b"".join(map(plain, (b"%d" % number for number in range(100_000)))),
        b"\x04" + encode_length(3) + b"".join(plain(name) + encode_string(b"v" * MB) for name in (b"a", b"b", b"c")),
        b"\x05" + encode_length(700) + b"".join(plain(name) + bytes(8) for name in MEMBERS),
    ],
    ids=["string", "compressed", "set", "hash", "zset"],
)
def test_a_full_arena_leaves_the_key_alone(value: bytes) -> None:
    keyspace = Keyspace(1, 64 * MB, huge_pages=False)
    database = keyspace.databases[0]
    database.set(b"k", b"before", 2**60)
    for segments in (1, 2):
        keyspace.set_debug(poison=True, segment_limit=segments)
        with contextlib.suppress(ArenaFull):
            restore(database, b"k", sealed(value))
            assert segments == 2 and len(value) < MB
            break
        assert_untouched(database)
        keyspace.check()
    keyspace.set_debug(poison=True)
    assert restore(database, b"k", sealed(value))
    assert database.expire_at(b"k") == 0
    keyspace.check()


# -- memory


def peak_above_bytes(database: Database, payload: bytes) -> int:
    """How far the resident set has risen above what it was, while this payload was restored or refused."""
    clear = Path("/proc/self/clear_refs")
    before = status_bytes("VmRSS")
    clear.write_text("5")  # the peak begins anew
    with contextlib.suppress(RdbError):
        restore(database, b"k", payload)
    return status_bytes("VmHWM") - before


def status_bytes(field: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def distinct(count: int) -> Iterator[bytes]:
    """The shortest strings there are, all different."""
    for number in range(count):
        yield number.to_bytes(3, "little")


COUNT = 300_000
SHORT = b"".join(map(plain, distinct(COUNT)))
WITH_VALUES = b"".join(plain(name) + b"\0" for name in distinct(COUNT))
SCORED = b"".join(plain(name) + bytes(8) for name in distinct(COUNT))
ENTRIES = b"".join(b"\x83" + name + b"\x04" for name in distinct(COUNT))
MANY_PENDING = b"".join(stream_id(1, number) + bytes(8) + b"\1" for number in range(20_000))
ONE_ENTRY = listpack(1, 0, 1, b"f", 0, 2, 0, 0, b"", 4)
COSTLY: dict[str, bytes] = {
    "stream of nodes": b"\x13"
    + encode_length(3000)
    + b"".join(b"\x10" + stream_id(n + 1, 0) + encode_string(ONE_ENTRY) for n in range(3000))
    + encode_length(3000)
    + encode_length(3000)
    + b"\0\1\0\0\0"
    + encode_length(3000)
    + b"\0",
    "stream of groups": b"\x13\0\0\5\0\0\0\0\0\5"
    + encode_length(20_000)
    + b"".join(plain(b"%x" % n) + b"\0\0\0\0\0" for n in range(20_000)),
    "stream of pending entries": b"\x13\0\0\5\0\0\0\0\0\5\1\1g\5\0\0"
    + encode_length(20_000)
    + MANY_PENDING
    + b"\1\1c"
    + bytes(8)
    + encode_length(20_000)
    + b"".join(stream_id(1, n) for n in range(20_000)),
    "stream of consumers": b"\x13\0\0\5\0\0\0\0\0\5\1\1g\5\0\0\0"
    + encode_length(20_000)
    + b"".join(plain(b"%x" % n) + bytes(8) + b"\0" for n in range(20_000)),
    "set": b"\x02" + encode_length(COUNT) + SHORT,
    "set that lacks one": b"\x02" + encode_length(COUNT + 1) + SHORT,
    "set with a duplicate": b"\x02" + encode_length(COUNT + 1) + SHORT + plain(b"\0\0\0"),
    "hash": b"\x04" + encode_length(COUNT) + WITH_VALUES,
    "zset": b"\x05" + encode_length(COUNT) + SCORED,
    "set listpack": b"\x14" + encode_string(struct.pack("<IH", len(ENTRIES) + 7, 0xFFFF) + ENTRIES + b"\xff"),
    "list": b"\x01" + encode_length(MB) + bytes(MB),
    "list listpack": b"\x12\x01\x02" + encode_string(struct.pack("<IH", 2 * MB + 7, 0xFFFF) + b"\1\1" * MB + b"\xff"),
    "list that lacks one": b"\x01" + encode_length(MB + 1) + bytes(MB),
    "intset": b"\x0b" + encode_string(intset(*range(COUNT), width=4)),
    "claims": b"\x02\x81" + b"\x7f" * 8 + SHORT,
    "claims as many as bytes": b"\x04" + encode_length(len(SHORT)) + SHORT,
    "packed claims": b"\x00\xc3" + encode_length(MB) + encode_length(88 * MB) + bytes(MB),
    "listpack claims": b"\x10" + encode_string(struct.pack("<IH", 0xFFFFFFFF, 3) + ENTRIES + b"\xff"),
    "string": b"\x00" + encode_string(bytes(3 * MB)),
    "string that claims": b"\x00\x81" + b"\x7f" * 8 + bytes(3 * MB),
}


@pytest.mark.parametrize("value", COSTLY.values(), ids=COSTLY)
def test_memory_is_a_small_multiple_of_the_payload(value: bytes) -> None:
    payload = sealed(value)
    keyspace = Keyspace(1, 256 * MB, huge_pages=False)
    risen = peak_above_bytes(keyspace.databases[0], payload)
    print(f"{risen / len(payload):.1f} bytes for each byte of the payload")
    assert risen < 12 * len(payload) + 2 * MB
    keyspace.check()


def test_a_compressed_value_takes_what_it_stands_for(database: Database) -> None:
    """At most 88 times its bytes, the ratio of LZF; nothing if it does not hold what it claims."""
    text = bytes(20 * MB)
    payload = sealed(b"\x00" + packed(text))
    assert len(payload) > len(text) // 100
    assert peak_above_bytes(database, payload) < len(text) + 3 * MB
    damaged = sealed(b"\x00" + packed(text)[:-1] + b"\xff")
    assert peak_above_bytes(database, damaged) < 3 * MB

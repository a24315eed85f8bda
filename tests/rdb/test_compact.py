"""Collections in dumps: every encoding of them, and an error for all that is not right."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.errors import RdbError
from minikv.keyspace import Keyspace
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set
from minikv.rdb import format as rdb_format
from minikv.rdb.compact import intset_members, listpack_elements, ziplist_elements, zipmap_elements
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from tests.rdb.rdb_files import EXPIRETIME_MS, Record, open_bytes, pair, rdb, read
from tests.rdb.rdb_files import plain as text

SET, HASH, ZIPMAP, INTSET, ZIPLIST, LISTPACK, SET_LISTPACK = (bytes((kind,)) for kind in (2, 4, 9, 11, 13, 16, 20))
LIST, LIST_ZIPLIST, QUICKLIST, QUICKLIST_2 = (bytes((kind,)) for kind in (1, 10, 14, 18))
PLAIN_NODE, PACKED_NODE = b"\1", b"\2"
Taker = Callable[[bytes], list[bytes]]


def string(data: bytes) -> bytes:
    return rdb_format.encode_string(data)


# What Redis makes of elements, made here byte by byte


def intset(*numbers: int, width: int = 2) -> bytes:
    return struct.pack("<II", width, len(numbers)) + b"".join(n.to_bytes(width, "little", signed=True) for n in numbers)


def listpack_entry(element: bytes | int) -> bytes:
    if isinstance(element, bytes):
        size = len(element)
        head = bytes((0x80 | size,)) if size < 64 else bytes((0xE0 | size >> 8, size & 255))
        entry = (head if size < 4096 else b"\xf0" + struct.pack("<I", size)) + element
    elif 0 <= element < 128:
        entry = bytes((element,))
    elif -4096 <= element < 4096:
        entry = struct.pack(">H", 0xC000 | element & 0x1FFF)
    else:
        width = next(width for width in (2, 3, 4, 8) if -(1 << 8 * width - 1) <= element < 1 << 8 * width - 1)
        entry = bytes(({2: 0xF1, 3: 0xF2, 4: 0xF3, 8: 0xF4}[width],)) + element.to_bytes(width, "little", signed=True)
    size, parts = len(entry), [len(entry) & 127]
    while size := size >> 7:
        parts.insert(0, size & 127)
    return entry + bytes(part | 128 if place else part for place, part in enumerate(parts))


def listpack(*elements: bytes | int) -> bytes:
    body = b"".join(listpack_entry(element) for element in elements) + b"\xff"
    return struct.pack("<IH", len(body) + 6, len(elements)) + body


def ziplist(*elements: bytes | int) -> bytes:
    body, before, last = b"", 0, 10
    for element in elements:
        if isinstance(element, bytes):
            size = len(element)
            head = bytes((size,)) if size < 64 else struct.pack(">H", 0x4000 | size)
            entry = (head if size < 16384 else b"\x80" + struct.pack(">I", size)) + element
        elif 0 <= element <= 12:
            entry = bytes((0xF1 + element,))
        else:
            width = next(width for width in (1, 2, 3, 4, 8) if -(1 << 8 * width - 1) <= element < 1 << 8 * width - 1)
            head = bytes(({1: 0xFE, 2: 0xC0, 3: 0xF0, 4: 0xD0, 8: 0xE0}[width],))
            entry = head + element.to_bytes(width, "little", signed=True)
        entry = (bytes((before,)) if before < 254 else b"\xfe" + struct.pack("<I", before)) + entry
        last, before = 10 + len(body), len(entry)
        body += entry
    return struct.pack("<IIH", len(body) + 11, last, len(elements)) + body + b"\xff"


def zipmap(*elements: bytes, free: int = 0) -> bytes:
    body = b""
    for i, element in enumerate(elements):
        body += bytes((len(element),)) if len(element) < 254 else b"\xfe" + struct.pack("<I", len(element))
        body += bytes((free,)) + element + b"\0" * free if i % 2 else element
    return bytes((min(len(elements) // 2, 254),)) + body + b"\xff"


NUMBERS = [0, 1, 12, 13, 127, 128, -1, 4095, -4096, 4096, -4097, 2**15 - 1, -(2**15), 2**15, 2**23 - 1, -(2**23), 2**23]
NUMBERS += [2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63)]
STRINGS = [
    b"",
    b"a",
    b"x" * 63,
    b"x" * 64,
    b"y" * 253,
    b"y" * 254,
    b"z" * 4095,
    b"z" * 4096,
    b"w" * 16383,
    b"w" * 16384,
]
EVERYTHING: list[bytes | int] = [*STRINGS, *NUMBERS]
AS_TEXT = [*STRINGS, *(b"%d" % number for number in NUMBERS)]


def test_every_form_of_an_element() -> None:
    assert listpack_elements(listpack(*EVERYTHING)) == AS_TEXT
    assert ziplist_elements(ziplist(*EVERYTHING)) == AS_TEXT
    assert zipmap_elements(zipmap(*STRINGS)) == STRINGS
    assert zipmap_elements(zipmap(*STRINGS, free=3)) == STRINGS
    for width, limit in ((2, 2**15), (4, 2**31), (8, 2**63)):
        numbers = [-limit, -1, 0, 7, limit - 1]
        assert intset_members(intset(*numbers, width=width)) == [b"%d" % number for number in numbers]


def test_more_elements_than_a_header_can_tell() -> None:
    many = [b"%d" % number for number in range(70_000)]
    body = b"".join(listpack_entry(element) for element in many) + b"\xff"
    assert listpack_elements(struct.pack("<IH", len(body) + 6, 0xFFFF) + body) == many


SMALL: list[bytes | int] = [b"field", 5, b"other", b"v" * 70, 300, b"", 70_000, -1]
SMALL_TEXT = {b"field": b"5", b"other": b"v" * 70, b"300": b"", b"70000": b"-1"}
SMALL_STRINGS = [part for item in SMALL_TEXT.items() for part in item]
PLAIN_NODE_STRINGS = [*SMALL_STRINGS[:3], b"plain" * 20, *SMALL_STRINGS[3:]]
NODES = [PACKED_NODE + string(listpack(*elements)) for elements in (SMALL[:3], [], SMALL[3:])]
NODES.insert(1, PLAIN_NODE + string(b"plain" * 20))
FORMS: list[tuple[bytes, Taker, object]] = [
    (LISTPACK + text(b"k") + string(listpack(*SMALL)), listpack_elements, SMALL_TEXT),
    (ZIPLIST + text(b"k") + string(ziplist(*SMALL)), ziplist_elements, SMALL_TEXT),
    (ZIPMAP + text(b"k") + string(zipmap(*SMALL_STRINGS, free=1)), zipmap_elements, SMALL_TEXT),
    (INTSET + text(b"k") + string(intset(-5, 3, 900)), intset_members, {b"-5", b"3", b"900"}),
    (SET_LISTPACK + text(b"k") + string(listpack(*SMALL)), listpack_elements, set(SMALL_STRINGS)),
    (HASH + text(b"k") + b"\x04" + b"".join(map(text, SMALL_STRINGS)), listpack_elements, SMALL_TEXT),
    (SET + text(b"k") + b"\x08" + b"".join(map(text, SMALL_STRINGS)), listpack_elements, set(SMALL_STRINGS)),
    (
        LIST + text(b"k") + b"\x09" + b"".join(map(text, [*SMALL_STRINGS, b""])),
        listpack_elements,
        [*SMALL_STRINGS, b""],
    ),
    (LIST_ZIPLIST + text(b"k") + string(ziplist(*SMALL)), ziplist_elements, SMALL_STRINGS),
    (
        QUICKLIST + text(b"k") + b"\3" + string(ziplist(*SMALL[:3])) + string(ziplist()) + string(ziplist(*SMALL[3:])),
        ziplist_elements,
        SMALL_STRINGS,
    ),
    (
        QUICKLIST_2 + text(b"k") + b"\4" + b"".join(NODES),
        listpack_elements,
        PLAIN_NODE_STRINGS,
    ),
]
IDS = ["hash listpack", "hash ziplist", "hash zipmap", "set intset", "set listpack", "hash", "set"]
IDS += ["list", "list ziplist", "quicklist", "quicklist 2"]


def in_keyspace(data: bytes, step_bytes: int = 1 << 20) -> list[Record]:
    """What is in a keyspace that has loaded these bytes."""
    keyspace = Keyspace(1, 64 << 20, huge_pages=False)
    with open_bytes(data) as fd:
        reader = RdbReader(fd, EngineTarget(keyspace), 1, 1000)
        try:
            while reader.step(step_bytes):
                pass
        except RdbError:
            keyspace.flush_all()
            keyspace.check()
            raise
    keyspace.check()
    return [record_of(keyspace, key) for key in keyspace.databases[0].keys()]  # noqa: SIM118  (a method of Database)


def record_of(keyspace: Keyspace, key: bytes) -> Record:
    database = keyspace.databases[0]
    kind = database.lookup(key)
    value: object
    if kind == 0:
        value = database.get(key)
    elif kind == 1:
        list_ = List.at(database, key)
        assert list_ is not None
        value = list_.range(0, len(list_))
    elif kind == 2:
        set_ = Set.at(database, key)
        assert set_ is not None
        value = set(set_.members())
    else:
        hash_ = Hash.at(database, key)
        assert hash_ is not None
        value = dict(zip(hash_.fields(), hash_.values(), strict=True))
    return Record(0, key, value, database.expire_at(key))  # type: ignore[arg-type]


@pytest.mark.parametrize(("record", "taker", "value"), FORMS, ids=IDS)
def test_every_encoding_is_loaded(record: bytes, taker: Taker, value: object) -> None:
    data = rdb(EXPIRETIME_MS + struct.pack("<q", 2**45) + record + pair(b"after", b"it"))
    expected = [Record(0, b"k", value, 2**45), Record(0, b"after", b"it", 0)]  # type: ignore[arg-type]
    assert read(data).records == expected
    assert sorted(in_keyspace(data)) == sorted(expected)
    assert read(data, step_bytes=1).records == expected


@pytest.mark.parametrize(
    ("taker", "good"),
    [
        (listpack_elements, listpack(*SMALL)),
        (ziplist_elements, ziplist(*SMALL)),
        (zipmap_elements, zipmap(*SMALL_STRINGS)),
        (intset_members, intset(1, 2, 3)),
    ],
    ids=["listpack", "ziplist", "zipmap", "intset"],
)
def test_any_bytes_are_elements_or_an_error(taker: Taker, good: bytes) -> None:
    rng = random.Random(5)
    for length in range(len(good)):
        with pytest.raises(ValueError):
            taker(good[:length])
    for _ in range(20_000):
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice(
                (0, 1, 127, 128, 192, 224, 240, 254, 255, rng.randrange(256))
            )
        with contextlib.suppress(ValueError):
            assert sum(map(len, taker(bytes(damaged)))) <= 20 * len(good)


@given(st.binary(max_size=60))
def test_arbitrary_bytes(data: bytes) -> None:
    for taker in (listpack_elements, ziplist_elements, zipmap_elements, intset_members):
        with contextlib.suppress(ValueError):
            taker(data)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (HASH + text(b"k") + b"\x02" + text(b"a") * 4, "Duplicate element b'a' in key 'k' of DB 0"),
        (SET + text(b"k") + b"\x02" + text(b"a") * 2, "Duplicate element b'a' in key 'k' of DB 0"),
        (SET + text(b"k") + b"\x02" + text(b"7") + b"\xc0\x07", "Duplicate element b'7' in key 'k' of DB 0"),
        (LISTPACK + text(b"k") + string(listpack(b"a", 1, b"a", 2)), "Duplicate element"),
        (LISTPACK + text(b"k") + string(listpack(b"a", 1, b"b")), "a field without value"),
        (ZIPMAP + text(b"k") + string(zipmap(b"a", b"1", b"a", b"2")), "Duplicate element"),
        (INTSET + text(b"k") + string(intset(1, 1)), "an intset that is not in order"),
        (INTSET + text(b"k") + string(intset(2, 1)), "an intset that is not in order"),
        (INTSET + text(b"k") + string(intset(2, width=4)[:-1]), "does not hold as many integers as it claims"),
        (SET + text(b"k") + b"\x81\0\0\0\x10\0\0\0\0" + text(b"a"), "Short read"),
        (HASH + text(b"k") + b"\x80\xff\xff\xff\xff" + text(b"a") * 20, "Short read"),
        (QUICKLIST_2 + text(b"k") + b"\1\3" + string(listpack(b"a")), "of the unknown kind 3"),
        (QUICKLIST_2 + text(b"k") + b"\1\0" + string(listpack(b"a")), "of the unknown kind 0"),
        (QUICKLIST_2 + text(b"k") + b"\1\1" + text(b""), "of the plain kind and empty"),
        (QUICKLIST_2 + text(b"k") + b"\1\2" + string(b"plain"), "a listpack whose length is not"),
        (QUICKLIST + text(b"k") + b"\2" + string(ziplist(b"a")) + string(listpack(b"a")), "a ziplist whose length is"),
        (QUICKLIST + text(b"k") + b"\x80\xff\xff\xff\xff" + string(ziplist(b"a")), "Short read"),
        (LIST + text(b"k") + b"\x01" + text(b"a") + LIST + text(b"k") + b"\x01" + text(b"b"), "duplicated key"),
        (SET + text(b"k") + b"\x01" + text(b"a") + SET + text(b"k") + b"\x01" + text(b"b"), "duplicated key"),
        (pair(b"k", b"v") + HASH + text(b"k") + b"\x01" + text(b"a") * 2, "duplicated key"),
    ],
)
def test_what_is_wrong_is_told(record: bytes, reason: str) -> None:
    for load in (in_keyspace, read):
        if reason != "duplicated key" or load is in_keyspace:
            with pytest.raises(RdbError, match=reason):
                load(rdb(record))


def test_duplicates_among_many() -> None:
    members = [b"%d" % number for number in range(5000)]
    for again in (b"5", b"40", b"600", b"4999"):
        record = SET + text(b"k") + rdb_format.encode_length(5001) + b"".join(map(text, [*members, again]))
        with pytest.raises(RdbError, match="Duplicate element"):
            in_keyspace(rdb(record))


def test_collections_without_elements_are_left_out() -> None:
    record = SET + text(b"a") + b"\0" + HASH + text(b"b") + b"\0" + LISTPACK + text(b"c") + string(listpack())
    record += LIST + text(b"d") + b"\0" + QUICKLIST + text(b"e") + b"\0" + LIST_ZIPLIST + text(b"f") + string(ziplist())
    record += QUICKLIST_2 + text(b"g") + b"\2" + 2 * (PACKED_NODE + string(listpack()))
    assert read(rdb(record + pair(b"k", b"v"))).records == [Record(0, b"k", b"v", 0)]


def test_expired_collections_are_read_over() -> None:
    body = b"".join(EXPIRETIME_MS + struct.pack("<q", 5) + record for record, _, _ in FORMS)
    found = read(rdb(body + pair(b"k", b"v")))
    assert found.records == [Record(0, b"k", b"v", 0)]
    assert (found.keys_loaded, found.keys_expired) == (1, len(FORMS))


def test_a_large_hash_is_loaded_in_many_steps() -> None:
    rng = random.Random(1)
    fields = {b"field:%d" % number: rng.randbytes(rng.randrange(300)) for number in range(20_000)}
    body = HASH + text(b"k") + rdb_format.encode_length(len(fields))
    for field, value in fields.items():
        body += string(field) + string(value)
    assert in_keyspace(rdb(body), step_bytes=5000) == [Record(0, b"k", fields, 0)]  # type: ignore[arg-type]


def test_a_large_list_is_loaded_in_many_steps() -> None:
    rng = random.Random(1)
    elements = [b"%d," % number * rng.randrange(30) for number in range(20_000)]
    plain = LIST + text(b"k") + rdb_format.encode_length(len(elements)) + b"".join(map(string, elements))
    nodes = [PACKED_NODE + string(listpack(*elements[start : start + 80])) for start in range(0, 20_000, 80)]
    quicklist = QUICKLIST_2 + text(b"k") + rdb_format.encode_length(len(nodes)) + b"".join(nodes)
    for body in (plain, quicklist):
        assert in_keyspace(rdb(body), step_bytes=5000) == [Record(0, b"k", elements, 0)]  # type: ignore[arg-type]

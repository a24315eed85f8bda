"""The reader: every form of what it accepts, and an RdbError with its place for all else."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from pathlib import Path

import lzf
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minikv.errors import RdbError
from minikv.keyspace.database import Keyspace
from minikv.keyspace.sorted_set import SortedSet
from minikv.rdb import format as rdb_format
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from minikv.rdb.target import RecordTarget
from tests.rdb.rdb_files import (
    AUX,
    EOF,
    EXPIRETIME,
    EXPIRETIME_MS,
    RESIZEDB,
    SELECTDB,
    STRING,
    Record,
    crc,
    open_bytes,
    pair,
    plain,
    rdb,
    read,
    read_fd,
)

KB = 1 << 10
MB = 1 << 20


def value_of(encoded: bytes) -> bytes:
    """The value that a string in this wire form stands for."""
    (record,) = read(rdb(STRING + plain(b"k") + encoded)).records
    return record.value


def compressed(text: bytes) -> bytes:
    packed = lzf.compress(text)
    assert packed is not None
    return b"\xc3" + rdb_format.encode_length(len(packed)) + rdb_format.encode_length(len(text)) + packed


# -- what is accepted


def test_a_file_without_keys_is_an_empty_data_set() -> None:
    assert read(rdb(b"")) == ([], {}, 0, 0)


@pytest.mark.parametrize("version", range(1, 13))
def test_versions_1_to_12_are_read(version: int) -> None:
    assert read(rdb(pair(b"k", b"v"), version)).records == [Record(0, b"k", b"v", 0)]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"\xc0\x00", b"0"),
        (b"\xc0\x7f", b"127"),
        (b"\xc0\x80", b"-128"),
        (b"\xc1\xff\x7f", b"32767"),
        (b"\xc1\x00\x80", b"-32768"),
        (b"\xc2\xff\xff\xff\x7f", b"2147483647"),
        (b"\xc2\x00\x00\x00\x80", b"-2147483648"),
        (compressed(b"abc" * 100), b"abc" * 100),
        (compressed(b"\0" * 70_000), b"\0" * 70_000),
    ],
)
def test_special_encodings_stand_for_their_text(encoded: bytes, expected: bytes) -> None:
    assert value_of(encoded) == expected


@pytest.mark.parametrize("encoded", [b"\xc0\xf9", compressed(b"key" * 50), plain(b""), plain(b"k" * 300)])
def test_keys_have_every_encoding_too(encoded: bytes) -> None:
    (record,) = read(rdb(STRING + encoded + plain(b"v"))).records
    assert record.key in (b"-7", b"key" * 50, b"", b"k" * 300)


@pytest.mark.parametrize(
    "length",
    [b"\x03", b"\x40\x03", b"\x80\0\0\0\x03", b"\x81\0\0\0\0\0\0\0\x03"],
    ids=["6 bits", "14 bits", "32 bits", "64 bits"],
)
def test_lengths_may_be_longer_than_necessary(length: bytes) -> None:
    assert value_of(length + b"abc") == b"abc"
    (record,) = read(rdb(STRING + length + b"key" + plain(b"v"))).records
    assert record.key == b"key"


@pytest.mark.parametrize("size", [63, 64, 16383, 16384, 64 * KB - 1, 64 * KB, MB - 1, MB, MB + 1, 5 * MB])
def test_values_of_all_sizes_arrive_whole(size: int) -> None:
    value = random.Random(size).randbytes(size)
    body = STRING + plain(b"k") + rdb_format.encode_string(value) + pair(b"after", b"it")
    found = read(rdb(body), step_bytes=100_000)
    assert [record.key for record in found.records] == [b"k", b"after"]
    assert found.records[0].value == value


def test_a_key_may_be_longer_than_the_buffer() -> None:
    key, value = random.Random(1).randbytes(3 * MB), random.Random(2).randbytes(2 * MB)
    body = STRING + rdb_format.encode_string(key) + rdb_format.encode_string(value)
    assert read(rdb(body + pair(b"after", b"it"))).records == [Record(0, key, value, 0), Record(0, b"after", b"it", 0)]


def test_a_compressed_string_may_be_longer_than_the_buffer() -> None:
    rng = random.Random(3)
    text = b"".join(
        rng.choice((b"all work", b"and no", b"play")) + b"%d" % rng.randrange(10**6) for _ in range(300_000)
    )
    assert len(compressed(text)) > MB
    assert value_of(compressed(text)) == text


def test_times_in_seconds_and_milliseconds() -> None:
    body = EXPIRETIME + struct.pack("<i", 5) + pair(b"s", b"1")
    body += EXPIRETIME_MS + struct.pack("<q", 6007) + pair(b"ms", b"2") + pair(b"none", b"3")
    assert read(rdb(body)).records == [
        Record(0, b"s", b"1", 5000),
        Record(0, b"ms", b"2", 6007),
        Record(0, b"none", b"3", 0),
    ]


@pytest.mark.parametrize("size", [10, 3 * MB])
def test_a_key_that_has_expired_is_dropped_and_counted(size: int) -> None:
    expired = EXPIRETIME_MS + struct.pack("<q", 999) + STRING + plain(b"old") + rdb_format.encode_string(b"x" * size)
    alive = EXPIRETIME_MS + struct.pack("<q", 1000) + pair(b"alive", b"y")
    found = read(rdb(expired + alive), now_ms=1000)
    assert found.records == [Record(0, b"alive", b"y", 1000)]
    assert (found.keys_loaded, found.keys_expired) == (1, 1)


def test_a_time_of_minus_one_is_none() -> None:
    found = read(rdb(EXPIRETIME_MS + struct.pack("<q", -1) + pair(b"k", b"v")))
    assert [(record.key, record.expire_at_ms) for record in found.records] == [(b"k", 0)]


@pytest.mark.parametrize("at_ms", [0, -2, -(2**63)])
def test_a_time_at_or_before_1970_has_passed(at_ms: int) -> None:
    found = read(rdb(EXPIRETIME_MS + struct.pack("<q", at_ms) + pair(b"k", b"v")))
    assert (found.records, found.keys_expired) == ([], 1)


def test_databases_may_come_in_any_order_and_twice() -> None:
    body = pair(b"a", b"0") + SELECTDB + b"\x0f" + pair(b"a", b"15") + SELECTDB + b"\x00" + pair(b"b", b"0")
    assert read(rdb(body + SELECTDB + b"\x03")).records == [
        Record(0, b"a", b"0", 0),
        Record(15, b"a", b"15", 0),
        Record(0, b"b", b"0", 0),
    ]


def test_hints_are_read_and_change_nothing() -> None:
    body = RESIZEDB + b"\x81" + b"\xff" * 8 + b"\x01"  # a size that nobody may believe
    body += b"\xf4\x01\x02\x03"  # SLOT_INFO
    body += b"\xf9\x05" + pair(b"lfu", b"1") + b"\xf8\x40\x99" + pair(b"lru", b"2")
    assert [record.key for record in read(rdb(body)).records] == [b"lfu", b"lru"]


def test_aux_fields_are_told_whatever_they_are() -> None:
    body = AUX + plain(b"redis-ver") + plain(b"7.0.15") + AUX + plain(b"ctime") + b"\xc2\x01\x02\x03\x04"
    body += AUX + plain(b"nobody-knows") + compressed(b"x" * 200)
    assert read(rdb(body)).aux == {b"redis-ver": b"7.0.15", b"ctime": b"67305985", b"nobody-knows": b"x" * 200}


def test_a_checksum_of_zero_means_that_there_is_none() -> None:
    assert read(rdb(pair(b"k", b"v"), checksum=bytes(8))).records == [Record(0, b"k", b"v", 0)]


def test_a_wrong_checksum_passes_if_it_is_not_to_be_verified() -> None:
    assert read(rdb(pair(b"k", b"v"), checksum=b"\1" * 8), verify=False).records == [Record(0, b"k", b"v", 0)]


@pytest.mark.parametrize("step_bytes", [1, 7, 1000, 1 << 16])
def test_slices_of_any_size_give_the_same(step_bytes: int) -> None:
    data = sample_file()
    assert read(data, step_bytes=step_bytes) == read(data)


def test_a_slice_can_end_after_a_number_of_keys() -> None:
    with open_bytes(rdb(b"".join(pair(b"%d" % i, b"v") for i in range(10)))) as fd:
        reader = RdbReader(fd, RecordTarget(lambda *record: None), 16, 0)
        assert reader.step(1 << 20, max_keys=3)
        assert reader.keys_loaded == 3
        while reader.step(1 << 20, max_keys=3):
            pass
        assert reader.keys_loaded == 10


# -- what is refused


@pytest.mark.parametrize(
    ("body", "reason", "offset"),
    [
        (b"\x22" + plain(b"k"), "Unknown RDB type 34", 9),
        (b"\xf1", "Unknown RDB type 241", 9),
        (b"\x06" + plain(b"a key"), "The type module (pre-GA) (6) of key 'a key' in DB 0 is not supported", 9),
        (
            SELECTDB + b"\x04\x06" + plain(b"s"),
            "The type module (pre-GA) (6) of key 's' in DB 4 is not supported",
            11,
        ),
        (STRING + b"\x82", "Unknown length encoding 130", 10),
        (STRING + b"\xc4", "Unknown string encoding 4", 10),
        (SELECTDB + b"\xc0\x01", "A string's encoding where a length is expected", 10),
        (pair(b"k", b"1") + SELECTDB + b"\1" + pair(b"k", b"2") + pair(b"k", b"3"), "duplicated key 'k' in DB 1", 21),
    ],
)
def test_what_is_not_understood_stops_the_load(body: bytes, reason: str, offset: int) -> None:
    with pytest.raises(RdbError) as caught:
        read_unique(rdb(body))
    assert reason in caught.value.reason
    assert caught.value.offset == offset


def read_unique(data: bytes) -> None:
    """Read into a keyspace, which knows its keys."""
    keyspace = Keyspace(16, 64 * MB)
    with open_bytes(data) as fd:
        reader = RdbReader(fd, EngineTarget(keyspace), 16, 0)
        try:
            while reader.step(1 << 20):
                pass
        finally:
            keyspace.check()


def test_more_databases_than_the_server_has() -> None:
    data = rdb(SELECTDB + b"\x05" + pair(b"k", b"v"))
    assert read(data, databases=6).keys_loaded == 1
    with pytest.raises(RdbError, match="configured to handle more than 5 databases: it holds database 5"):
        read(data, databases=5)


@pytest.mark.parametrize("data", [b"REDIX0010\xff", b"VALKEX080\xff", b"redis0010\xff", b"PK\3\4" + bytes(20)])
def test_another_signature(data: bytes) -> None:
    with pytest.raises(RdbError, match="Wrong signature trying to load DB from file") as caught:
        read(data)
    assert caught.value.offset == 0


@pytest.mark.parametrize("magic", [b"VCS\1\1\0\1", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"])
def test_a_compressed_file_is_named(magic: bytes) -> None:
    with pytest.raises(RdbError, match="it is compressed and must be unpacked"):
        read(magic + bytes(20))


@pytest.mark.parametrize("version", [b"0000", b"0016", b"0081", b"9999", b"1.0 ", b"-001", b"+010", b" 010"])
def test_another_version(version: bytes) -> None:
    with pytest.raises(RdbError, match=r"Can't handle RDB format version"):
        read(rdb(b"", version))


def test_a_wrong_checksum_names_both() -> None:
    data = rdb(pair(b"k", b"v"), checksum=struct.pack("<Q", 0xABC))
    right = struct.unpack("<Q", crc(data[:-8]))[0]
    with pytest.raises(RdbError) as caught:
        read(data)
    assert (
        caught.value.reason == f"Wrong RDB checksum expected: (abc) but got ({right:x}): RDB CRC error. Aborting now."
    )


@pytest.mark.parametrize(
    ("data", "verify"),
    [
        (rdb(pair(b"k", b"v"), 4), True),
        (rdb(pair(b"k", b"v"), checksum=bytes(8)), True),
        (rdb(pair(b"k", b"v")), False),
    ],
)
def test_bytes_after_an_end_that_no_checksum_proves(data: bytes, verify: bool) -> None:
    with pytest.raises(RdbError, match="3 bytes follow the end of the data"):
        read(data + b"abc", verify=verify)


@pytest.mark.parametrize("trailing", [1, 40, 3 << 20])
def test_bytes_after_a_proved_end_are_left_alone(trailing: int) -> None:
    target = RecordTarget(lambda *record: None)
    with open_bytes(rdb(pair(b"k", b"v")) + bytes(trailing)) as fd:
        reader = RdbReader(fd, target, 16, 0)
        while reader.step(1 << 20):
            pass
    assert reader.keys_loaded == 1
    assert reader.remarks == [f"{trailing} bytes follow the end of the data; they are left alone"]


@pytest.mark.parametrize(
    "packed",
    [
        b"\xc3\x03\x50\x00\xff\xff\xff",  # a reference before the beginning
        b"\xc3\x03\x05\x02abc",  # ends too early
        b"\xc3\x04\x02\x02abc",  # holds more than it says
        b"\xc3\x04\x00\x02abc",  # nothing
        b"\xc3\x00\x05",
        b"\xc3\x04\x81\xff\xff\xff\xff\xff\xff\xff\xff\x02abc",  # claims all the memory in the world
        b"\xc3\x81\xff\xff\xff\xff\xff\xff\xff\xff\x05\x02abc",
    ],
)
def test_a_bad_compressed_string(packed: bytes) -> None:
    with pytest.raises(RdbError, match=r"LZF|Short read"):
        read(rdb(STRING + plain(b"k") + packed))


# -- everything that can happen to a file


def sample_file() -> bytes:
    """A small file with every form in it."""
    body = AUX + plain(b"redis-ver") + plain(b"7.0.15") + AUX + plain(b"used-mem") + b"\xc2\x01\x02\x03\x04"
    body += SELECTDB + b"\0" + RESIZEDB + b"\x04\x02" + pair(b"plain", b"value") + pair(b"", b"")
    body += EXPIRETIME_MS + struct.pack("<q", 99_999) + b"\xf9\x07" + pair(b"timed", b"x" * 100)
    body += EXPIRETIME + struct.pack("<i", 99) + b"\xf8\x05" + STRING + b"\xc0\x07" + compressed(b"abc" * 40)
    body += EXPIRETIME_MS + struct.pack("<q", 10) + pair(b"expired", b"long ago")
    body += SELECTDB + b"\x0c" + STRING + compressed(b"key" * 20) + b"\xc1\x01\x80"
    body += STRING + b"\x80\0\0\0\x03big" + b"\x81\0\0\0\0\0\x01\x11\x70" + b"y" * 70_000
    return rdb(body)


def test_a_file_cut_at_every_byte_is_refused() -> None:
    data = sample_file()
    cuts = [*range(len(data) - 70_000 + 20), *range(len(data) - 70_000 + 20, len(data) - 40, 997)]
    for length in [*cuts, *range(len(data) - 40, len(data))]:
        with pytest.raises(RdbError) as caught:
            read(data[:length])
        assert 0 <= caught.value.offset <= length, length


def test_a_file_with_any_byte_flipped_is_refused() -> None:
    data = bytearray(sample_file())
    places = [
        *range(len(data) - 70_010),
        *range(len(data) - 70_010, len(data) - 20, 1009),
        *range(len(data) - 20, len(data)),
    ]
    for place in places:
        for mask in (0x01, 0x80, 0xFF):
            data[place] ^= mask
            with pytest.raises(RdbError) as caught:
                read(bytes(data))
            assert 0 <= caught.value.offset <= len(data), place
            data[place] ^= mask


@given(st.binary(max_size=300), st.integers(1, 12), st.booleans())
@example(b"\xfc", 10, True)
@example(EOF, 10, True)
def test_any_bytes_are_a_data_set_or_an_error(body: bytes, version: int, framed: bool) -> None:
    data = rdb(body, version) if framed else b"REDIS%04d" % version + body
    try:
        read(data)
    except RdbError as error:
        assert 0 <= error.offset <= len(data)


@given(st.data())
def test_damage_without_a_checksum_is_a_data_set_or_an_error(data: st.DataObject) -> None:
    """With the checksum out of the way, damage reaches all of the parser."""
    damaged = bytearray(sample_file()[:-70_020])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(9, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(damaged), verify=False)
    except RdbError as error:
        assert 0 <= error.offset <= len(damaged)


@pytest.mark.parametrize(
    "claim", [b"\x80\xff\xff\xff\xff", b"\x81\x7f" + b"\xff" * 7, b"\x81" + b"\xff" * 8, b"\x80\x40\0\0\0"]
)
@pytest.mark.parametrize(
    "prefix", [STRING, STRING + b"\1k", AUX, AUX + b"\1k", STRING + b"\1k\xc3", STRING + b"\1k\xc3\5"]
)
def test_a_claimed_length_reserves_nothing(prefix: bytes, claim: bytes) -> None:
    tracemalloc.start()
    before = resident_bytes()
    with pytest.raises(RdbError):
        read(rdb(prefix + claim + b"x" * 100))
    assert tracemalloc.get_traced_memory()[1] < 4 * MB
    tracemalloc.stop()
    assert resident_bytes() - before < 8 * MB


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(rdb(b"".join(STRING + plain(b"%d" % i) + plain(b"x" * 10_000) for i in range(500))))
    fd = os.open(path, os.O_RDONLY)
    reader = RdbReader(fd, RecordTarget(lambda *record: None), 16, 0)
    reader.step(100_000)
    os.truncate(path, 2 * MB)
    with pytest.raises(RdbError, match="Short read"):
        while reader.step(100_000):
            pass
    os.close(fd)


def test_a_directory_is_no_dump(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="Is a directory"):
        read_fd(fd)
    os.close(fd)


def old_score(score: bytes) -> bytes:
    return bytes([len(score)]) + score


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (old_score(b"1.5"), 1.5),
        (old_score(b"-3"), -3.0),
        (b"\xfe", float("inf")),
        (b"\xff", float("-inf")),
        (b"\xfd", None),
        (old_score(b"x"), None),
        (old_score(b"1_0"), 1.0),
        (old_score(b" 0x10"), 16.0),
        (old_score(b"nan"), None),
        (old_score(b""), None),
    ],
)
def test_scores_of_old_files(score: bytes, expected: float | None) -> None:
    keyspace = Keyspace(1, 64 * MB)
    with open_bytes(rdb(b"\x03" + plain(b"z") + b"\x01" + plain(b"member") + score)) as fd:
        reader = RdbReader(fd, EngineTarget(keyspace), 16, 0)
        if expected is None:
            with pytest.raises(RdbError, match="not a number"):
                reader.step(1 << 20)
            return
        while reader.step(1 << 20):
            pass
    sorted_set = SortedSet.at(keyspace.databases[0], b"z")
    assert sorted_set is not None
    assert sorted_set.by_rank(0, 2) == [(b"member", expected)]
    keyspace.check()

"""Single keys of a history, and what layers did: by index, without loading."""

from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path

import pytest

from minikv.errors import HistoryError
from minikv.history.chain import History
from minikv.history.index import SUFFIX, Indexer, find, hash_of
from minikv.history.looking import Change, changes_between, find_in, make_index, operations_back, value_at
from minikv.history.operations import OP_DEL, OP_DELTA, OP_RECORD, OP_REM
from minikv.rdb import format as rdb_format
from tests.history.history_files import FIRST_MS, SAMPLE_STATES, Writer, db, delta, hash_record, sample, set_record
from tests.rdb.rdb_files import crc, pair, rdb, read


def value(history: History, id: int, database: int, key: bytes) -> object:
    record = value_at(history, history.point(id), database, key)
    if record is None:
        return None
    (found,) = read(rdb(record, 12), now_ms=-(2**63)).records
    assert found.key == key
    return found.value


def test_every_key_of_every_point_is_found_without_loading(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    keys = {place for state in SAMPLE_STATES.values() for place in state}
    for id, state in SAMPLE_STATES.items():
        for database, key in keys:
            assert value(history, id, database, key) == state.get((database, key)), (id, database, key)


def test_a_key_that_never_was_is_none(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    assert value(History.open(str(tmp_path / "h")), 4, 0, b"never") is None


def test_only_files_with_the_key_are_read(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    assert value(history, 4, 1, b"one") == b"1"  # makes the indexes of 4 and 3
    (tmp_path / "h" / writer.points[3].file).unlink()
    assert value(history, 4, 1, b"one") == b"1"
    with pytest.raises(HistoryError, match=r"layer-0000000004.rdb: it is missing"):
        value(history, 4, 0, b"b")


def test_the_expiry_is_part_of_the_record(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    record = value_at(history, history.point(4), 0, b"new")
    assert record is not None
    assert record[:9] == bytes((rdb_format.OP_EXPIRETIME_MS,)) + (2 * FIRST_MS).to_bytes(8, "little")


def test_log_follows_a_key_through_databases(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    found = list(operations_back(history, history.point(3), 3, b"h"))
    assert [[(each.point.id, each.database, each.op) for each in group] for group in found] == [
        [(2, 0, OP_REM), (2, 0, OP_DELTA)],
        [(1, 0, OP_RECORD)],
    ]
    assert [[each.op for each in group] for group in operations_back(history, history.point(2), 0, b"b")] == [
        [OP_DEL],
        [OP_RECORD],
    ]
    assert list(operations_back(history, history.point(4), 3, b"h")) == []


def test_changes_between_points(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    changes, emptied = changes_between(history, history.point(1), history.point(2))
    assert changes == {
        (0, b"b"): Change(-1),
        (0, b"never"): Change(-1),
        (0, b"a"): Change(rdb_format.TYPE_STRING),
        (0, b"l"): Change(rdb_format.TYPE_LIST),
        (0, b"h"): Change(rdb_format.TYPE_HASH, False),
        (0, b"s"): Change(rdb_format.TYPE_SET, False),
        (0, b"z"): Change(rdb_format.TYPE_ZSET_2, False),
    }
    assert emptied == set()
    changes, emptied = changes_between(history, history.point(1), history.point(4))
    assert emptied == {3}
    assert set(changes) == {(1, b"one"), (0, b"new"), (0, b"b")}
    changes, emptied = changes_between(history, history.point(4), history.point(4))
    assert (changes, emptied) == ({}, set())
    with pytest.raises(HistoryError, match="no layers lead from"):
        changes_between(history, history.point(4), history.point(2))


def test_keys_of_a_file_that_is_large_enough_to_be_read_ahead(tmp_path: Path) -> None:
    """From 8 MiB on; in the page cache or not."""
    writer = Writer(tmp_path / "h")
    body = b"".join(pair(b"%d" % number, b"%d" % number * 1000) for number in range(3000))
    writer.base(db(0) + body + set_record(b"s", [b"1"]))
    writer.layer(db(0) + body + delta(set_record(b"s", [b"2"])) + delta(set_record(b"s", [b"3"])))
    history = History.open(str(tmp_path / "h"))
    for id in (1, 2):
        assert history.point(id).nbytes > 8 << 20
        assert value(history, id, 0, b"2999") == b"2999" * 1000
        assert value(history, id, 0, b"0") == b"0" * 1000
    assert value(history, 2, 0, b"s") == {b"1", b"2", b"3"}


# The index


def test_an_index_of_many_blocks_finds_each_key_and_no_other(tmp_path: Path, rng: random.Random) -> None:
    keys = list({b"key:%d" % rng.getrandbits(40) for _ in range(5_000)})
    writer = Writer(tmp_path / "h")
    writer.base(b"".join(db(number) + b"".join(pair(key, b"v") for key in keys[number::2]) for number in (0, 1)))
    history = History.open(str(tmp_path / "h"))
    point = history.point(1)
    data = (tmp_path / "h" / point.file).read_bytes()
    for number in (0, 1):
        for key in keys[number::2][::7]:
            origins, (here, elsewhere) = find_in(history, point, (hash_of(number, key), hash_of(1 - number, key)))
            assert origins == {}
            assert elsewhere == []
            ((place, _),) = here
            assert place & 3 == OP_RECORD
            assert data[place >> 2 :].startswith(b"\0" + bytes((len(key),)) + key)
    index = (tmp_path / "h" / (point.file + SUFFIX)).read_bytes()
    assert len(index) > 20 * 4096


def test_operations_of_one_key_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "h")
    writer.base()
    writer.layer(
        db(0) + b"".join(delta(set_record(b"s", [b"%d" % n])) for n in range(700)), origins={5: None, 7: 8, 8: 7}
    )
    history = History.open(str(tmp_path / "h"))
    origins, (places,) = find_in(history, history.point(2), (hash_of(0, b"s"),))
    assert origins == {5: None, 7: 8, 8: 7}
    assert len(places) == 700
    assert places == sorted(places)
    assert value(history, 2, 0, b"s") == {b"%d" % n for n in range(700)}


def test_a_damaged_or_stale_index_is_made_again(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    point = history.point(2)
    good = make_index(history, point)
    path = tmp_path / "h" / (point.file + SUFFIX)
    hashes = (hash_of(0, b"a"), hash_of(0, b"b"), hash_of(0, b"nothing"))
    expected = find_in(history, point, hashes)
    assert path.read_bytes() == good
    for place in [*range(200), *range(len(good) - 4096, len(good), 97)]:
        path.write_bytes(good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :])
        assert find_in(history, point, hashes) == expected
    for length in [*range(0, 300, 7), len(good) - 1]:
        path.write_bytes(good[:length])
        assert find_in(history, point, hashes) == expected
    path.write_bytes(make_index(history, history.point(3)))
    assert find_in(history, point, hashes) == expected
    assert path.read_bytes() == good
    assert writer.points[1] == point


def test_what_has_changed_since_the_index_was_made_is_damage(tmp_path: Path) -> None:
    """Every byte of a layer, one after another: each key is what it was, or the file is named."""
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    point = history.point(2)
    keys = {key for (number, key) in SAMPLE_STATES[2] if number == 0} | {b"b"}
    expected = {key: value(history, 2, 0, key) for key in keys}
    path = Path(history.path(point))
    data = path.read_bytes()
    found: dict[bytes, int] = dict.fromkeys(keys, 0)
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes((data[place] ^ 4,)) + data[place + 1 :])
        for key in keys:
            try:
                assert value(history, 2, 0, key) == expected[key], (place, key)
            except HistoryError as error:
                assert str(error).startswith("point 2: layer-0000000002.rdb: "), place
                assert error.previous == 1
                found[key] += 1
    assert all(found.values())
    for length in range(len(data)):
        path.write_bytes(data[:length])
        for key in keys:
            with contextlib.suppress(HistoryError):
                assert value(history, 2, 0, key) == expected[key]


def test_a_history_that_may_only_be_read_needs_no_index_file(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    (tmp_path / "h" / (history.point(2).file + SUFFIX)).mkdir()  # nothing can be written there
    assert value(history, 2, 0, b"a") == b"2"


def test_an_index_of_nothing() -> None:
    assert find("/dev/null", 1, 2, (3,)) is None
    assert find("/no/such/file", 1, 2, (3,)) is None
    assert Indexer().encoded(1, b"", {}).startswith(b"MKVIDX02")


def test_keys_with_equal_hashes_are_told_apart(tmp_path: Path) -> None:
    """As an attacker could choose them: here the index says that another key is at the place."""
    writer = Writer(tmp_path / "h")
    writer.base(db(0) + pair(b"other", b"1") + hash_record(b"h", {b"f": b"v"}))
    history = History.open(str(tmp_path / "h"))
    assert value(history, 1, 0, b"other") == b"1"
    path = tmp_path / "h" / (history.point(1).file + SUFFIX)
    data = bytearray(path.read_bytes())
    start = len(data) - 4096
    words = memoryview(data)[start:].cast("Q")
    for number in range(2):
        if words[3 * number] == hash_of(0, b"other"):
            words[3 * number] = hash_of(0, b"wanted")
    order = sorted(tuple(words[3 * number : 3 * number + 3]) for number in range(2))
    words[:6] = memoryview(struct.pack("6Q", *(word for entry in order for word in entry))).cast("Q")
    words[510] = int.from_bytes(crc(bytes(data[start : start + 4080])), "little")
    head = memoryview(data)[:start].cast("Q")
    head[len(head) - 2] = words[0]
    head[len(head) - 1] = int.from_bytes(crc(bytes(data[: start - 8])), "little")
    path.write_bytes(data)
    assert value(history, 1, 0, b"wanted") is None
    assert value(history, 1, 0, b"h") == {b"f": b"v"}

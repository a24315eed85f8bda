"""Loading a point: what each operation does, and what is refused."""

from __future__ import annotations

import os
import random
import resource
from dataclasses import replace
from pathlib import Path

import lzf
import pytest

from minikv.errors import HistoryError
from minikv.history import manifest
from minikv.history.chain import History
from minikv.history.loading import HistoryReader, load_history
from minikv.keyspace import Keyspace
from minikv.rdb.format import encode_length
from tests.history.history_files import (
    FIRST_MS,
    SAMPLE_STATES,
    Writer,
    db,
    deleted,
    delta,
    expiring,
    hash_record,
    random_history,
    removed,
    sample,
    set_record,
    sorted_set_record,
    timed_hash_record,
)
from tests.history.states import State, expiries_of, state_of
from tests.rdb.rdb_files import pair, plain

LONG_AGO_MS = 1000


def load(directory: Path, up_to: int | None = None, databases: int = 16) -> Keyspace:
    keyspace = Keyspace(databases, 1 << 30)
    load_history(str(directory), keyspace, up_to)
    keyspace.check()
    return keyspace


def loaded(directory: Path, up_to: int | None = None) -> State:
    return state_of(load(directory, up_to))


@pytest.mark.parametrize("id", SAMPLE_STATES)
def test_each_point_is_what_its_operations_make_of_the_one_before(tmp_path: Path, id: int) -> None:
    sample(tmp_path / "h")
    assert loaded(tmp_path / "h", id) == SAMPLE_STATES[id]


def test_the_newest_point_is_loaded_with_its_functions(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    history.layer(functions=[b"#!lua name=last\n"])
    found = load_history(str(tmp_path / "h"), Keyspace(16, 1 << 30))
    assert found.point == history.points[-1]
    assert found.functions == (b"\x10#!lua name=last\n",)
    assert found.keys == 4


def test_an_empty_history_loads_nothing(tmp_path: Path) -> None:
    Writer(tmp_path / "h")
    assert load_history(str(tmp_path / "h"), Keyspace(16, 1 << 30)).point is None


def test_slices_are_as_good_as_one_piece(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    keyspace = Keyspace(16, 1 << 30)
    reader = HistoryReader(history, history.point(4), keyspace)
    steps, offsets = 1, [0]
    while reader.step(1, 1):
        steps += 1
        offsets.append(reader.offset)
    assert steps > 20
    assert offsets == sorted(offsets)
    assert reader.offset == reader.size
    assert state_of(keyspace) == SAMPLE_STATES[4]


def test_a_base_in_between_is_where_loading_begins(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    history.base(db(0) + pair(b"only", b"1"), db_keys=1)
    history.layer(db(0) + pair(b"more", b"2"), db_keys=2)
    (tmp_path / "h" / history.points[0].file).unlink()
    assert loaded(tmp_path / "h") == {(0, b"only"): b"1", (0, b"more"): b"2"}


# From the newest file back, or in order of time


def test_random_histories_load_either_way(tmp_path: Path, rng: random.Random) -> None:
    for run in range(10):
        directory = tmp_path / str(run)
        expected = random_history(directory, rng, 12)
        assert {id: loaded(directory, id) for id in expected} == expected
        without_keys(directory)
        assert loaded(directory) == expected[12]


def without_keys(directory: Path) -> None:
    """Nobody knows how many keys the points have."""
    manifest.update(str(directory), lambda found: [replace(point, db_keys=None) for point in found.points])


def test_strings_of_all_encodings_are_passed_over(tmp_path: Path, rng: random.Random) -> None:
    # Most records are so far from the file's end that the next key is looked up before its turn.
    texts = [b"%d" % n * n for n in range(1, 200, 3)] + [b"long" * 1000 * n for n in (1, 10, 100)]
    forms = [encode_length(len(text)) + text for text in texts]
    forms += [
        b"\xc3" + encode_length(len(packed)) + encode_length(len(text)) + packed for text, packed in packable(texts)
    ]
    texts += [text for text, _ in packable(texts)]
    forms += [b"\xc0\x05", b"\xc1\x00\x01", b"\xc2\x00\x00\x01\x00"]
    texts += [b"5", b"256", b"65536"]
    history = Writer(tmp_path / "h")
    now: dict[tuple[int, bytes], object] = {}
    for number in range(4):
        body = b""
        for key in [b"%d" % n for n in rng.sample(range(300), 200)] + [b"long" * 50]:
            place = rng.randrange(len(texts))
            now[0, key] = texts[place]
            record = b"\0" + plain(key) + forms[place]
            body += expiring(2 * FIRST_MS, record) if rng.random() < 0.3 else record
        history.add("layer" if number else "base", db(0) + body, db_keys=len(now))
    assert loaded(tmp_path / "h") == now


def packable(texts: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(text, packed) for text in texts if (packed := lzf.compress(text))]


def test_operations_on_one_key_apply_in_the_order_of_the_file(tmp_path: Path) -> None:
    one, two = pair(b"k", b"1"), hash_record(b"k", {b"f": b"2"})
    change = delta(hash_record(b"k", {b"g": b"3"}))
    for number, (operations, expected) in enumerate(
        [
            (one + deleted(b"k"), None),
            (deleted(b"k") + one, b"1"),
            (one + two, {b"f": b"2"}),
            (two + one, b"1"),
            (two + change, {b"f": b"2", b"g": b"3"}),
            (change + two, {b"f": b"2"}),
            (deleted(b"k") + change, {b"g": b"3"}),
            (change + deleted(b"k"), None),
            (change + change, {b"f": b"base", b"g": b"3"}),
            (removed(b"k", b"f") + change, {b"g": b"3"}),
        ]
    ):
        history = Writer(tmp_path / str(number))
        history.base(db(0) + hash_record(b"k", {b"f": b"base"}) + pair(b"other", b"1"), db_keys=2)
        for layer in (operations, pair(b"other", b"2")):
            history.layer(db(0) + layer, db_keys=1 if expected is None else 2)
        wanted = {(0, b"other"): b"2"} | ({} if expected is None else {(0, b"k"): expected})
        assert loaded(history.directory) == wanted
        without_keys(history.directory)
        assert loaded(history.directory) == wanted


def test_a_wrong_number_of_keys_is_blamed_on_the_layer_that_makes_it(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    history.layer(db(0) + pair(b"k", b"v"), db_keys=9)
    history.layer(db(0) + pair(b"l", b"v"), db_keys=10)
    with pytest.raises(HistoryError, match="with it there are 5 keys, not 9") as caught:
        load(tmp_path / "h")
    assert caught.value.previous == 4


def test_wrong_numbers_before_a_right_one_do_no_harm(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    history.layer(db(0) + pair(b"k", b"v"), db_keys=9)
    history.layer(db(0) + pair(b"l", b"v"), db_keys=6)
    assert len(loaded(tmp_path / "h")) == 6


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    history = Writer(tmp_path / "h")
    history.base(db(0) + hash_record(b"h", {b"0": b"v"}), db_keys=1)
    for number in range(1, 40):
        history.layer(db(0) + delta(hash_record(b"h", {b"%d" % number: b"v"}), number + 1), db_keys=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 40, hard))
    try:
        assert loaded(tmp_path / "h") == {(0, b"h"): {b"%d" % number: b"v" for number in range(40)}}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Expiry


def test_a_delta_joins_a_key_that_has_expired_meanwhile(tmp_path: Path) -> None:
    history = Writer(tmp_path / "h")
    history.base(db(0) + expiring(LONG_AGO_MS, hash_record(b"h", {b"f": b"1", b"g": b"1"})), db_keys=1)
    history.layer(db(0) + delta(hash_record(b"h", {b"g": b"2"}), 2), db_keys=1)
    assert loaded(tmp_path / "h") == {(0, b"h"): {b"f": b"1", b"g": b"2"}}


def test_expired_keys_are_loaded_and_expire_later(tmp_path: Path) -> None:
    history = Writer(tmp_path / "h")
    history.base(db(0) + expiring(LONG_AGO_MS, pair(b"k", b"v")), db_keys=1)
    keyspace = load(tmp_path / "h")
    assert expiries_of(keyspace) == {(0, b"k"): LONG_AGO_MS}
    assert keyspace.databases[0].get(b"k") is None


def test_a_new_expiry_in_the_past_removes_what_was_there(tmp_path: Path) -> None:
    history = Writer(tmp_path / "h")
    history.base(db(0) + pair(b"k", b"v"), db_keys=1)
    history.layer(db(0) + expiring(LONG_AGO_MS, pair(b"k", b"w")), db_keys=1)
    assert load(tmp_path / "h").databases[0].get(b"k") is None


def test_the_expiry_of_a_delta_replaces_the_keys(tmp_path: Path) -> None:
    later = 2 * FIRST_MS
    history = Writer(tmp_path / "h")
    history.base(db(0) + expiring(later, set_record(b"s", [b"a"])) + set_record(b"t", [b"a"]), db_keys=2)
    history.layer(db(0) + delta(set_record(b"s", []), 1) + delta(expiring(later + 1, set_record(b"t", [])), 1))
    keyspace = load(tmp_path / "h")
    assert state_of(keyspace) == {(0, b"s"): {b"a"}, (0, b"t"): {b"a"}}
    assert expiries_of(keyspace) == {(0, b"t"): later + 1}


def test_fields_that_expire_come_and_go(tmp_path: Path) -> None:
    later = 2 * FIRST_MS
    history = Writer(tmp_path / "h")
    history.base(
        db(0)
        + timed_hash_record(b"h", {b"a": (b"1", LONG_AGO_MS), b"b": (b"1", later)})
        + hash_record(b"plain", {b"a": b"1"}),
        version=12,
        db_keys=2,
    )
    history.layer(
        db(0)
        + delta(timed_hash_record(b"h", {b"b": (b"2", 0), b"c": (b"2", later + 5)}), 3)
        + delta(timed_hash_record(b"plain", {b"b": (b"2", later)}), 2),
        version=12,
    )
    history.layer(db(0) + removed(b"h", b"a"), version=12)
    assert loaded(tmp_path / "h", 2) == {
        (0, b"h"): {b"a": (b"1", LONG_AGO_MS), b"b": b"2", b"c": (b"2", later + 5)},
        (0, b"plain"): {b"a": b"1", b"b": (b"2", later)},
    }
    assert loaded(tmp_path / "h") == {
        (0, b"h"): {b"b": b"2", b"c": (b"2", later + 5)},
        (0, b"plain"): {b"a": b"1", b"b": (b"2", later)},
    }


# Large collections, and random operations


def test_deltas_and_removals_of_spread_collections(tmp_path: Path) -> None:
    fields = {b"%032d" % n: b"x" * 64 for n in range(20_000)}
    members = [b"%0100d" % n for n in range(15_000)]
    scores = {b"%0100d" % n: float(n) for n in range(15_000)}
    history = Writer(tmp_path / "h")
    history.base(db(0) + hash_record(b"h", fields) + set_record(b"s", members) + sorted_set_record(b"z", scores))
    new = {b"%032d" % n: b"new" for n in range(19_990, 20_010)}
    history.layer(
        db(0)
        + removed(b"h", b"%032d" % 7)
        + removed(b"s", members[7])
        + removed(b"z", members[7])
        + delta(hash_record(b"h", new), 20_009)
        + delta(set_record(b"s", [b"m"]), 15_000)
        + delta(sorted_set_record(b"z", {b"m": 1.5, members[8]: -1.0}), 15_000),
        db_keys=3,
    )
    found = loaded(tmp_path / "h")
    fields |= new
    del fields[b"%032d" % 7], scores[members[7]]
    assert found[0, b"h"] == fields
    assert found[0, b"s"] == {*members, b"m"} - {members[7]}
    assert found[0, b"z"] == scores | {b"m": 1.5, members[8]: -1.0}


def test_random_origins_move_databases_at_once(tmp_path: Path, rng: random.Random) -> None:
    for run in range(20):
        history = Writer(tmp_path / str(run))
        state: dict[int, bytes] = {number: b"%d" % number for number in range(6)}
        history.base(b"".join(db(number) + pair(b"k", value) for number, value in state.items()))
        for _ in range(3):
            wanted = list(range(6))
            rng.shuffle(wanted)
            origins = {
                number: None if rng.random() < 0.2 else origin
                for number, origin in enumerate(wanted)
                if number != origin or rng.random() < 0.2
            }
            before = dict(state)
            state = {}
            for number in range(6):
                origin = origins.get(number, number)
                if origin is not None and origin in before:
                    state[number] = before[origin]
            history.layer(origins=origins, db_keys=len(state))
        assert loaded(tmp_path / str(run)) == {(number, b"k"): value for number, value in state.items()}


# What is refused


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        (delta(pair(b"k", b"v")), "A string cannot be a delta"),
        (delta(b"\x01" + set_record(b"l", [b"a"])[1:]), "Only hashes, sets, sorted sets and streams have deltas"),
        (delta(set_record(b"h", [b"a"])), "of another type"),
        (delta(hash_record(b"h", {b"a": b"2"}), 2), "has 1 elements after its delta, not 2"),
        (delta(hash_record(b"n", {b"a": b"2"}), 2), "has 1 elements after its delta, not 2"),
        (delta(b""), "minikv-delta without a record"),
        (delta(b"") + deleted(b"h"), "minikv-delta without a record"),
        (delta(b"") + db(1), "minikv-delta without a record"),
        (b"\xfa\x0cminikv-delta\x03ten" + hash_record(b"h", {}), "minikv-delta is not a number"),
        (b"\xfa\x0aminikv-rem\x03abc", "minikv-rem is too short"),
        (b"\xfa\x0aminikv-rem\x05\xff\0\0\0k", "minikv-rem is too short"),
    ],
)
def test_a_wrong_operation_is_refused(tmp_path: Path, operations: bytes, reason: str) -> None:
    history = Writer(tmp_path / "h")
    history.base(db(0) + hash_record(b"h", {b"a": b"1"}))
    history.layer(db(0) + operations)
    with pytest.raises(HistoryError, match=reason) as caught:
        load(tmp_path / "h")
    assert str(caught.value).startswith("point 2: layer-0000000002.rdb: ")
    assert caught.value.previous == 1


def test_another_number_of_keys_is_refused(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    history.layer(db(0) + pair(b"k", b"v"), db_keys=9)
    with pytest.raises(HistoryError, match="with it there are 5 keys, not 9") as caught:
        load(tmp_path / "h")
    assert caught.value.previous == 4


def test_databases_beyond_the_servers_are_refused(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    with pytest.raises(HistoryError, match="databases beyond 2"):
        load(tmp_path / "h", databases=2)
    history.layer(origins={20: 1, 1: None})
    with pytest.raises(HistoryError, match="databases beyond 16"):
        load(tmp_path / "h")


def test_two_databases_of_one_origin_are_refused(tmp_path: Path) -> None:
    for origins in ({1: 0, 2: 0}, {1: 0}):  # database 0 keeps what it has
        history = Writer(tmp_path / f"{len(origins)}")
        history.base()
        history.layer(origins=origins)
        with pytest.raises(HistoryError, match="two databases have one origin"):
            load(history.directory)

"""Histories put together by hand, for tests of those who read them."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from minikv.errors import MinikvError
from minikv.history import manifest
from minikv.history.chain import read_operations
from minikv.history.head import Head
from minikv.history.manifest import BASE, LAYER, Manifest, Point
from minikv.rdb import format as rdb_format
from tests.rdb.rdb_files import EXPIRETIME_MS, SELECTDB, pair, plain, rdb

HASH, SET, ZSET_2, LIST, HASH_TTL = b"\x04", b"\x02", b"\x05", b"\x01", b"\x18"
FIRST_MS = 1_700_000_000_000  # of the first point; the others follow, an hour apart
HOUR_MS = 3600_000


def db(number: int) -> bytes:
    return SELECTDB + bytes((number,))


def aux(name: str, value: bytes) -> bytes:
    return b"\xfa" + plain(name.encode()) + plain(value)


def deleted(key: bytes) -> bytes:
    return aux("minikv-del", key)


def removed(key: bytes, element: bytes) -> bytes:
    return aux("minikv-rem", struct.pack("<I", len(key)) + key + element)


def delta(record: bytes, count: int | None = None) -> bytes:
    return aux("minikv-delta", b"" if count is None else b"%d" % count) + record


def hash_record(key: bytes, fields: Mapping[bytes, bytes], kind: bytes = HASH) -> bytes:
    body = b"".join(plain(field) + plain(value) for field, value in fields.items())
    return kind + plain(key) + rdb_format.encode_length(len(fields)) + body


def timed_hash_record(key: bytes, fields: Mapping[bytes, tuple[bytes, int]]) -> bytes:
    """Fields with their expiry in Unix ms, 0 for none."""
    base = min((at_ms for _, at_ms in fields.values() if at_ms), default=1)
    body = b"".join(
        rdb_format.encode_length(at_ms - base + 1 if at_ms else 0) + plain(field) + plain(value)
        for field, (value, at_ms) in fields.items()
    )
    return HASH_TTL + plain(key) + struct.pack("<Q", base) + rdb_format.encode_length(len(fields)) + body


def set_record(key: bytes, members: Iterable[bytes]) -> bytes:
    members = list(members)
    return SET + plain(key) + rdb_format.encode_length(len(members)) + b"".join(map(plain, members))


def list_record(key: bytes, elements: Iterable[bytes]) -> bytes:
    return LIST + set_record(key, elements)[1:]


def sorted_set_record(key: bytes, scores: Mapping[bytes, float]) -> bytes:
    body = b"".join(plain(member) + struct.pack("<d", score) for member, score in scores.items())
    return ZSET_2 + plain(key) + rdb_format.encode_length(len(scores)) + body


def expiring(at_ms: int, record: bytes) -> bytes:
    return EXPIRETIME_MS + struct.pack("<q", at_ms) + record


class Writer:
    """A history that grows, in an empty directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest: Manifest = manifest.create(str(directory), "0123456789abcdef" * 2)
        self.points: list[Point] = []

    def base(self, body: bytes = b"", **options: object) -> Point:
        return self.add(BASE, body, **options)  # type: ignore[arg-type]

    def layer(self, body: bytes = b"", **options: object) -> Point:
        return self.add(LAYER, body, **options)  # type: ignore[arg-type]

    def add(
        self,
        kind: str,
        body: bytes,
        *,
        origins: Mapping[int, int | None] | None = None,
        db_keys: int | None = None,
        functions: Iterable[bytes] = (),
        version: int = 10,
        listed: bool = True,
    ) -> Point:
        """Write a file and, if listed, its line."""
        last = self.points[-1] if self.points else None
        id = last.id + 1 if last else 1
        parent, parent_digest = (last.id, last.digest) if last else (0, 0)
        head = Head(self.manifest.history, id, parent, parent_digest, origins or {}).encoded()
        libraries = b"".join(b"\xf5" + plain(code) for code in functions)
        keys = 0
        data = rdb(head + libraries + body, version)
        file = f"{kind}-{id:010}.rdb"
        (self.directory / file).write_bytes(data)
        digest = int.from_bytes(data[-8:], "little")
        with contextlib.suppress(MinikvError):  # some files are wrong on purpose
            keys = read_operations(str(self.directory / file)).records
        point = Point(
            id=id,
            parent=parent,
            kind=kind,
            file=file,
            time_ms=FIRST_MS + (id - 1) * HOUR_MS,
            digest=digest,
            parent_digest=parent_digest,
            nbytes=len(data),
            keys=keys,
            db_keys=db_keys,
            known_as=digest,
        )
        self.points.append(point)
        if listed:
            manifest.append(str(self.directory), point)
        return point


def sample(directory: Path, points: int = 4) -> Writer:
    """A history with every kind of operation; what its points hold is in SAMPLE_STATES."""
    history = Writer(directory)
    for add in SAMPLE[:points]:
        add(history)
    return history


def sample_base(history: Writer) -> Point:
    return history.base(
        db(0)
        + pair(b"a", b"1")
        + pair(b"b", b"1")
        + hash_record(b"h", {b"f": b"1", b"g": b"1"})
        + set_record(b"s", [b"x", b"y"])
        + sorted_set_record(b"z", {b"m": 1.0, b"n": 2.0})
        + db(3)
        + pair(b"three", b"3"),
        db_keys=6,
        functions=[b"#!lua name=one\nredis.register_function('f', function() return 1 end)"],
    )


def sample_layer_2(history: Writer) -> Point:
    return history.layer(
        db(0)
        + deleted(b"b")
        + deleted(b"never")
        + removed(b"h", b"f")
        + removed(b"z", b"m")
        + pair(b"a", b"2")
        + list_record(b"l", [b"e", b"e"])
        + delta(hash_record(b"h", {b"g": b"2", b"i": b"2"}), 2)
        + delta(set_record(b"s", [b"w"]), 3)
        + delta(sorted_set_record(b"z", {b"n": 3.5, b"o": 4.0})),
        db_keys=6,
    )


def sample_layer_3(history: Writer) -> Point:
    return history.layer(
        db(3) + pair(b"a", b"in 3") + db(1) + pair(b"one", b"1"),
        origins={0: 3, 3: 0},
        db_keys=7,
        functions=[b"#!lua name=two\nredis.register_function('g', function() return 2 end)"],
    )


def sample_layer_4(history: Writer) -> Point:
    return history.layer(
        db(0) + delta(expiring(FIRST_MS * 2, hash_record(b"new", {b"f": b"1"})), 1) + pair(b"b", b"back"),
        origins={3: None},
        db_keys=4,
    )


SAMPLE = (sample_base, sample_layer_2, sample_layer_3, sample_layer_4)

TWO = {
    (0, b"a"): b"2",
    (0, b"h"): {b"g": b"2", b"i": b"2"},
    (0, b"s"): {b"w", b"x", b"y"},
    (0, b"z"): {b"n": 3.5, b"o": 4.0},
    (0, b"l"): [b"e", b"e"],
    (3, b"three"): b"3",
}
SAMPLE_STATES: dict[int, dict[tuple[int, bytes], object]] = {
    1: {
        (0, b"a"): b"1",
        (0, b"b"): b"1",
        (0, b"h"): {b"f": b"1", b"g": b"1"},
        (0, b"s"): {b"x", b"y"},
        (0, b"z"): {b"m": 1.0, b"n": 2.0},
        (3, b"three"): b"3",
    },
    2: TWO,
    3: {(3 - number, key): value for (number, key), value in TWO.items()} | {(3, b"a"): b"in 3", (1, b"one"): b"1"},
    4: {(0, b"three"): b"3", (0, b"new"): {b"f": b"1"}, (0, b"b"): b"back", (1, b"one"): b"1"},
}


def random_history(
    directory: Path, rng: random.Random, points: int, *, timed: bool = True
) -> dict[int, dict[tuple[int, bytes], object]]:
    """A history of random operations; what each point holds. timed: fields of hashes expire."""
    writer = Writer(directory)
    now: dict[int, dict[bytes, object]] = {number: {} for number in range(3)}
    writer.base()
    expected: dict[int, dict[tuple[int, bytes], object]] = {1: {}}
    for id in range(2, points + 1):
        origins: dict[int, int | None] = {}
        if rng.random() < 0.3:
            order = list(range(3))
            rng.shuffle(order)
            origins = {n: None if rng.random() < 0.2 else order[n] for n in range(3)}
            now = {n: {} if (o := origins[n]) is None else now[o] for n in range(3)}
        body = b""
        for number in range(3):
            body += db(number) + b"".join(random_operations(now[number], rng, timed))
        writer.layer(body, origins=origins, db_keys=sum(map(len, now.values())))
        expected[id] = {(n, key): copied(value) for n in range(3) for key, value in now[n].items()}
    return expected


def copied(value: object) -> object:
    return type(value)(value) if isinstance(value, (dict, set, list)) else value  # type: ignore[call-arg]


def random_operations(state: dict[bytes, object], rng: random.Random, timed: bool) -> Iterator[bytes]:
    for key in rng.sample([b"%d" % n for n in range(6)], rng.randrange(4)):
        value = state.get(key)
        choice = rng.random()
        number = b"%d" % rng.randrange(1000)
        if choice < 0.2 and value is not None:
            del state[key]
            yield deleted(key)
        elif choice < 0.4 and isinstance(value, (dict, set)) and len(value) > 1:
            name = rng.choice(sorted(value))
            if isinstance(value, set):
                value.discard(name)
            else:
                del value[name]
            yield removed(key, name)
        elif choice < 0.7 and isinstance(value, set):
            value.add(number)
            yield delta(set_record(key, [number]), len(value))
        elif choice < 0.7 and isinstance(value, dict):
            if any(isinstance(score, float) for score in value.values()):
                value[number] = 7.0
                yield delta(sorted_set_record(key, {number: 7.0}), len(value))
            elif timed and rng.random() < 0.5:
                value[number] = (b"t", 2 * FIRST_MS)
                yield delta(timed_hash_record(key, {number: (b"t", 2 * FIRST_MS)}), len(value))
            else:
                value[number] = b"w"
                yield delta(hash_record(key, {number: b"w"}))
        else:
            made, record = rng.choice(
                [
                    (number, pair(key, number)),
                    ([number, number], list_record(key, [number, number])),
                    ({number, b"m"}, set_record(key, [number, b"m"])),
                    ({number: b"v", b"f": b"v"}, hash_record(key, {number: b"v", b"f": b"v"})),
                    ({number: 1.0, b"z": 2.0}, sorted_set_record(key, {number: 1.0, b"z": 2.0})),
                ]
            )
            state[key] = made
            yield record

# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""HyperLogLogs: strings that count the different elements added to them, with an error of about 0.8 percent.

A view is made for one command and forgotten. A dense sketch is changed in place, unless a snapshot's child needs
it; a sparse one is copied, changed and stored again, since nearly every change moves its bytes.
"""

import contextlib

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.record import (
    ENCODING_RAW,
    TYPE_STRING,
    Bytes,
    read_length,
    record_expire_at,
    record_payload,
    skip_expiry,
)
from cython.cimports.minikv.keyspace.database import Database, key_of
from cython.cimports.minikv.keyspace.events import EVENT_NEW, EVENT_STRING
from cython.cimports.minikv.keyspace.registers import (
    DENSE,
    REGISTER_VALUES,
    REGISTERS,
    SKETCH_CARDINALITY,
    SKETCH_FORM,
    SKETCH_OUT_OF_DATE,
    SKETCH_START,
    count_values,
    dense_get,
    dense_raise,
    estimate,
    is_sketch,
    make_dense,
    place_of,
    raise_all,
    raise_register,
    read_run,
)

from minikv.errors import ArenaFull, CommandError, WrongTypeError
from minikv.keyspace.registers import EMPTY_SKETCH

NOT_A_SKETCH = "WRONGTYPE Key is not a valid HyperLogLog string value."
BROKEN = "INVALIDOBJ Corrupted HLL object detected"


class HyperLogLog:
    """A view of one key's HyperLogLog; make it with HyperLogLog.at."""

    @staticmethod
    def at(database: Database, key: bytes, stats: cython.bint = True) -> HyperLogLog | None:
        """The HyperLogLog of a key. None: there is none. Raises WrongTypeError, or CommandError for another string."""
        view: HyperLogLog = HyperLogLog.__new__(HyperLogLog)
        return view if view.open(database, key, stats) else None

    @staticmethod
    def to_write(database: Database, key: bytes) -> HyperLogLog:
        """The same for a write: the first change creates the key."""
        view: HyperLogLog = HyperLogLog.__new__(HyperLogLog)
        view.open(database, key, False)
        return view

    def open(self, database: Database, key: bytes, stats: cython.bint) -> cython.bint:
        """Look the key up; False if it is not there."""
        length: uint64_t = 0
        data: Bytes
        self.database = database
        self.key = key
        self.slot = database.read(key, cython.address(self.hash_), stats, True)
        if self.slot == cython.NULL:
            return False
        if skip_expiry(database.store.record(self.slot))[0] != TYPE_STRING:
            raise WrongTypeError
        data = self.sketch(cython.address(length))
        if not is_sketch(data, length):
            raise CommandError(NOT_A_SKETCH)
        return True

    # The string

    def sketch(self, length: cython.pointer[uint64_t]) -> Bytes:
        """The string's bytes, good until the next change."""
        return read_length(record_payload(self.database.store.record(self.slot)), length)

    def to_change(self) -> Bytes:
        """The string's bytes where they may be written; its length stays."""
        length: uint64_t = 0
        data: Bytes = self.sketch(cython.address(length))
        # No byte is written: this moves a record that may not be changed, and lets OBJECT ENCODING say raw.
        self.database.store.write_range(self.slot, 0, data, 0)
        return self.sketch(cython.address(length))

    def copy(self) -> bytearray:
        length: uint64_t = 0
        data: Bytes
        if self.slot == cython.NULL:
            return bytearray(EMPTY_SKETCH)
        data = self.sketch(cython.address(length))
        return bytearray(cython.cast(cython.p_char, data)[:length])

    def store(self, sketch: bytearray) -> cython.int:
        """Make this the string; the key keeps its time."""
        store: KeyStore = self.database.store
        length: uint64_t = PyByteArray_GET_SIZE(sketch)
        memcpy(
            store.put_string(
                key_of(self.key, self.hash_),
                self.slot,
                length,
                ENCODING_RAW,
                0 if self.slot == cython.NULL else record_expire_at(store.record(self.slot)),
            ),
            PyByteArray_AS_STRING(sketch),
            length,
        )
        return 0

    def changed(self, changes: int64_t) -> cython.int:
        self.database.keyspace.dirty += changes - 1
        return self.database.changed(self.key)

    def notify(self, event: bytes) -> cython.int:
        """Tell observers what a command has done; before it, that the key is new."""
        if self.slot == cython.NULL:
            self.database.notify(EVENT_NEW, b"new", self.key)
        return self.database.notify(EVENT_STRING, event, self.key)

    def make_raw(self) -> None:
        """Let OBJECT ENCODING say raw, as of every string that a HyperLogLog command might change."""
        length: uint64_t = 0
        payload: Bytes = record_payload(self.database.store.record(self.slot))
        if read_length(payload, cython.address(length)) - payload == 1:
            self.to_change()

    # What it holds

    def is_dense(self) -> bool:
        length: uint64_t = 0
        return self.sketch(cython.address(length))[SKETCH_FORM] == DENSE

    def cardinality(self) -> int:
        """The number of different elements, kept for the next time."""
        length: uint64_t = 0
        data: Bytes = self.sketch(cython.address(length))
        counts: int64_t[REGISTER_VALUES]
        number: int64_t = 0
        memcpy(cython.address(number), data + SKETCH_CARDINALITY, 8)
        # There may be no room for a second version beside that of a snapshot: then nothing is kept.
        with contextlib.suppress(ArenaFull):
            if number >= 0:
                self.make_raw()
                return number
            if not count_values(counts, data, length):
                raise CommandError(BROKEN)
            number = estimate(counts)
            memcpy(self.to_change() + SKETCH_CARDINALITY, cython.address(number), 8)
            self.changed(1)
        return number

    def merge_into(self, values: bytearray) -> None:
        """Take the higher one of each register; `values` holds one byte for each."""
        length: uint64_t = 0
        data: Bytes = self.sketch(cython.address(length))
        if not raise_all(cython.cast(Bytes, PyByteArray_AS_STRING(values)), data, length):
            raise CommandError(BROKEN)

    def registers(self) -> list[int]:
        """The values of a dense sketch."""
        length: uint64_t = 0
        data: Bytes = self.sketch(cython.address(length)) + SKETCH_START
        return [dense_get(data, index) for index in range(REGISTERS)]

    def runs(self) -> list[tuple[int, int, int]]:
        """The runs of a sparse sketch: bytes, registers, their value."""
        size: uint64_t = 0
        at: Bytes = self.sketch(cython.address(size))
        end: Bytes = at + size
        length: uint32_t = 0
        value: uint32_t = 0
        width: uint32_t
        found: list = []
        at += SKETCH_START
        while at < end:
            width = read_run(at, end, cython.address(length), cython.address(value))
            found.append((width, length, value))
            at += width
        return found

    # Changes

    def add(self, elements: tuple, most: uint64_t) -> int:
        """Add elements; returns how many of them changed something, the birth of the key included.

        most: bytes beyond which a sparse sketch becomes dense.
        """
        if self.slot != cython.NULL:
            self.make_raw()
            if self.is_dense():
                return self.raise_dense(elements)
        return self.raise_sparse(elements, most)

    def raise_dense(self, elements: tuple) -> cython.int:
        length: uint64_t = 0
        data: Bytes = self.sketch(cython.address(length))
        index: uint32_t
        value: uint32_t = 0
        changes: cython.int = 0
        for element in elements:
            index = place_of(element, cython.address(value))
            if dense_get(data + SKETCH_START, index) < value:
                if not changes:
                    data = self.to_change()
                    data[SKETCH_OUT_OF_DATE] |= 0x80
                dense_raise(data + SKETCH_START, index, value)
                changes += 1
        if changes:
            self.changed(changes)
        return changes

    def raise_sparse(self, elements: tuple, most: uint64_t) -> cython.int:
        sketch: bytearray = self.copy()
        index: uint32_t
        value: uint32_t = 0
        raised: cython.int = 0
        changes: cython.int = self.slot == cython.NULL
        for element in elements:
            index = place_of(element, cython.address(value))
            raised = raise_register(sketch, index, value, most)
            if raised < 0:
                break
            changes += raised
        if changes:
            sketch[SKETCH_OUT_OF_DATE] |= 0x80
            self.store(sketch)
            self.changed(changes)
        if raised < 0:
            raise CommandError(BROKEN)
        return changes

    def raise_to(self, values: bytearray, dense: cython.bint, most: uint64_t) -> None:
        """Raise every register to a value; dense: whatever the form was. One change."""
        sketch: bytearray = self.copy()
        index: uint32_t
        if dense and sketch[SKETCH_FORM] != DENSE and not make_dense(sketch):
            raise CommandError(BROKEN)
        for index in range(REGISTERS):
            if values[index]:
                raise_register(sketch, index, values[index], most)
        sketch[SKETCH_OUT_OF_DATE] |= 0x80
        self.store(sketch)
        self.changed(1)

    def to_dense(self) -> bool:
        """Make it dense; False if it was."""
        sketch: bytearray
        if self.is_dense():
            return False
        sketch = self.copy()
        if not make_dense(sketch):
            raise CommandError(BROKEN)
        self.store(sketch)
        self.changed(1)
        return True


def cardinality_of(values: bytearray) -> int:
    """The number of different elements that registers, one byte each, have counted."""
    counts: int64_t[REGISTER_VALUES]
    index: uint32_t
    memset(counts, 0, cython.sizeof(counts))
    for index in range(REGISTERS):
        counts[values[index]] += 1
    return estimate(counts)


def no_values() -> bytearray:
    """Registers, one byte for each, as of a HyperLogLog without elements."""
    return bytearray(REGISTERS)

# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
"""The operations of a base or layer without their values: what they do to which key, and where they are in the file.

    [ EXPIRETIME_MS ] type key value               the key is replaced
    AUX minikv-del key                             it goes
    AUX minikv-rem key element                     an element goes
    AUX minikv-delta count, a record               elements come, or change

A base has records only. The file is read and checked as by a loader; nothing is kept.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.engine.record import bytes_at
from cython.cimports.minikv.history.operations import OP_DEL, OP_DELTA, OP_RECORD, OP_REM
from cython.cimports.minikv.rdb.pointers import Bytes, ConstBytes
from cython.cimports.minikv.rdb.target import DIRECT_LEN, LoadTarget

from minikv.errors import RdbError

KEY_LEN_SIZE = cython.declare(uint64_t, 4)  # bytes of a key's length, in minikv-rem


class Operations(LoadTarget):
    """Finds the operations; what is done with them is a matter of `operation`. Attach the reader before its first step.

    records: of both kinds. removed: keys, by minikv-del. functions: libraries, as in the file.
    """

    def __init__(self):
        self.functions = []
        self._scratch_of = PyBytes_FromStringAndSize(cython.NULL, DIRECT_LEN)
        self._scratch = PyBytes_AS_STRING(self._scratch_of)
        self.in_pieces = True
        self.takes_empty = True

    def attach(self, reader) -> None:
        self._reader = reader

    def on_aux(self, name: bytes, value: bytes) -> None:
        """An AUX field of the file."""
        key_len: uint64_t
        at: ConstBytes = cython.cast(Bytes, PyBytes_AS_STRING(value))
        length: uint64_t = PyBytes_GET_SIZE(value)
        if not name.startswith(b"minikv-"):
            return
        if self._delta:
            raise RdbError("minikv-delta without a record", self.record_at)
        if name == b"minikv-del":
            self.removed += 1
            self.operation(OP_DEL, at, length, self.record_at, self._reader.offset)
        elif name == b"minikv-rem":
            key_len = int.from_bytes(value[:KEY_LEN_SIZE], "little")
            if KEY_LEN_SIZE + key_len > length:
                raise RdbError("minikv-rem is too short for its key", self.record_at)
            self.operation(OP_REM, at + KEY_LEN_SIZE, key_len, self.record_at, self._reader.offset)
        elif name == b"minikv-delta":
            self._delta = True
            self._delta_at = self.record_at

    def select(self, number: uint64_t) -> cython.int:
        if self._delta:
            raise RdbError("minikv-delta without a record", self.record_at)
        self._number = number
        self.databases = max(self.databases, number + 1)
        return 0

    def string(self, key: ConstBytes, key_len: uint64_t, value_len: uint64_t, expire_at_ms: int64_t) -> cython.int:
        self.room = cython.cast(cython.pointer[uint8_t], self._scratch)
        self.begin(key, key_len)
        return 1

    def collection(self, key: ConstBytes, key_len: uint64_t, kind: cython.int, expire_at_ms: int64_t) -> cython.int:
        self.begin(key, key_len)
        return 1

    def begin(self, key: ConstBytes, key_len: uint64_t) -> cython.int:
        """A record begins."""
        return self.operation(OP_RECORD, key, key_len, self.record_at, 0)

    def operation(
        self, op: cython.int, key: ConstBytes, key_len: uint64_t, begin: uint64_t, end: uint64_t
    ) -> cython.int:
        """An operation; of a record it is called at its beginning, without its end."""
        return 0

    def function(self, code: bytes, encoded: bytes) -> cython.int:
        self.functions.append(encoded)
        return 0

    def record_end(self, offset: uint64_t) -> cython.int:
        self.records += 1
        self._delta = False
        return 0

    def end(self) -> cython.int:
        if self._delta:
            raise RdbError("minikv-delta without a record", self.record_at)
        return 0


class OperationList(Operations):
    """Passes each to receive(op, database, key, begin, end, rdb_type, expire_at_ms).

    begin: offset in the file of its first byte, of a delta of its AUX field's. expire_at_ms: None for none. Of removals
    rdb_type is -1.
    """

    def __init__(self, receive):
        Operations.__init__(self)
        self._receive = receive

    def operation(
        self, op: cython.int, key: ConstBytes, key_len: uint64_t, begin: uint64_t, end: uint64_t
    ) -> cython.int:
        if op == OP_RECORD:
            self._key = bytes_at(key, key_len)
        else:
            self._receive(op, self._number, bytes_at(key, key_len), begin, end, -1, None)
        return 0

    def record_end(self, offset: uint64_t) -> cython.int:
        op: cython.int = OP_DELTA if self._delta else OP_RECORD
        begin: uint64_t = self._delta_at if self._delta else self.record_at
        expire_at_ms = self.expiry_ms if self.has_expiry else None
        Operations.record_end(self, offset)
        self._receive(op, self._number, self._key, begin, offset, self.record_type, expire_at_ms)
        return 0

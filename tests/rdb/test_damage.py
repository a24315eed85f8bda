"""Small files of every type and encoding, cut at every byte and with every bit flipped: an error with its offset, or
other data, and an engine that is still whole."""

from __future__ import annotations

import contextlib

import pytest

from minikv.errors import RdbError
from minikv.keyspace import Keyspace
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from tests.rdb.rdb_files import EXPIRETIME_MS, SELECTDB, open_bytes, plain, rdb
from tests.rdb.test_foreign import FILES as FOREIGN
from tests.rdb.test_newer import FILES as NEWER
from tests.rdb.test_payload import VALUES

LATER = EXPIRETIME_MS + b"\x00\x00\x00\x00\x00\x00\x00\x10"
FILES = (
    FOREIGN
    | NEWER
    | {name: rdb(SELECTDB + b"\1" + LATER + value[:1] + plain(b"k") + value[1:]) for name, value in VALUES.items()}
)


@pytest.fixture(scope="module")
def keyspace() -> Keyspace:
    return Keyspace(2, 256 << 20, huge_pages=False)


def load(keyspace: Keyspace, data: bytes, verify: bool = True) -> None:
    """Into the empty keyspace; an error leaves nothing there."""
    keyspace.flush_all()
    with open_bytes(data) as fd:
        reader = RdbReader(fd, EngineTarget(keyspace), 2, 1000, verify)
        try:
            while reader.step(1 << 20):
                pass
        except RdbError as error:
            assert 0 <= error.offset <= len(data)
            keyspace.flush_all()
            raise


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_file_cut_anywhere_is_refused(keyspace: Keyspace, data: bytes) -> None:
    load(keyspace, data)
    for length in range(len(data)):
        for verify in (True, False):
            with pytest.raises(RdbError):
                load(keyspace, data[:length], verify)
    keyspace.check()


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_file_with_any_bit_flipped_is_refused(keyspace: Keyspace, data: bytes) -> None:
    for index in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[index] ^= 1 << bit
            with pytest.raises(RdbError):
                load(keyspace, bytes(damaged))
    keyspace.check()


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_damage_that_no_checksum_tells_is_refused_or_loaded(keyspace: Keyspace, data: bytes) -> None:
    for index in range(len(data) - 8):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[index] ^= 1 << bit
            with contextlib.suppress(RdbError):
                load(keyspace, bytes(damaged), verify=False)
        keyspace.check()

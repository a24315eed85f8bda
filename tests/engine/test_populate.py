"""Memory made ready for a load: no more than it can use, nothing of it kept, and no byte of the data touched."""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
import threading
from pathlib import Path

import pytest

from minikv.keyspace.database import Keyspace

MB = 1 << 20
MAP_FIXED_NOREPLACE = 0x100000  # mmap(2) flag, Linux
KERNEL = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])

pytestmark = pytest.mark.skipif(KERNEL < (5, 14), reason="MADV_POPULATE_WRITE came with Linux 5.14")


def private_bytes() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kilobytes) << 10 for kilobytes in re.findall(r"^Private_Dirty:\s+(\d+) kB", text, re.M))


@pytest.mark.parametrize("huge_pages", [False, True])
def test_memory_is_there_before_the_load_and_gone_after_one_that_did_not_need_it(huge_pages: bool) -> None:
    keyspace = Keyspace(1, 256 * MB, huge_pages)
    before = private_bytes()
    populator = keyspace.populator(20 * MB)
    populator.run()
    assert 15 * MB < private_bytes() - before < 21 * MB
    populator.finish()
    assert private_bytes() - before < MB
    keyspace.check()


def test_thread_waits_for_the_load_and_stops_when_told() -> None:
    keyspace = Keyspace(1, 256 * MB)
    before = private_bytes()
    populator = keyspace.populator(200 * MB)
    thread = threading.Thread(target=populator.run)
    thread.start()
    thread.join(1)
    assert thread.is_alive()
    assert private_bytes() - before < 70 * MB
    populator.stop()
    thread.join(30)
    assert not thread.is_alive()
    populator.finish()
    assert private_bytes() - before < 2 * MB


def test_values_written_meanwhile_are_whole() -> None:
    keyspace = Keyspace(1, 256 * MB)
    database = keyspace.databases[0]
    populator = keyspace.populator(100 * MB)
    thread = threading.Thread(target=populator.run)
    thread.start()
    for number in range(100_000):
        database.set(b"%d" % number, b"%01000d" % number)
    populator.stop()
    thread.join()
    populator.finish()
    keyspace.check()
    assert all(database.get(b"%d" % number) == b"%01000d" % number for number in range(100_000))


def test_full_arena_ends_the_work() -> None:
    keyspace = Keyspace(1, 16 * MB)
    populator = keyspace.populator(1 << 40)
    populator.run()
    populator.finish()
    keyspace.databases[0].set(b"k", b"v")
    keyspace.check()


def test_what_lies_behind_a_full_arena_is_left_alone() -> None:
    keyspace = Keyspace(1, 4 * MB)
    populator = keyspace.populator(1 << 40)
    for number in range(3000):
        keyspace.databases[0].set(b"%d" % number, b"v" * 1000)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    end = keyspace.segment_map().address + 4 * MB
    protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
    if libc.mmap(ctypes.c_void_p(end), ctypes.c_size_t(4096), protection, flags, -1, ctypes.c_long(0)) != end:
        pytest.skip("other memory lies there")
    ctypes.memset(end, 7, 4096)
    populator.run()
    populator.finish()
    assert ctypes.string_at(end, 4096) == b"\7" * 4096
    libc.munmap(ctypes.c_void_p(end), ctypes.c_size_t(4096))


def test_memory_behind_the_arena_is_left_alone() -> None:
    """The segments that the thread leaves to the reader may be the last ones."""
    keyspace = Keyspace(1, 4 * MB, huge_pages=False)
    keyspace.databases[0].set(b"key", b"in the first of two segments")
    populator = keyspace.populator(20 * MB)
    populator.run()
    assert populator.reached == 2
    populator.finish()
    keyspace.check()

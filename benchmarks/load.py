"""How long does a start with a dump take?

Each server writes the same 1,000,000 strings of 1 KB into a dump of its own. Then each is started on its own file and
on the others': time from the start of the process until PING is answered by PONG, and the load time that its log tells.
First with the files in the page cache, which measures the reader and not the disk; then on its own file as the save has
left it (once), and with the cache dropped, beside a bare direct read of the file. Before each start as much memory as
the servers take is used and freed: on a virtual machine, memory that nobody has touched for a while costs the host's
time first, which would be put down to whoever comes after a server that used other pages.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.datasets import DataSet, Filling
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import Server, ServerSpec, in_turns, running

KEYS = 1_000_000
VALUE_LEN = 1024
PAGE_BYTES = 4096
DIRECT_READ_BYTES = 4 << 20
DIRECT_READS = 4  # at a time


def run(options: Options) -> Report:
    report = options.report("load", __doc__)
    measure_all(DataSet(options.scaled(KEYS), VALUE_LEN, options.seed), report, options)
    return report


def measure_all(data: Filling, report: Report, options: Options) -> None:
    """Each server's start on a dump of each, in turns."""
    with contextlib.ExitStack() as stack:
        dumps = {spec: dump_of(spec, data, options, stack, report) for spec in options.servers}
        for turn in range(options.rounds):
            for writer, dump in dumps.items():
                for spec in in_turns(options.servers, turn):
                    measure(spec, writer, dump, data, report, options)
            for spec in in_turns(options.servers, turn):
                measure_cold(spec, dumps[spec], report, options)


def dump_of(
    spec: ServerSpec, data: Filling, options: Options, stack: contextlib.ExitStack, report: Report | None = None
) -> Path:
    """A dump of the data set, written by this server, in the page cache; removed with the stack.

    report: gets the time of a start right after the save.
    """
    kept = options.new_directory(stack) / "dump.rdb"
    with running(spec, parent_dir=options.directory) as server:
        client = server.client()
        data.load(client)
        client.command("SAVE")
        server.dump.rename(kept)
    if report is not None:
        with running(spec, kept, options.directory) as server:
            record_start(server, "its own file just saved", report)
    with kept.open("rb") as file:
        while file.read(1 << 20):
            pass
    return kept


def measure(spec: ServerSpec, writer: ServerSpec, dump: Path, data: Filling, report: Report, options: Options) -> None:
    warm_memory(2 * dump.stat().st_size)
    with running(spec, dump, options.directory) as server:
        source = "its own file" if writer == spec else "another's file" if len(options.servers) > 1 else writer.name
        record_start(server, source, report)
        data.verify(server.client())


def measure_cold(spec: ServerSpec, dump: Path, report: Report, options: Options) -> None:
    """A start on a file that is on the disk only, beside a bare direct read of it."""
    warm_memory(2 * dump.stat().st_size)
    drop_from_cache(dump)
    report.add("bare direct read of the file", "s", spec.name, direct_read_s(dump))
    with running(spec, dump, options.directory) as server:
        record_start(server, "its own file on the disk only", report)


def drop_from_cache(path: Path) -> None:
    """Leave nothing of the file in the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def direct_read_s(path: Path) -> float:
    """Reading the file past the page cache, some large reads at a time."""
    began = time.perf_counter()
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        places = range(0, os.fstat(fd).st_size, DIRECT_READ_BYTES)
        with ThreadPoolExecutor(DIRECT_READS) as pool:
            buffers = threading.local()
            sum(pool.map(lambda place: read_at(fd, place, buffers), places))
    finally:
        os.close(fd)
    return time.perf_counter() - began


def read_at(fd: int, place: int, buffers: threading.local) -> int:
    if not hasattr(buffers, "memory"):
        buffers.memory = mmap.mmap(-1, DIRECT_READ_BYTES)
    return os.preadv(fd, [buffers.memory], place)


def record_start(server: Server, source: str, report: Report) -> None:
    """What a start with a dump took."""
    report.add(f"start until PONG with {source}", "s", server.name, server.ready_s)
    report.add(f"CPU time until then with {source}", "s", server.name, server.ready_cpu_s)
    told = re.search(r"DB loaded from disk: ([0-9.]+) seconds", server.log())
    if told:
        report.add(f"load time of {source} by the log", "s", server.name, float(told[1]))


def warm_memory(nbytes: int) -> None:
    """Use and free memory, in huge pages where the machine has them."""
    with mmap.mmap(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, nbytes, PAGE_BYTES):
            memory[at] = 1

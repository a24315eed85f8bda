"""How long does a start with a dump take?

Each server writes the same 1,000,000 strings of 1 KB into a dump of its own. Then each is started on its own file and
on the others': time from the start of the process until PING is answered by PONG, and the load time that its log tells.
The files are in the page cache: this measures the reader, not the disk. Before each start as much memory as the servers
take is used and freed: on a virtual machine, memory that nobody has touched for a while costs the host's time first,
which would be put down to whoever comes after a server that used other pages.
"""

from __future__ import annotations

import contextlib
import mmap
import re
from pathlib import Path

from benchmarks.datasets import DataSet, Filling
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import Server, ServerSpec, in_turns, running

KEYS = 1_000_000
VALUE_LEN = 1024
PAGE_BYTES = 4096


def run(options: Options) -> Report:
    report = options.report("load", __doc__)
    measure_all(DataSet(options.scaled(KEYS), VALUE_LEN, options.seed), report, options)
    return report


def measure_all(data: Filling, report: Report, options: Options) -> None:
    """Each server's start on a dump of each, in turns."""
    with contextlib.ExitStack() as stack:
        dumps = {spec: dump_of(spec, data, options, stack) for spec in options.servers}
        for turn in range(options.rounds):
            for writer, dump in dumps.items():
                for spec in in_turns(options.servers, turn):
                    measure(spec, writer, dump, data, report, options)


def dump_of(spec: ServerSpec, data: Filling, options: Options, stack: contextlib.ExitStack) -> Path:
    """A dump of the data set, written by this server; removed with the stack."""
    kept = options.new_directory(stack) / "dump.rdb"
    with running(spec, parent_dir=options.directory) as server:
        client = server.client()
        data.load(client)
        client.command("SAVE")
        server.dump.rename(kept)
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

"""The experiments of `mechanisms`: each measures one thing that fork and the kernel's memory do, on bare memory.

`python -m benchmarks.copy_on_write EXPERIMENT [BUDGET]` prints a `Finding` as JSON. Every experiment runs in a fresh
process that has loaded nothing but the standard library, since fork copies the page tables of all that is loaded.
BUDGET is the largest amount of memory in bytes that it may take.

Pages are touched by slices with a stride (`view[::4096] = ...`), one C loop, so that Python's own time does not count.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import itertools
import json
import mmap
import os
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import processes

PAGE = 4096
HUGE = 2 << 20
MB = 1 << 20
REPEATS = 5
MAP_NORESERVE = 0x4000  # mmap(2); Python's mmap has it from 3.13 on
EXCLUSIVE = 1 << 56  # pagemap: the page is mapped here and nowhere else
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")

Point = tuple[float, float]


@dataclass
class Finding:
    """figures: (name, unit, samples). lines: points by name. maps: pages as rows of 0 and 1 by name."""

    figures: list[tuple[str, str, list[float]]] = field(default_factory=list)
    lines: dict[str, list[Point]] = field(default_factory=dict)
    maps: dict[str, list[str]] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, unit: str, samples: list[float]) -> None:
        self.figures.append((name, unit, samples))


class Memory:
    """A private anonymous mapping in pages of 4 KiB, or of 2 MiB where the machine has them."""

    def __init__(self, nbytes: int, huge: bool) -> None:
        self.map = mmap.mmap(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.map.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
        self.view = memoryview(self.map)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *exc: object) -> None:
        self.view.release()
        self.map.close()

    def write(self, stride: int = PAGE) -> float:
        """Write one byte in every so many; microseconds."""
        spread = self.view[::stride]
        return timed_us(lambda: store(spread))

    def read(self, stride: int = PAGE) -> float:
        return timed_us(lambda: bytes(self.view[::stride]))


def store(spread: memoryview) -> None:
    spread[:] = b"\1" * len(spread)


def timed_us(work: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / 1000


@contextlib.contextmanager
def child() -> Iterator[int]:
    """A forked child that shares all of our memory and waits until the end."""
    waits, ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ends)
        os.read(waits, 1)
        os._exit(0)
    os.close(waits)
    try:
        yield pid
    finally:
        os.close(ends)
        os.waitpid(pid, 0)


def fork_us() -> float:
    """The parent's pause by the fork of a child that ends at once."""
    began = time.perf_counter_ns()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    took = (time.perf_counter_ns() - began) / 1000
    os.waitpid(pid, 0)
    return took


def private_dirty() -> int:
    return processes.rollup(os.getpid())["Private_Dirty"]


# -- the experiments


def fork_time(budget: int) -> Finding:
    """How long does fork take for each gigabyte mapped?"""
    found = Finding()
    for name, huge in (("4 KiB pages", False), ("2 MiB pages", True)):
        line: list[Point] = [(0.0, median(fork_us() for _ in range(REPEATS)) / 1000)]
        size = 128 * MB
        while size <= budget:
            with Memory(size, huge) as memory:
                memory.write()
                samples = [fork_us() / 1000 for _ in range(REPEATS)]
            line.append((size / 1e9, median(samples)))
            size *= 2
        found.lines[name] = line
        found.add(f"fork, {name}, {line[-1][0]:.2f} GB", "ms", samples)
        found.add(f"fork per GB, {name}", "ms", [(line[-1][1] - line[0][1]) / line[-1][0]])
    return found


def first_write(budget: int) -> Finding:
    """What does the first write to a page cost, by what the page was before?"""
    found = Finding()
    size = min(budget // 2, 256 * MB)
    for name, huge, stride in (("4 KiB", False, PAGE), ("2 MiB", True, HUGE)):
        costs: dict[str, list[float]] = {}

        def note(what: str, took_us: float, costs: dict[str, list[float]] = costs, pages: int = size // stride) -> None:
            costs.setdefault(what, []).append(took_us / pages)

        for _ in range(REPEATS):
            with Memory(size, huge) as memory:
                note("own page, written before", (memory.write(stride), memory.write(stride))[1])
                with child():
                    note("page shared with a child: copied", memory.write(stride))
                memory.write(stride)
                with child():
                    pass
                note("page shared once, child gone: kept", memory.write(stride))
            with Memory(size, huge) as memory:
                note("untouched page: zeroed", memory.write(stride))
            with Memory(size, huge) as memory:
                memory.read(stride)
                note("page only read so far (zero page)", memory.write(stride))
        for what, samples in costs.items():
            found.add(what, f"us a page of {name}", samples)
    return found


def zeroed(budget: int) -> Finding:
    """What does memory cost that is zeroed by hand, against memory that the kernel zeroes when it is touched?"""
    found = Finding()
    size = min(budget, 512 * MB)

    def clear(memory: Memory) -> object:
        return ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(memory.map)), 0, size)

    for name, work in (
        ("left to the kernel, untouched", lambda memory: None),
        ("left to the kernel, a tenth touched", lambda memory: memory.write(10 * PAGE)),
        ("left to the kernel, all touched", lambda memory: memory.write()),
        ("zeroed by hand, untouched", clear),
        ("zeroed by hand, all touched", lambda memory: (clear(memory), memory.write())),
    ):
        times, sizes = [], []
        for _ in range(REPEATS):
            before = processes.status(os.getpid())["VmRSS"]
            memory = Memory(size, huge=False)
            times.append(timed_us(lambda memory=memory, work=work: work(memory)) / 1000)  # type: ignore[misc]
            sizes.append((processes.status(os.getpid())["VmRSS"] - before) / 1e6)
            with contextlib.suppress(BufferError):  # a C pointer into it may still wait for the garbage collector
                memory.view.release()
                memory.map.close()
            del memory
            gc.collect()
        found.add(f"{size / 1e6:.0f} MB {name}", "ms", times)
        found.add(f"{size / 1e6:.0f} MB {name}", "MB resident", sizes)
    return found


def set_sizes(budget: int) -> Finding:
    """What do resident and proportional set sizes say of memory that processes share?"""
    found = Finding()
    size = min(budget, 256 * MB)
    with Memory(size, huge=False) as memory, contextlib.ExitStack() as stack:
        memory.write()
        pids = [os.getpid()]
        for _ in range(9):
            rollups = [processes.rollup(pid) for pid in pids]
            for name, key in (("sum of RSS", "Rss"), ("sum of Pss", "Pss")):
                total = sum(rollup[key] for rollup in rollups) / 1e6
                found.lines.setdefault(name, []).append((len(pids), total))
            pids.append(stack.enter_context(child()))
    for name, line in found.lines.items():
        found.add(f"{name}, 1 process of {size / 1e6:.0f} MB", "MB", [line[0][1]])
        found.add(f"{name}, with 8 children that share it", "MB", [line[-1][1]])
    return found


def lazy_or_eager(budget: int) -> Finding:
    """From which share of overwritten pages on is copying all at once cheaper than copy-on-write?"""
    found = Finding()
    size = min(budget // 2, 256 * MB)
    for name, huge in (("4 KiB", False), ("2 MiB", True)):
        copies = [copy_all(size, huge) for _ in range(REPEATS)]
        found.add(f"eager: copy {size / 1e6:.0f} MB, {name} pages", "ms", copies)
        lazy = []
        for every in (512, 64, 16, 8, 4, 3, 2, 1):
            lazy.append((100 / every, median(fork_and_write(size, huge, every * PAGE) for _ in range(REPEATS))))
        found.lines[f"lazy: fork, then copies on write, {name} pages"] = lazy
        found.lines[f"eager: all copied at once, {name} pages"] = [(0, median(copies)), (100, median(copies))]
        found.add(f"lazy: fork and all pages overwritten, {name} pages", "ms", [lazy[-1][1]])
        cross = crossing(lazy, median(copies))
        found.add(f"lazy and eager cross at, {name} pages", "% of the pages overwritten", [cross])
    return found


def copy_all(size: int, huge: bool) -> float:
    """Milliseconds to copy so much memory into fresh memory."""
    with Memory(size, huge) as memory, Memory(size, huge) as copy:
        memory.write()
        return timed_us(lambda: copy.view.__setitem__(slice(None), memory.view)) / 1000


def fork_and_write(size: int, huge: bool, stride: int) -> float:
    """Milliseconds to fork, and to write one byte in every `stride` beside the child."""
    with Memory(size, huge) as memory:
        memory.write()
        began = time.perf_counter_ns()
        with child():
            forked = (time.perf_counter_ns() - began) / 1e6
            return forked + memory.write(stride) / 1000


def crossing(line: list[Point], level: float) -> float:
    """Where the line first reaches the level; 100 if it does not."""
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        if y0 < level <= y1:
            return x0 + (x1 - x0) * (level - y0) / (y1 - y0)
    return line[0][0] if line[0][1] >= level else 100.0


def scattered_writes(budget: int) -> Finding:
    """How many bytes does the kernel copy for bytes written at random, and one after another?"""
    found = Finding()
    size = min(budget, 512 * MB)
    count = min(100_000, size // 5000)
    step = count // 10
    for name, length, in_order in (
        ("100 B at random", 100, False),
        ("1,000 B at random", 1000, False),
        ("100 B in order", 100, True),
    ):
        with Memory(size, huge=True) as memory:
            memory.write()
            places = range(0, size - length, length)
            picked = places[:count] if in_order else random.Random(1).sample(places, count)
            data = b"x" * length
            with child():
                base, line = private_dirty(), []
                for start in range(0, count, step):
                    for at in picked[start : start + step]:
                        memory.view[at : at + length] = data
                    line.append(((start + step) * length / 1e6, (private_dirty() - base) / 1e6))
            found.lines[name] = [(0.0, 0.0), *line]
            found.add(f"copied for {count:,} writes of {name}", "times the bytes written", [line[-1][1] / line[-1][0]])
    for name, in_order in (("4,000 writes at random", False), ("4,000 writes in order", True)):
        with contextlib.suppress(OSError):  # a kernel without pagemap, or one that hides it
            found.maps[name] = copied_pages(4000, in_order)
    return found


def copied_pages(writes: int, in_order: bool) -> list[str]:
    """64 MB, page by page in rows of 128: 1 where a page is ours alone after writes of 100 B beside a child."""
    size, length = 64 * MB, 100
    with Memory(size, huge=False) as memory:
        memory.write()
        places = range(0, size - length, length)
        with child():
            for at in places[:writes] if in_order else random.Random(1).sample(places, writes):
                memory.view[at : at + length] = b"x" * length
            address = ctypes.addressof(anchor := ctypes.c_char.from_buffer(memory.map))
            del anchor
            with open("/proc/self/pagemap", "rb") as file:
                file.seek(address // PAGE * 8)
                entries = struct.unpack(f"={size // PAGE}Q", file.read(size // PAGE * 8))
    bits = "".join("1" if entry & EXCLUSIVE else "0" for entry in entries)
    return [bits[start : start + 128] for start in range(0, len(bits), 128)]


def reference_counts(budget: int) -> Finding:
    """How many pages does a child of a Python process copy by reading alone?"""
    found = Finding()
    count = min(500_000, budget // 500)
    objects = [[number, str(number)] for number in range(count)]
    nbytes = count * (sys.getsizeof(objects[0]) + sys.getsizeof(objects[-1][0]) + sys.getsizeof(objects[-1][1]))
    flat = array.array("q", [1]) * (nbytes // 8)
    gc.collect()

    def read_objects() -> None:
        for number, text in objects:
            del number, text

    found.add(f"{count:,} lists of a number and a str", "MB", [nbytes / 1e6])
    for name, work in (
        ("the child does nothing", lambda: None),
        ("the child reads an array of as many bytes", lambda: sum(memoryview(flat).cast("B")[::64])),
        ("the child reads the objects", read_objects),
        ("the child collects garbage", gc.collect),
    ):
        found.add(name, "MB copied", [dirtied_by(work) / 1e6])
    gc.freeze()
    found.add("the child collects garbage after gc.freeze()", "MB copied", [dirtied_by(gc.collect) / 1e6])
    return found


def dirtied_by(work: Callable[[], object]) -> int:
    """Bytes of pages that a child copies by this work."""
    tells, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = private_dirty()
        work()
        os.write(told, struct.pack("=q", private_dirty() - before))
        os._exit(0)
    dirtied: int = struct.unpack("=q", os.read(tells, 8))[0]
    os.waitpid(pid, 0)
    os.close(tells)
    os.close(told)
    return dirtied


def overcommit(budget: int, modes: tuple[int, ...] = ()) -> Finding:
    """Which promises of memory does the kernel refuse? Tries the mode that is set, or those given (as root)."""
    found = Finding()
    was = OVERCOMMIT.read_text()
    try:
        for mode in modes or (int(was),):
            if modes:
                OVERCOMMIT.write_text(str(mode))
            for what, allowed in promises():
                found.told.append((f"mode {mode}: {what}", "granted" if allowed else "refused"))
    finally:
        if modes:
            OVERCOMMIT.write_text(was)
    return found


def promises() -> list[tuple[str, bool]]:
    """What is asked of the kernel, nothing of which is ever touched; and whether it is granted."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = Path("/proc/meminfo").read_text().splitlines()
    known = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    left = max(0, known["CommitLimit"] - known["Committed_AS"])
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return [
        ("map 2 x the memory", granted(2 * memory, private)),
        ("map 2 x the memory, MAP_NORESERVE", granted(2 * memory, private | MAP_NORESERVE)),
        ("map 60 % of what may still be committed", granted(left * 6 // 10, private)),
        ("fork with that mapped", granted(left * 6 // 10, private, fork=True)),
        ("fork with 2 x the memory mapped, MAP_NORESERVE", granted(2 * memory, private | MAP_NORESERVE, True)),
    ]


def granted(nbytes: int, flags: int, fork: bool = False) -> bool:
    if nbytes <= 0:
        return False
    try:
        with mmap.mmap(-1, nbytes, flags):
            if fork:
                fork_us()
    except OSError:
        return False
    return True


EXPERIMENTS: dict[str, Callable[[int], Finding]] = {
    "fork-time": fork_time,
    "first-write": first_write,
    "zeroed": zeroed,
    "set-sizes": set_sizes,
    "lazy-or-eager": lazy_or_eager,
    "scattered-writes": scattered_writes,
    "reference-counts": reference_counts,
    "overcommit": overcommit,
}


def main() -> None:
    name, budget = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 30
    modes = tuple(int(mode) for mode in sys.argv[3:])
    found = overcommit(budget, modes) if modes else EXPERIMENTS[name](budget)
    json.dump(asdict(found), sys.stdout)


if __name__ == "__main__":
    main()

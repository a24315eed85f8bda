"""Libraries that override functions of the C library: tracers, libfaketime, whatever LD_PRELOAD loads.

A snapshot child has no heap (fork.py). A function that overrides one of the C library's may need a
heap and would crash the child. So before the heap is hidden, each function that the child calls is
looked up as the linker does.
"""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import os
import re
from typing import NamedTuple

# All C library functions that the child's modules use, except those that allocate: the child does not call them.
CALLS = (
    "__errno_location",
    "_exit",
    "clock_gettime",
    "close",
    "dl_iterate_phdr",
    "dup2",
    "fcntl",
    "flock",
    "fstat",
    "fsync",
    "ftruncate",
    "getauxval",
    "geteuid",
    "getpid",
    "getppid",
    "ioctl",
    "kill",
    "lseek",
    "madvise",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "mmap",
    "munmap",
    "nanosleep",
    "open",
    "pipe",
    "poll",
    "posix_spawn",
    "prctl",
    "pread",
    "pwrite",
    "read",
    "rename",
    "sched_getscheduler",
    "sched_setscheduler",
    "sigaction",
    "sigemptyset",
    "sigfillset",
    "sigprocmask",
    "stat",
    "strlen",
    "strrchr",
    "strstr",
    "sync_file_range",
    "syscall",
    "unlink",
    "usleep",
    "waitpid",
    "write",
)

# The C library under its current and former names; sanitizers, whose builds hide nothing.
C_LIBRARY = re.compile(
    r"(libc|libpthread|librt|libdl|ld|ld-linux[^.]*|ld-musl[^.]*|lib[a-z]+san)[-.].*|\[v(dso|syscall)\]"
)


class Mapping(NamedTuple):
    """A range of addresses of this process and the file mapped there."""

    start: int
    end: int
    path: str


def libraries() -> dict[str, list[str]]:
    """The files of such libraries, with the functions that they override."""
    mappings = read_mappings()
    found: dict[str, list[str]] = {}
    program = os.path.realpath("/proc/self/exe")
    asked_first = [addresses(ctypes.CDLL(path)) for path in preloaded(mappings)]
    for call, address in addresses(ctypes.CDLL(None)).items():
        path = path_of(address, mappings)
        if path == program:
            # A program at a fixed address stands for functions whose addresses it takes; calls still go to the library.
            path = next((path_of(known[call], mappings) for known in asked_first if call in known), "")
        if path and not C_LIBRARY.fullmatch(os.path.basename(path)):
            found.setdefault(path, []).append(call)
    return found


def preloaded(mappings: list[Mapping]) -> list[str]:
    """The libraries of LD_PRELOAD, and of the whole system, that are there."""
    named = os.environ.get("LD_PRELOAD", "")
    with contextlib.suppress(OSError), open("/etc/ld.so.preload", encoding="utf-8", errors="surrogateescape") as file:
        named += f" {file.read()}"
    there = {mapping.path for mapping in mappings}
    return [path for path in map(os.path.realpath, named.replace(":", " ").split()) if path in there]


def addresses(everything: ctypes.CDLL) -> dict[str, int]:
    """The address of each function, and of its variant for large files, as this library and its own have them."""
    found = {}
    for call in CALLS:
        for name in (call, call + "64"):
            function = getattr(everything, name, None)
            if function is not None:
                found[name] = ctypes.cast(function, ctypes.c_void_p).value or 0
    return found


def read_mappings() -> list[Mapping]:
    """The mappings by address."""
    mappings = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            span, _perms, _offset, _device, _inode, *path = line.rstrip("\n").split(maxsplit=5)
            start, _, end = span.partition("-")
            mappings.append(Mapping(int(start, 16), int(end, 16), path[0] if path else ""))
    return mappings


def path_of(address: int, mappings: list[Mapping]) -> str:
    """The file that contains a function; empty if there is none."""
    place = bisect.bisect_right(mappings, address, key=lambda mapping: mapping.start) - 1
    return mappings[place].path if place >= 0 and address < mappings[place].end else ""

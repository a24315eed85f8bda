# cython: boundscheck=False, wraparound=False, cdivision=True
# ruff: noqa: B007, F821
"""fork(2) for a snapshot: as little as can be, and nothing of the interpreter.

A fork copies the page tables, mapping by mapping, and behind it every page that parent or child writes to is copied
first. A Python process has thousands of pages of heap and hundreds of mappings of libraries, which take longer than a
gigabyte in huge pages; and a few lines of Python touch a hundred of those pages. The child is C (child.py) and needs
none of it. So `hide` marks, once and for good, every mapping MADV_DONTFORK but

    the arena and all else that engine.memory has reserved (which says of itself what is inherited)
    the modules that the child's code lies in, the C library, and the loader (Python has it bind all names at once)
    the stack and the own storage of the thread that forks, and what the kernel maps
    memory that is shared

What comes later is hidden as it comes (heap.py), or when `hide` is called again. A process that has called it can start
programs (vfork, posix_spawn), but an ordinary fork would get a child that cannot even return.

Where a thread forks while others go on (fork_thread.py), the main thread's stack and the C library's variables are
hidden, too, and the child gets a copy of the latter.

The C library's fork is not asked: it would lock the allocator and run handlers for a child that has neither. The child
is a batch process, whose waking takes the processor from nobody; an ordinary one where the kernel forbids that, or if
this process has a policy of its own already.
"""

import cython
from cython.cimports.libc.errno import errno
from cython.cimports.libc.signal import SIGCHLD
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t, uintptr_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.changes import clear_map
from cython.cimports.minikv.engine.lzf import lzf_compress
from cython.cimports.minikv.engine.memory import (
    give_back,
    hide_unless_reserved,
    try_reserve,
    use_huge_pages,
)
from cython.cimports.minikv.engine.stream_tail import tail_fill
from cython.cimports.minikv.engine.walker import walk_fill
from cython.cimports.minikv.rdb.crc64 import crc64
from cython.cimports.minikv.saving.child import run_child
from cython.cimports.minikv.saving.dump_file import CALL_FORK, fault, file_open
from cython.cimports.minikv.saving.heap import heap_starts_at, hide_grown, program_break
from cython.cimports.minikv.saving.linux import (
    AT_BASE,
    MINIKV_SANITIZED,
    O_CLOEXEC,
    PT_LOAD,
    SCHED_BATCH,
    SCHED_OTHER,
    Segment,
    SYS_clone,
    SYS_mremap,
    SYS_sched_setaffinity,
    dl_iterate_phdr,
    dl_phdr_info,
    getauxval,
    open,
    sched_getscheduler,
    sched_param,
    sched_setscheduler,
    syscall,
)
from cython.cimports.minikv.saving.runs import scan_run
from cython.cimports.minikv.saving.save import monotonic_ns, save_begin
from cython.cimports.minikv.saving.units import find_unit
from cython.cimports.posix.fcntl import O_RDONLY
from cython.cimports.posix.mman import (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
    mmap,
    munmap,
)
from cython.cimports.posix.signal import SIG_SETMASK, sigfillset, sigprocmask, sigset_t
from cython.cimports.posix.unistd import close, read

TEXT_LEN = cython.declare(uint64_t, 2 << 20)  # of /proc/self/maps: some 25,000 mappings
PAGE = cython.declare(uint64_t, 4096)
THREAD_LEN = cython.declare(uint64_t, 128 << 10)  # of a thread's own storage, at most

LINE_FEED = cython.declare(cython.char, 10)
SPACE = cython.declare(cython.char, 32)
ZERO = cython.declare(cython.char, 48)
MREMAP_MAYMOVE = cython.declare(cython.ulong, 1)  # mremap(2) flags, Linux
MREMAP_FIXED = cython.declare(cython.ulong, 2)
BRACKET = cython.declare(cython.char, 91)
LETTER_A = cython.declare(cython.char, 97)
LETTER_H = cython.declare(cython.char, 104)
LETTER_P = cython.declare(cython.char, 112)
LETTER_S = cython.declare(cython.char, 115)
LETTER_W = cython.declare(cython.char, 119)
CLOSING_BRACKET = cython.declare(cython.char, 93)

RegionsP = cython.typedef(cython.pointer[cython.const[Regions]])
RegionP = cython.typedef(cython.pointer[cython.const[Region]])


def fork_for(
    save: cython.pointer[Save], ns: cython.pointer[cython.ulonglong], data: cython.pointer[cython.const[CopiedData]]
) -> cython.int:
    """The pid of a child that carries out the save, or minus errno; `ns`: how long the fork took.

    data: what the child gets as a copy; NULL: nothing.
    """
    every = cython.declare(sigset_t)
    before = cython.declare(sigset_t)
    param = cython.declare(sched_param)
    pid: cython.long
    error: cython.int
    began: int64_t
    error = fault(save.file.faults, CALL_FORK)
    if error:
        return -error
    hide_grown()
    sigfillset(cython.address(every))
    param.sched_priority = 0
    sigprocmask(SIG_SETMASK, cython.address(every), cython.address(before))
    as_batch: cython.bint = (
        sched_getscheduler(0) == SCHED_OTHER and sched_setscheduler(0, SCHED_BATCH, cython.address(param)) == 0
    )
    began = monotonic_ns()
    pid = syscall(
        SYS_clone,
        cython.cast(cython.ulong, SIGCHLD),
        cython.NULL,
        cython.NULL,
        cython.NULL,
        cython.cast(cython.ulong, 0),
    )
    if pid == 0:
        if data != cython.NULL:
            restore_data(data)
            if data.cpus_len:
                syscall(SYS_sched_setaffinity, 0, data.cpus_len, data.cpus)
        run_child(save)
    error = errno
    ns[0] = monotonic_ns() - began
    if as_batch:
        sched_setscheduler(0, SCHED_OTHER, cython.address(param))
    sigprocmask(SIG_SETMASK, cython.address(before), cython.NULL)
    return -error if pid < 0 else cython.cast(cython.int, pid)


def copy_data(data: cython.pointer[cython.const[CopiedData]]) -> cython.void:
    """Copy what the next child shall have in place of what is hidden."""
    number: cython.int
    to: cython.pointer[uint8_t] = data.copy
    nbytes: uint64_t
    for number in range(data.count):
        nbytes = data.regions[number].end - data.regions[number].start
        memcpy(to, cython.cast(cython.p_void, cython.cast(uintptr_t, data.regions[number].start)), nbytes)
        to += nbytes


def restore_data(data: cython.pointer[cython.const[CopiedData]]) -> cython.void:
    """Move it to where it belongs. The C library has no variables before: nothing but `syscall` may be called."""
    number: cython.int
    at: cython.pointer[uint8_t] = data.copy
    nbytes: uint64_t
    for number in range(data.count):
        nbytes = data.regions[number].end - data.regions[number].start
        syscall(
            SYS_mremap,
            at,
            cython.cast(cython.ulong, nbytes),
            cython.cast(cython.ulong, nbytes),
            cython.cast(cython.ulong, MREMAP_MAYMOVE | MREMAP_FIXED),
            cython.cast(cython.ulong, data.regions[number].start),
        )
        at += nbytes


# -- what a child does not get


def thread_address() -> int:
    """A place in the calling thread's own storage."""
    return cython.cast(uintptr_t, cython.address(errno))


def hide(thread: int) -> int:
    """Hide what there is by now; how many mappings that were. Only the thread whose address this is may fork then."""
    count: cython.int
    address: uint64_t = thread
    with cython.nogil:
        count = hide_mappings(address, cython.NULL)
    return count


def hide_mappings(thread: uint64_t, data: cython.pointer[CopiedData]) -> cython.int:
    """data: for a thread that forks while others go on. It fills with what is hidden and copied, at the first call."""
    modules: Regions
    found: CopiedData
    number: cython.int
    count: cython.int = 0
    text: cython.p_void
    memset(cython.address(found), 0, cython.sizeof(CopiedData))
    if MINIKV_SANITIZED or not find_modules(cython.address(modules)):
        return 0
    text = mmap(cython.NULL, TEXT_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if text == MAP_FAILED:
        return 0
    if read_maps(cython.cast(cython.p_char, text)):
        count = hide_listed(
            cython.cast(cython.p_char, text),
            cython.address(modules),
            thread,
            cython.address(found) if data != cython.NULL else cython.NULL,
        )
    munmap(text, TEXT_LEN)
    if data != cython.NULL and data.count == 0 and found.count:
        found.copy = try_reserve(found.nbytes, True)
        if found.copy != cython.NULL:
            use_huge_pages(found.copy, found.nbytes, False)
            data[0] = found
            for number in range(found.count):
                count += hide_unless_reserved(
                    found.regions[number].start, found.regions[number].end - found.regions[number].start
                )
    return count


def hide_listed(
    at: cython.p_char, modules: RegionsP, thread: uint64_t, found: cython.pointer[CopiedData]
) -> cython.int:
    """What the text of /proc/self/maps tells of. found: NULL, or filled with what is to be hidden and copied."""
    region: Region
    end: uint64_t
    flags: cython.int = 0
    count: cython.int = 0
    while at[0]:
        at = parse_region(at, cython.address(region), cython.address(flags))
        if flags & STACK and found != cython.NULL:
            count += hide_unless_reserved(region.start, region.end - region.start)
        if flags & (SHARED | KERNELS):
            continue
        if flags & WRITABLE and found != cython.NULL:
            note_copied(cython.address(region), modules, found)
        if has(cython.address(region), thread):
            # The kernel makes one of what lies side by side: there may be heap on both sides of it.
            end = region.end
            count += hide_but(region.start, max(region.start, (thread & ~(PAGE - 1)) - THREAD_LEN), modules)
            count += hide_but(min(end, (thread & ~(PAGE - 1)) + THREAD_LEN), end, modules)
        else:
            count += hide_but(region.start, region.end, modules)
            if has(cython.address(region), program_break() - 1):
                note_heap(cython.address(region), modules)
    return count


def note_heap(region: RegionP, kept: RegionsP) -> cython.void:
    """The region that the break ends: all of it is heap, but for variables of a program that may lie at its start."""
    number: cython.int
    start: uint64_t = region.start
    for number in range(kept.count):
        if kept.regions[number].start < region.end and start < kept.regions[number].end:
            start = kept.regions[number].end
    heap_starts_at(start)


def note_copied(region: RegionP, modules: RegionsP, found: cython.pointer[CopiedData]) -> cython.void:
    """Note the part of a mapping that has variables of the C library."""
    number: cython.int
    start: uint64_t
    end: uint64_t
    for number in range(modules.count):
        start = max(region.start, modules.regions[number].start)
        end = min(region.end, modules.regions[number].end)
        if (
            start < end
            and has(
                cython.address(modules.regions[number]), cython.cast(uintptr_t, cython.cast(cython.p_void, syscall))
            )
            and found.count < COPIED_REGIONS
        ):
            found.regions[found.count].start = start
            found.regions[found.count].end = end
            found.count += 1
            found.nbytes += end - start


def hide_but(start: uint64_t, end: uint64_t, kept: RegionsP) -> cython.int:
    """These addresses, without those of modules that are kept."""
    number: cython.int
    module: RegionP
    for number in range(kept.count):
        module = cython.address(kept.regions[number])
        if module.start < end and start < module.end:
            return (hide_but(start, module.start, kept) if start < module.start else 0) + (
                hide_but(module.end, end, kept) if module.end < end else 0
            )
    return start < end and hide_unless_reserved(start, end - start)


def find_modules(modules: cython.pointer[Regions]) -> cython.bint:
    """What a child needs of programs and libraries: from the first to the last address, variables and all."""
    modules.count = 0
    return dl_iterate_phdr(add_module, modules) == 0 and modules.count > 0


def add_module(info: cython.pointer[dl_phdr_info], _size: cython.size_t, modules: cython.p_void) -> cython.int:
    """0, or 1 if there are too many of them."""
    number: cython.int
    segment: cython.pointer[cython.const[Segment]]
    start: uint64_t
    module: Region
    found: cython.pointer[Regions] = cython.cast(cython.pointer[Regions], modules)
    module.start = ~cython.cast(uint64_t, 0)
    module.end = 0
    for number in range(info.dlpi_phnum):
        segment = info.dlpi_phdr + number
        if segment.p_type == PT_LOAD:
            start = info.dlpi_addr + segment.p_vaddr
            module.start = min(module.start, start & ~(PAGE - 1))
            module.end = max(module.end, (start + segment.p_memsz + PAGE - 1) & ~(PAGE - 1))
    if not is_for_child(cython.address(module)):
        return 0
    if found.count == REGIONS:
        return 1
    found.regions[found.count] = module
    found.count += 1
    return 0


def is_for_child(module: RegionP) -> cython.bint:
    """Whether it has one of the functions that a child calls, each of which stands for its module."""
    return (
        has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, run_child)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, save_begin)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, file_open)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, find_unit)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, scan_run)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, crc64)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, walk_fill)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, tail_fill)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, clear_map)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, lzf_compress)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, give_back)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, fork_for)))
        # Before glibc 2.34, read lies in a library for threads; a program that is not relocatable may have its own.
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, read)))
        or has(module, cython.cast(uintptr_t, cython.cast(cython.p_void, syscall)))
        or has(module, getauxval(AT_BASE))
    )


# -- /proc/self/maps


def read_maps(text: cython.p_char) -> cython.bint:
    """All of it, with a zero behind."""
    length: uint64_t = 0
    taken: cython.Py_ssize_t = 1
    fd: cython.int = open(b"/proc/self/maps", O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return False
    while taken > 0 and length < TEXT_LEN - 1:
        taken = read(fd, text + length, TEXT_LEN - 1 - length)
        length += max(taken, 0)
    close(fd)
    text[length] = 0
    return taken == 0


def parse_region(at: cython.p_char, found: cython.pointer[Region], flags: cython.pointer[cython.int]) -> cython.p_char:
    """A line:  start-end perms offset device inode [path]. The place behind it."""
    field: cython.int
    at = parse_hexadecimal(at, cython.address(found.start)) + 1
    at = parse_hexadecimal(at, cython.address(found.end)) + 1
    flags[0] = (SHARED if at[3] != LETTER_P else 0) | (WRITABLE if at[1] == LETTER_W else 0)
    for field in range(4):  # perms, offset, device, inode
        while at[0] != SPACE and at[0] != LINE_FEED:
            at += 1
        while at[0] == SPACE:
            at += 1
    if at[0] == BRACKET and at[1] != LETTER_H:  # not [heap]
        flags[0] |= KERNELS | (STACK if at[1] == LETTER_S and at[6] == CLOSING_BRACKET else 0)
    while at[0] != LINE_FEED:
        at += 1
    return at + 1


def parse_hexadecimal(at: cython.p_char, number: cython.pointer[uint64_t]) -> cython.p_char:
    number[0] = 0
    while at[0] >= ZERO:  # all digits and letters; - and space lie below
        number[0] = (number[0] << 4) + (at[0] - LETTER_A + 10 if at[0] >= LETTER_A else at[0] - ZERO)
        at += 1
    return at


def has(region: RegionP, address: uint64_t) -> cython.bint:
    return region.start <= address < region.end

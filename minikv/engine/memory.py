# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Reservations of address space, and the two pools of parent-only memory.

A reservation is private, anonymous and MAP_NORESERVE: it may exceed the machine's memory, and a page costs nothing
until it is written. Inherited reservations (arena, bitmap) are what a snapshot child reads. All others are
MADV_DONTFORK: the child has no such addresses, so the parent's writes to them are never copied.

    BlockPool   4 KiB blocks: hash tables, B-tree nodes
    LinkPool    16-byte links of singly linked lists: holes, deferred deaths

Guarantees: number 0 means none; `trim` gives the memory of free blocks back, all but FREE_BLOCKS_KEPT of them.
"""

import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t, uintptr_t
from cython.cimports.libc.string import memset
from cython.cimports.posix.mman import (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
    PROT_WRITE,
    madvise,
    mmap,
    mremap,
    munmap,
)

from minikv.errors import ArenaFull

# madvise(2) advice, Linux
MADV_DONTNEED = cython.declare(cython.int, 4)
MADV_DONTFORK = cython.declare(cython.int, 10)
MADV_DOFORK = cython.declare(cython.int, 11)
MADV_HUGEPAGE = cython.declare(cython.int, 14)
MADV_NOHUGEPAGE = cython.declare(cython.int, 15)
MADV_COLLAPSE = cython.declare(cython.int, 25)
MADV_POPULATE_WRITE = cython.declare(cython.int, 23)
MREMAP_MAYMOVE = cython.declare(cython.int, 1)  # mremap(2) flag, Linux

# Freed blocks up to this number keep their memory, so that a table which grows and shrinks does not fault (2 MiB).
FREE_BLOCKS_KEPT = cython.declare(uint32_t, 512)
MAPPING_MIN = cython.declare(uint64_t, 1 << 16)
POISON = cython.declare(cython.int, 0xDB)

_reserved = cython.declare(Reservation[RESERVATIONS])
_reserved_len = cython.declare(cython.int, 0)
_unknown = cython.declare(cython.bint, False)
_lock = cython.declare(pthread_mutex_t)  # held while reservations come and go, and while others are hidden
pthread_mutex_init(cython.address(_lock), cython.NULL)


def reserve(nbytes: cython.size_t, inherited: cython.bint) -> cython.pointer[uint8_t]:
    """Address space of `nbytes`, aligned to 2 MiB; parent-only unless `inherited`."""
    start: cython.pointer[uint8_t] = try_reserve(nbytes, inherited)
    if start == cython.NULL:
        raise ArenaFull(f"can't reserve {nbytes} bytes of address space")
    return start


def try_reserve(nbytes: cython.size_t, inherited: cython.bint) -> cython.pointer[uint8_t]:
    """The same for code without exceptions: NULL if it can't be had."""
    length: cython.size_t = (nbytes + HUGE_SIZE - 1) & ~cython.cast(cython.size_t, HUGE_SIZE - 1)
    slack: cython.size_t
    mapped: cython.p_void
    start: cython.pointer[uint8_t] = cython.NULL
    pthread_mutex_lock(cython.address(_lock))
    mapped = mmap(
        cython.NULL, length + HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0
    )
    if mapped != MAP_FAILED:
        start = cython.cast(cython.pointer[uint8_t], mapped)
        slack = cython.cast(cython.size_t, (-cython.cast(uintptr_t, start)) & (HUGE_SIZE - 1))
        if slack:
            munmap(start, slack)
        if slack < HUGE_SIZE:
            munmap(start + slack + length, HUGE_SIZE - slack)
        start += slack
        if not inherited:
            madvise(start, length, MADV_DONTFORK)
        remember(cython.cast(uintptr_t, start), length)
    pthread_mutex_unlock(cython.address(_lock))
    return start


def share(nbytes: cython.size_t) -> cython.pointer[uint8_t]:
    """Address space that children share: neither copied nor write-protected by a fork. NULL if it can't be had."""
    mapped: cython.p_void = mmap(
        cython.NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0
    )
    return cython.NULL if mapped == MAP_FAILED else cython.cast(cython.pointer[uint8_t], mapped)


def unshare(start: cython.pointer[uint8_t], nbytes: cython.size_t) -> cython.void:
    """End it."""
    if start != cython.NULL:
        munmap(start, nbytes)


def give_back(start: cython.pointer[uint8_t], nbytes: cython.size_t) -> cython.void:
    """Return the memory behind whole pages to the system; they read as zero afterwards."""
    madvise(start, nbytes, MADV_DONTNEED)


def populate(start: cython.pointer[uint8_t], nbytes: cython.size_t) -> cython.bint:
    """Put memory behind whole pages, as writing to them would; False if the kernel can't or won't."""
    return madvise(start, nbytes, MADV_POPULATE_WRITE) == 0


def keep_from_children(start: cython.pointer[uint8_t], nbytes: uint64_t, kept: cython.bint) -> cython.void:
    """Let children that come from now on not inherit these pages, or inherit them again."""
    madvise(start, nbytes, MADV_DONTFORK if kept else MADV_DOFORK)


def wait_while(word: cython.pointer[uint32_t], value: uint32_t) -> cython.void:
    """Sleep until another thread has given the word another value with `wake`."""
    while __atomic_load_n(word, __ATOMIC_ACQUIRE) == value:
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, cython.NULL, cython.NULL, 0)


def wake(word: cython.pointer[uint32_t], value: uint32_t) -> cython.void:
    """Give the word a value, and wake who waits for that."""
    __atomic_store_n(word, value, __ATOMIC_RELEASE)
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7FFFFFFF, cython.NULL, cython.NULL, 0)


def unmap(start: cython.pointer[uint8_t], nbytes: cython.size_t) -> cython.void:
    """End a reservation of `nbytes`."""
    if start != cython.NULL:
        pthread_mutex_lock(cython.address(_lock))
        forget(cython.cast(uintptr_t, start))
        munmap(start, (nbytes + HUGE_SIZE - 1) & ~cython.cast(cython.size_t, HUGE_SIZE - 1))
        pthread_mutex_unlock(cython.address(_lock))


# -- which addresses are reservations: what else is private and anonymous is the heap


def remember(start: uintptr_t, nbytes: cython.size_t) -> cython.void:
    global _reserved_len, _unknown
    if _reserved_len == RESERVATIONS:
        _unknown = True
        return
    _reserved[_reserved_len].start = start
    _reserved[_reserved_len].nbytes = nbytes
    _reserved_len += 1


def forget(start: uintptr_t) -> cython.void:
    global _reserved_len
    number: cython.int
    for number in range(_reserved_len):
        if _reserved[number].start == start:
            _reserved_len -= 1
            _reserved[number] = _reserved[_reserved_len]
            return


def hide_unless_reserved(start: uintptr_t, nbytes: cython.size_t) -> cython.bint:
    """Mark what is mapped there MADV_DONTFORK, if no reservation lies within.

    Any thread may ask, of what it has seen a while ago: where there was heap, a reservation may have come into being.
    """
    hidden: cython.bint
    pthread_mutex_lock(cython.address(_lock))
    hidden = not is_reserved(start, nbytes) and madvise(cython.cast(cython.p_void, start), nbytes, MADV_DONTFORK) == 0
    pthread_mutex_unlock(cython.address(_lock))
    return hidden


def is_reserved(start: uintptr_t, nbytes: cython.size_t) -> cython.bint:
    """Whether a reservation lies within these addresses; also if there were too many of them to be sure."""
    number: cython.int
    if _unknown:
        return True
    for number in range(_reserved_len):
        if _reserved[number].start < start + nbytes and start < _reserved[number].start + _reserved[number].nbytes:
            return True
    return False


def use_huge_pages(start: cython.pointer[uint8_t], nbytes: cython.size_t, huge: cython.bint) -> cython.void:
    """Advise the kernel to back these addresses by 2 MiB pages, or by 4 KiB pages."""
    madvise(start, nbytes, MADV_HUGEPAGE if huge else MADV_NOHUGEPAGE)


def collapse(start: cython.pointer[uint8_t], nbytes: cython.size_t) -> cython.void:
    """Back what is there in small pages by huge ones; at once where the kernel can (from Linux 6.1 on)."""
    use_huge_pages(start, nbytes, True)
    madvise(start, nbytes, MADV_COLLAPSE)


def grow(mapping: cython.pointer[Mapping], nbytes: uint64_t) -> cython.bint:
    """Grow a mapping to `nbytes` or more, by doubling; it may move, its bytes stay. False: no memory, no change."""
    wanted: uint64_t = max(mapping.nbytes, MAPPING_MIN)
    mapped: cython.p_void
    if nbytes <= mapping.nbytes:
        return True
    while wanted < nbytes:
        wanted *= 2
    if mapping.start == cython.NULL:
        mapped = mmap(cython.NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    else:
        mapped = mremap(mapping.start, mapping.nbytes, wanted, MREMAP_MAYMOVE)
    if mapped == MAP_FAILED:
        return False
    mapping.start = cython.cast(cython.pointer[uint8_t], mapped)
    mapping.nbytes = wanted
    use_huge_pages(mapping.start, wanted, False)
    return True


def unmap_all(mapping: cython.pointer[Mapping]) -> cython.void:
    """End a mapping."""
    if mapping.start != cython.NULL:
        munmap(mapping.start, mapping.nbytes)
    mapping.start = cython.NULL
    mapping.nbytes = 0


class BlockPool:
    """Blocks of 4 KiB: block b lies at base + b * 4096."""

    def __cinit__(self, nbytes: cython.size_t, huge_pages: cython.bint = False):
        blocks: cython.size_t = nbytes >> BLOCK_SHIFT
        self.capacity = cython.cast(uint32_t, min(blocks, 0xFFFFFFFF))
        self.base = reserve(cython.cast(cython.size_t, self.capacity) << BLOCK_SHIFT, False)
        self.free_blocks = cython.cast(
            cython.pointer[uint32_t], reserve(cython.cast(cython.size_t, self.capacity) * 4, False)
        )
        self.huge_pages = huge_pages
        use_huge_pages(self.base, cython.cast(cython.size_t, self.capacity) << BLOCK_SHIFT, False)
        self.next_fresh = 1

    def __dealloc__(self):
        unmap(self.base, cython.cast(cython.size_t, self.capacity) << BLOCK_SHIFT)
        unmap(cython.cast(cython.pointer[uint8_t], self.free_blocks), cython.cast(cython.size_t, self.capacity) * 4)

    def allocate(self) -> uint32_t:
        """A block with undefined content; 0 when the pool is full."""
        block: uint32_t
        if self.free_count:
            self.free_count -= 1
            block = self.free_blocks[self.free_count]
            self.returned = min(self.returned, self.free_count)
        elif self.next_fresh < self.capacity:
            block = self.next_fresh
            self.next_fresh += 1
            if self.huge_pages and block & (BLOCKS_PER_HUGE_PAGE - 1) == 0:
                # What lies before is full: only what is being filled stays in small pages.
                collapse(self.base + (cython.cast(cython.size_t, block) << BLOCK_SHIFT) - HUGE_SIZE, HUGE_SIZE)
        else:
            return 0
        self.used += 1
        return block

    def free(self, block: uint32_t) -> cython.void:
        """Take a block back."""
        if self.poison:
            memset(self.base + (cython.cast(cython.size_t, block) << BLOCK_SHIFT), POISON, BLOCK_SIZE)
        self.free_blocks[self.free_count] = block
        self.free_count += 1
        self.used -= 1
        if self.used == 0:
            give_back(self.base, cython.cast(cython.size_t, self.next_fresh) << BLOCK_SHIFT)
            self.free_count = 0
            self.returned = 0
            self.next_fresh = 1

    def trim(self, limit: uint32_t) -> uint32_t:
        """Return the memory of up to `limit` free blocks to the system; returns how many."""
        done: uint32_t = 0
        while done < limit and self.returned + FREE_BLOCKS_KEPT < self.free_count:
            give_back(
                self.base + (cython.cast(cython.size_t, self.free_blocks[self.returned]) << BLOCK_SHIFT), BLOCK_SIZE
            )
            self.returned += 1
            done += 1
        return done

    def available(self) -> uint32_t:
        """Blocks that can still be allocated."""
        return self.free_count + (self.capacity - self.next_fresh)

    def resident_bytes(self) -> uint64_t:
        """What the blocks have of the machine's memory, free ones that keep it included."""
        return cython.cast(uint64_t, self.next_fresh - 1 - self.returned) << BLOCK_SHIFT


class LinkPool:
    """Links of 16 bytes, addressed by number."""

    def __cinit__(self, nbytes: cython.size_t):
        self.capacity = cython.cast(uint32_t, min(nbytes // cython.sizeof(Link), 0xFFFFFFFF))
        self.links = cython.cast(
            cython.pointer[Link], reserve(cython.cast(cython.size_t, self.capacity) * cython.sizeof(Link), False)
        )
        self.next_fresh = 1

    def __dealloc__(self):
        unmap(
            cython.cast(cython.pointer[uint8_t], self.links),
            cython.cast(cython.size_t, self.capacity) * cython.sizeof(Link),
        )

    def allocate(self) -> uint32_t:
        """A link with undefined content; 0 when the pool is full."""
        link: uint32_t = self.free_head
        if link:
            self.free_head = self.links[link].next
        elif self.next_fresh < self.capacity:
            link = self.next_fresh
            self.next_fresh += 1
        else:
            return 0
        self.used += 1
        return link

    def free(self, link: uint32_t) -> cython.void:
        """Take a link back; the memory of all goes back when none is in use."""
        self.links[link].next = self.free_head
        self.free_head = link
        self.used -= 1
        if self.used == 0:
            give_back(
                cython.cast(cython.pointer[uint8_t], self.links),
                (cython.cast(cython.size_t, self.next_fresh) * cython.sizeof(Link) + BLOCK_SIZE - 1)
                & ~cython.cast(cython.size_t, BLOCK_SIZE - 1),
            )
            self.free_head = 0
            self.next_fresh = 1

    def available(self) -> uint32_t:
        """Links that can still be allocated."""
        return self.capacity - 1 - self.used

    def resident_bytes(self) -> uint64_t:
        """What the links have of the machine's memory."""
        return cython.cast(uint64_t, self.next_fresh - 1) * cython.sizeof(Link)

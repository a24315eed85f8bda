# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""Memory that the process takes after `hide` (forking.py) has hidden what there was: it is hidden as it comes.

                       comes from                          hidden
    small objects      an arena of the interpreter         when the arena is mapped
    large blocks       malloc, which maps each by itself   when the block is allocated
    all other blocks   malloc, from below the break        right before each fork, in one call

So a fork never reads the list of all mappings, which takes the kernel a millisecond. What only that list shows (a
library that is loaded late, a large block of a C library, the stack of a thread) the child gets once, at the most:
`hide` reads the list when a save has ended.

`watch` wraps the interpreter's allocators of arenas and of raw memory; they allocate as before. Threads share one
arena of malloc, or each would map its own.
"""

import cython
from cython.cimports.libc.stdint import uintptr_t
from cython.cimports.minikv.saving.linux import MINIKV_SANITIZED
from cython.cimports.posix.mman import madvise

MADV_DONTFORK = cython.declare(cython.int, 10)  # madvise(2) advice, Linux
PAGE = cython.declare(uintptr_t, 4096)
LARGE = cython.declare(cython.size_t, 128 << 10)  # malloc maps no smaller block by itself

_raw = cython.declare(PyMemAllocatorEx)  # the interpreter's own
_arenas = cython.declare(PyObjectArenaAllocator)
_watching = cython.declare(cython.bint, False)
_heap_start = cython.declare(uintptr_t, 0)  # 0: not known, nothing is hidden


def watch() -> None:
    """From now on, until the process ends, hide what the interpreter maps."""
    global _watching
    raw: PyMemAllocatorEx
    arenas: PyObjectArenaAllocator
    if _watching or MINIKV_SANITIZED:
        return
    _watching = True
    use_one_malloc_arena()
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, cython.address(_raw))
    raw.ctx = cython.NULL
    raw.malloc = raw_malloc
    raw.calloc = raw_calloc
    raw.realloc = raw_realloc
    raw.free = raw_free
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, cython.address(raw))
    PyObject_GetArenaAllocator(cython.address(_arenas))
    arenas.ctx = cython.NULL
    arenas.alloc = arena_alloc
    arenas.free = arena_free
    PyObject_SetArenaAllocator(cython.address(arenas))


# -- arenas and large blocks


def arena_alloc(_ctx: cython.p_void, size: cython.size_t) -> cython.p_void:
    arena: cython.p_void = _arenas.alloc(_arenas.ctx, size)
    if arena != cython.NULL:
        hide_block(arena, size)
    return arena


def arena_free(_ctx: cython.p_void, arena: cython.p_void, size: cython.size_t) -> cython.void:
    _arenas.free(_arenas.ctx, arena, size)


def raw_malloc(_ctx: cython.p_void, size: cython.size_t) -> cython.p_void:
    block: cython.p_void = _raw.malloc(_raw.ctx, size)
    if size >= LARGE and block != cython.NULL:
        hide_block(block, size)
    return block


def raw_calloc(_ctx: cython.p_void, count: cython.size_t, size: cython.size_t) -> cython.p_void:
    block: cython.p_void = _raw.calloc(_raw.ctx, count, size)
    if block != cython.NULL and count * size >= LARGE:  # it would be NULL, had that overflowed
        hide_block(block, count * size)
    return block


def raw_realloc(_ctx: cython.p_void, old: cython.p_void, size: cython.size_t) -> cython.p_void:
    block: cython.p_void = _raw.realloc(_raw.ctx, old, size)
    if size >= LARGE and block != cython.NULL:
        hide_block(block, size)
    return block


def raw_free(_ctx: cython.p_void, block: cython.p_void) -> cython.void:
    _raw.free(_raw.ctx, block)


def hide_block(block: cython.p_void, size: cython.size_t) -> cython.void:
    """Hide its pages; those below the break wait for the fork. What else lies in them is malloc's, too."""
    start: uintptr_t = cython.cast(uintptr_t, block)
    end: uintptr_t = (start + size + PAGE - 1) & ~(PAGE - 1)
    if not _heap_start <= start < program_break():
        start &= ~(PAGE - 1)
        madvise(cython.cast(cython.p_void, start), end - start, MADV_DONTFORK)


# -- below the break


def program_break() -> uintptr_t:
    """Where the heap ends. The C library knows it without asking the kernel."""
    return cython.cast(uintptr_t, sbrk(0))


def heap_starts_at(start: uintptr_t) -> cython.void:
    """Below it lies what a child may need. The first answer holds: later the heap is several mappings."""
    global _heap_start
    if not _heap_start:
        _heap_start = start


def hide_grown() -> cython.void:
    """Hide the whole heap: where it has shrunk and grown again, its pages are new ones."""
    end: uintptr_t = (program_break() + PAGE - 1) & ~(PAGE - 1)
    if _heap_start and _heap_start < end:
        madvise(cython.cast(cython.p_void, _heap_start), end - _heap_start, MADV_DONTFORK)

from libc.stdint cimport uintptr_t

# Declared here, since Cython brings only the functions that allocate.
cdef extern from "Python.h" nogil:
    ctypedef enum PyMemAllocatorDomain:
        PYMEM_DOMAIN_RAW

    ctypedef struct PyMemAllocatorEx:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t count, size_t size) noexcept nogil
        void *(*realloc)(void *ctx, void *block, size_t size) noexcept nogil
        void (*free)(void *ctx, void *block) noexcept nogil

    ctypedef struct PyObjectArenaAllocator:
        void *ctx
        void *(*alloc)(void *ctx, size_t size) noexcept nogil
        void (*free)(void *ctx, void *block, size_t size) noexcept nogil

    void PyMem_GetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator)
    void PyMem_SetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator)
    void PyObject_GetArenaAllocator(PyObjectArenaAllocator *allocator)
    void PyObject_SetArenaAllocator(PyObjectArenaAllocator *allocator)

cdef extern from "<unistd.h>" nogil:
    void *sbrk(long nbytes)

cdef extern from * nogil:
    """
    #include <malloc.h>
    #ifdef M_ARENA_MAX
    #define use_one_malloc_arena() mallopt(M_ARENA_MAX, 1)
    #else
    #define use_one_malloc_arena() 0
    #endif
    """
    int use_one_malloc_arena()

cdef uintptr_t program_break() noexcept nogil
cdef void heap_starts_at(uintptr_t start) noexcept nogil
cdef void hide_grown() noexcept nogil
cdef void hide_block(void *block, size_t size) noexcept nogil
cdef void *arena_alloc(void *ctx, size_t size) noexcept nogil
cdef void arena_free(void *ctx, void *arena, size_t size) noexcept nogil
cdef void *raw_malloc(void *ctx, size_t size) noexcept nogil
cdef void *raw_calloc(void *ctx, size_t count, size_t size) noexcept nogil
cdef void *raw_realloc(void *ctx, void *old, size_t size) noexcept nogil
cdef void raw_free(void *ctx, void *block) noexcept nogil

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)

cdef extern from * nogil:
    uint32_t __atomic_load_n(const uint32_t *word, int order) noexcept
    void __atomic_store_n(uint32_t *word, uint32_t value, int order) noexcept
    int __ATOMIC_ACQUIRE
    int __ATOMIC_RELEASE

cdef extern from "<sys/syscall.h>" nogil:
    long SYS_futex

cdef extern from "<linux/futex.h>" nogil:
    int FUTEX_WAIT_PRIVATE
    int FUTEX_WAKE_PRIVATE

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...) noexcept

cdef enum:
    BLOCK_SHIFT = 12
    BLOCK_SIZE = 4096
    HUGE_SIZE = 2097152
    BLOCKS_PER_HUGE_PAGE = 512
    RESERVATIONS = 4096
    CLONE_RANGES = 12

cdef struct Reservation:
    uintptr_t start
    size_t nbytes

cdef struct Mapping:                # memory of a process that has no other: grows on demand; zeroed: none
    uint8_t *start
    uint64_t nbytes

cdef struct Range:
    uint8_t *start
    uint64_t nbytes

cdef struct CloneSetup:             # of a clone of this process that a thread makes while others go on writing (saving/fork.py)
    uint32_t busy                   # 1 from the moment whose state the child shall see until it is there; see wait_while
    uint32_t hidden_count
    uint32_t ready_count
    Range hidden[CLONE_RANGES]      # memory that is written meanwhile: this child does not inherit it
    Range ready[CLONE_RANGES]       # memory that is likely to be written meanwhile: touched before


cdef inline bint is_set(const uint32_t *word) noexcept nogil:
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) != 0


cdef void wait_while(uint32_t *word, uint32_t value) noexcept nogil
cdef void wake(uint32_t *word, uint32_t value) noexcept nogil
cdef void keep_from_children(uint8_t *start, uint64_t nbytes, bint kept) noexcept nogil

cdef uint8_t *reserve(size_t nbytes, bint inherited) except NULL
cdef uint8_t *try_reserve(size_t nbytes, bint inherited) noexcept nogil
cdef uint8_t *share(size_t nbytes) noexcept nogil
cdef void unshare(uint8_t *start, size_t nbytes) noexcept nogil
cdef void give_back(uint8_t *start, size_t nbytes) noexcept nogil
cdef bint populate(uint8_t *start, size_t nbytes) noexcept nogil
cdef void unmap(uint8_t *start, size_t nbytes) noexcept nogil
cdef bint hide_unless_reserved(uintptr_t start, size_t nbytes) noexcept nogil
cdef bint is_reserved(uintptr_t start, size_t nbytes) noexcept nogil
cdef void remember(uintptr_t start, size_t nbytes) noexcept nogil
cdef void forget(uintptr_t start) noexcept nogil
cdef void use_huge_pages(uint8_t *start, size_t nbytes, bint huge) noexcept nogil
cdef void collapse(uint8_t *start, size_t nbytes) noexcept nogil
cdef bint grow(Mapping *mapping, uint64_t nbytes) noexcept nogil
cdef void unmap_all(Mapping *mapping) noexcept nogil


@cython.final
cdef class BlockPool:
    cdef uint8_t *base
    cdef uint32_t *free_blocks      # stack of freed block numbers
    cdef readonly uint32_t capacity
    cdef readonly uint32_t used     # blocks handed out
    cdef uint32_t next_fresh        # lowest block never handed out
    cdef uint32_t free_count
    cdef uint32_t returned          # the lowest of the free blocks have no memory
    cdef bint huge_pages            # for what is full
    cdef public bint poison         # tests: freed blocks are filled with a pattern

    cdef uint32_t allocate(self) noexcept nogil
    cdef void free(self, uint32_t block) noexcept nogil
    cdef uint32_t trim(self, uint32_t limit) noexcept nogil
    cdef uint32_t available(self) noexcept nogil
    cdef uint64_t resident_bytes(self) noexcept nogil


cdef struct Link:
    uint64_t offset                 # in the arena
    uint32_t next
    uint32_t granules


@cython.final
cdef class LinkPool:
    cdef Link *links
    cdef readonly uint32_t capacity
    cdef readonly uint32_t used
    cdef uint32_t next_fresh
    cdef uint32_t free_head

    cdef uint32_t allocate(self) noexcept nogil
    cdef void free(self, uint32_t link) noexcept nogil
    cdef uint32_t available(self) noexcept nogil
    cdef uint64_t resident_bytes(self) noexcept nogil

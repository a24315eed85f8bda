from libc.stdint cimport uint8_t, uint64_t

from minikv.saving.linux cimport dl_phdr_info
from minikv.saving.save cimport Save

cdef enum:
    REGIONS = 1024
    COPIED_REGIONS = 8
    CPU_WORDS = 128                 # of a bit for each processor

cdef enum:                          # of a mapping
    SHARED = 1
    KERNELS = 2                     # or one that has a name
    STACK = 4
    WRITABLE = 8

cdef struct Region:                 # of this process's addresses
    uint64_t start
    uint64_t end

cdef struct Regions:
    int count
    Region regions[REGIONS]

cdef struct CopiedData:             # inherited: variables of the C library, of which a child gets a copy
    int count
    Region regions[COPIED_REGIONS]
    uint8_t *copy
    uint64_t nbytes
    uint64_t cpus_len               # bytes of the next; 0: the child may run where the thread may
    uint64_t cpus[CPU_WORDS]        # where it may run

cdef int fork_for(Save *save, unsigned long long *ns, const CopiedData *data) noexcept nogil
cdef void copy_data(const CopiedData *data) noexcept nogil
cdef void restore_data(const CopiedData *data) noexcept nogil

cdef int hide_mappings(uint64_t thread, CopiedData *data) noexcept nogil
cdef int hide_listed(char *at, const Regions *modules, uint64_t thread, CopiedData *found) noexcept nogil
cdef void note_copied(const Region *region, const Regions *modules, CopiedData *found) noexcept nogil
cdef void note_heap(const Region *region, const Regions *kept) noexcept nogil
cdef bint find_modules(Regions *modules) noexcept nogil
cdef int add_module(dl_phdr_info *info, size_t size, void *modules) noexcept nogil
cdef bint is_for_child(const Region *module) noexcept nogil
cdef bint read_maps(char *text) noexcept nogil
cdef char *parse_region(char *at, Region *found, int *flags) noexcept nogil
cdef char *parse_hexadecimal(char *at, uint64_t *number) noexcept nogil
cdef bint has(const Region *region, uint64_t address) noexcept nogil
cdef int hide_but(uint64_t start, uint64_t end, const Regions *kept) noexcept nogil

from libc.stdint cimport uint64_t

from minikv.saving.linux cimport dl_phdr_info
from minikv.saving.save cimport Save

cdef enum:
    REGIONS = 1024

cdef struct Region:                 # of this process's addresses
    uint64_t start
    uint64_t end

cdef struct Regions:
    int count
    Region regions[REGIONS]

cdef int fork_for(Save *save, unsigned long long *ns) noexcept nogil

cdef int hide_mappings(uint64_t thread) noexcept nogil
cdef int hide_listed(char *at, const Regions *modules, uint64_t thread) noexcept nogil
cdef void note_heap(const Region *region, const Regions *kept) noexcept nogil
cdef bint find_modules(Regions *modules) noexcept nogil
cdef int add_module(dl_phdr_info *info, size_t size, void *modules) noexcept nogil
cdef bint is_for_child(const Region *module) noexcept nogil
cdef bint read_maps(char *text) noexcept nogil
cdef char *parse_region(char *at, Region *found, bint *is_special) noexcept nogil
cdef char *parse_hexadecimal(char *at, uint64_t *number) noexcept nogil
cdef bint has(const Region *region, uint64_t address) noexcept nogil
cdef int hide_but(uint64_t start, uint64_t end, const Regions *kept) noexcept nogil

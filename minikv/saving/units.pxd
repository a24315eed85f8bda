# What is known of a dump's blocks; see units.py. The tables lie in memory that a child shares with its server.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.saving.linux cimport stat_t

cdef struct UnitHash:
    uint64_t one
    uint64_t two

cdef struct Stamp:                  # of a file: which one it is, and in which state
    uint64_t device
    uint64_t inode
    uint64_t nbytes
    int64_t changed_s               # content
    int64_t changed_ns
    int64_t touched_s               # anything: name, links, rights
    int64_t touched_ns

cdef struct Run:                    # of records in the file: whole units
    UnitHash hash                   # of the records in memory
    uint64_t crc                    # of its bytes in the file
    uint32_t first                  # unit
    uint32_t units

cdef struct UnitTable:
    uint64_t mapped                 # bytes of it
    uint64_t capacity
    uint64_t count                  # units of the file that are in it, the first ones
    uint64_t slots                  # a power of two
    UnitHash *hashes                # of each unit
    uint32_t *places                # by hash: a unit's number plus 1; 0: none
    Run *runs
    uint64_t run_capacity
    uint64_t run_count
    uint64_t run_slots              # a power of two
    uint32_t *run_places            # by hash, as above
    bint published                  # the file is the dump now
    Stamp stamp                     # of it
    uint64_t crc                    # its last bytes
    bint compared                   # there was a dump before that it could share blocks with
    uint64_t shared                 # bytes
    bint refused                    # files do not share blocks here

cdef uint64_t table_len(uint64_t nbytes) noexcept nogil
cdef UnitTable *table_of(uint64_t nbytes) noexcept nogil
cdef void empty_table(UnitTable *table) noexcept nogil
cdef void drop_table(UnitTable *table) noexcept nogil
cdef uint32_t find_unit(const UnitTable *table, const UnitHash *hash, uint32_t guess) noexcept nogil
cdef void note_unit(UnitTable *table, const UnitHash *hash) noexcept nogil
cdef const Run *find_run(const UnitTable *table, const UnitHash *hash) noexcept nogil
cdef void note_run(UnitTable *table, const Run *run) noexcept nogil
cdef Stamp stamp_of(const stat_t *status) noexcept nogil
cdef bint is_same_file(const Stamp *one, const Stamp *other) noexcept nogil

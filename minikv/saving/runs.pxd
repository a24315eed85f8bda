# Runs of records: what their bytes are in the dump before, without making them; see runs.py.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.walker cimport Walk
from minikv.saving.unit_hash cimport UNIT_LEN
from minikv.saving.units cimport Run, UnitHash

cdef struct RunHash:                # of records, one behind the other
    UnitHash sum
    uint64_t nbytes
    uint64_t used                   # bytes of the unit that is being filled
    uint8_t unit[UNIT_LEN]

cdef struct Scan:                   # of a run that the walk is at
    UnitHash hash
    uint64_t keys
    uint64_t following              # the next run's first record; 0: it is in the next item
    RunHash state

cdef bint scan_run(Walk *walk, Scan *scan, const uint64_t *key) noexcept nogil
cdef void skip_run(Walk *walk, const Scan *scan) noexcept nogil
cdef void add_record(RunHash *hash, const uint64_t *key, const uint8_t *data, uint64_t nbytes) noexcept nogil
cdef void add_unit(RunHash *hash, const uint64_t *key) noexcept nogil

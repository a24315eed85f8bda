cimport cython
from libc.stdint cimport uint8_t, uint64_t

from minikv.engine.walker cimport Walker
from minikv.saving.fork_thread cimport ForkThread
from minikv.saving.save cimport Save
from minikv.saving.units cimport UnitTable


@cython.final
cdef class SaveJob:
    cdef Save *save                 # inherited, as are the next two
    cdef uint8_t *blocks
    cdef uint8_t *strings
    cdef uint64_t strings_len
    cdef uint64_t strings_used
    cdef UnitTable *known           # of the dump that is there
    cdef UnitTable *noted           # of the dump that is being written
    cdef bytes refused              # directory whose files cannot share blocks
    cdef int skipped                # saves, after the last one that found little to share
    cdef int left_to_skip           # saves
    cdef Walker walker              # owns the walk
    cdef readonly ForkThread thread # None: who asks for a fork makes it

    cdef void _prepare_sharing(self, object settings, bytes directory)
    cdef char *keep(self, bytes data) except NULL
    cdef char **keep_list(self, list items) except NULL

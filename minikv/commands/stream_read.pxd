from libc.stdint cimport int64_t, uint32_t

from minikv.dispatch.client cimport Client
from minikv.keyspace.database cimport Keyspace
from minikv.keyspace.stream_group cimport Group

cdef uint32_t see_consumer(Keyspace keyspace, Group group, bytes name) except 0xFFFFFFFF
cdef int64_t next_count(int64_t deliveries) noexcept nogil

# What a mark on the root of a collection means; changes.py has the rest. Of a root the bit of the first granule says
# that everything has changed, the bit of the second that some elements have.

from libc.stdint cimport uint8_t, uint32_t

from minikv.engine.record cimport (
    CHUNKED_MARK, SPREAD_MARK, TYPE_HASH, TYPE_HASH_TTL, TYPE_SET, TYPE_STREAM, TYPE_ZSET, record_payload, skip_expiry
)
from libc.string cimport memcpy


cdef inline bint has_deltas(uint32_t kind) noexcept nogil:
    """Whether a layer may have some elements of a collection of this kind; others it has whole."""
    return (
        kind == TYPE_HASH or kind == TYPE_HASH_TTL or kind == TYPE_SET or kind == TYPE_ZSET or kind == TYPE_STREAM
    )


cdef inline bint may_be_delta(uint8_t *record) noexcept nogil:
    """The same of a record: its collection is not packed either."""
    cdef uint32_t mark
    if not has_deltas(skip_expiry(record)[0]):
        return False
    memcpy(&mark, record_payload(record), 4)
    return mark == CHUNKED_MARK or mark == SPREAD_MARK

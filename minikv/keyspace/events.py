# cython: language_level=3
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""Classes of keyspace events: what has happened to a key, one bit for each kind of event.

    command -> Database.set, delete, notify ... -> Keyspace.observers: reader(class, event, database number, key)

Events come in the order of Redis and at its moments: `new` before what has created the key, `del` after what has
emptied it, `expired` when an expired key is found and removed. A reader is called in the middle of a command, so it
only takes note: it neither reads nor changes data, and it does not raise.

Who must know which keys go without a command (a replication stream, an append-only file) observes EVENT_EXPIRED and
EVENT_EVICTED. What nobody observes costs one test, together with that for watched keys.
"""

import cython
from cython.cimports.libc.stdint import uint32_t
from cython.cimports.minikv.engine.record import TYPE_HASH, TYPE_HASH_TTL, TYPE_LIST, TYPE_SET, TYPE_STREAM


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def event_class_of(kind: uint32_t) -> cython.int:
    """The class of events on collections of an RDB type."""
    if kind == TYPE_LIST:
        return EVENT_LIST
    if kind == TYPE_SET:
        return EVENT_SET
    if kind in (TYPE_HASH, TYPE_HASH_TTL):
        return EVENT_HASH
    return EVENT_STREAM if kind == TYPE_STREAM else EVENT_SORTED_SET

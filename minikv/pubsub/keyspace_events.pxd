from minikv.pubsub.registry cimport Registry


cdef class KeyspaceEvents:
    cdef Registry registry
    cdef list by_key, by_event      # the channels' prefixes, by database number
    cdef bint names_keys, names_events

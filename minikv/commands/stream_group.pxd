from minikv.dispatch.client cimport Client
from minikv.keyspace.stream cimport Stream
from minikv.keyspace.stream_group cimport Group

cdef Stream existing(Client ctx, bytes key)

from minikv.keyspace.list cimport List

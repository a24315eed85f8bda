from minikv.keyspace.set cimport Set

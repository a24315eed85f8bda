from minikv.keyspace.hash cimport Hash

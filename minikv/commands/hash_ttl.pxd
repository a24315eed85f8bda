from minikv.dispatch.client cimport Client
from minikv.keyspace.hash cimport Hash

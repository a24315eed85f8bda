from minikv.dispatch.client cimport Client
from minikv.keyspace.list cimport List

from minikv.dispatch.client cimport Client
from minikv.keyspace.set cimport Set

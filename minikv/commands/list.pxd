from minikv.commands.client cimport Client
from minikv.keyspace.list cimport List

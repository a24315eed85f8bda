from minikv.commands.client cimport Client
from minikv.keyspace.set cimport Set

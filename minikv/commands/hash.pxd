from minikv.commands.client cimport Client
from minikv.keyspace.hash cimport Hash

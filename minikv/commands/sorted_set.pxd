from minikv.commands.client cimport Client
from minikv.commands.double cimport parse_double
from minikv.keyspace.sorted_set cimport SortedSet

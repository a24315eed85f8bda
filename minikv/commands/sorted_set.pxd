from minikv.dispatch.client cimport Client
from minikv.algorithms.double cimport parse_double
from minikv.keyspace.sorted_set cimport SortedSet

"""The keyspace: databases, expiry, watches; the only door to stored data."""

from minikv.keyspace.database import NO_EXPIRY, Database, Keyspace, Watch

__all__ = ["NO_EXPIRY", "Database", "Keyspace", "Watch"]

"""The keyspace: databases, expiry, watches; the only door to stored data."""

from minikv.keyspace.database import AUTO, EMBSTR, NO_EXPIRY, RAW, Database, Keyspace, Watch

__all__ = ["AUTO", "EMBSTR", "NO_EXPIRY", "RAW", "Database", "Keyspace", "Watch"]

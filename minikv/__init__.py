"""minikv: a Redis-compatible server whose snapshots cost next to nothing."""

__version__ = "0.1.0"

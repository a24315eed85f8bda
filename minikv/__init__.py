"""minikv: a Redis-compatible server whose snapshots cost next to nothing."""

__version__ = "0.2.0"

# What INFO and --version report: the release whose commands, replies and files are the measure.
REDIS_VERSION = "7.0.15"

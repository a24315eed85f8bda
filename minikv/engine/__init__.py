"""The engine: records in an arena that a forked child can read, and indexes that it cannot.

    memory    reservations of address space; blocks of parent-only memory
    arena     segments, the bitmap of live records, what is frozen by a snapshot
    record    a record's bytes: RDB wire form
    table     hash index from key to record
    ordered   counted B-trees; the expiry index, the order of sorted sets
    sequence  counted trees of list nodes
    scored    one tree of a sorted set as an object, for tests
    key_store one database's records, holes and indexes
    int64     decimal text of signed 64-bit integers
    populate  memory for a load, made ready by a second thread
    stream_tail  what a stream has besides its nodes, with large groups in tables
    walker    the frozen arena as a stream of RDB bytes

Every module here works on bytes and addresses and is compiled by Cython.
"""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
MADE = PACKAGE.parent / "build" / "made"  # written by the build of a checkout


def newer_sources() -> list[str]:
    """The sources that have changed since this checkout was compiled; none in an installed package."""
    if not MADE.exists():
        return []
    made_ns = MADE.stat().st_mtime_ns
    compiled = [library.with_name(library.name.partition(".")[0] + ".py") for library in PACKAGE.rglob("*.so")]
    sources = [*compiled, *PACKAGE.rglob("*.pxd")]
    return sorted(
        str(path.relative_to(PACKAGE)) for path in sources if path.exists() and path.stat().st_mtime_ns > made_ns
    )


if not any((Path(__file__).parent / f"memory{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
    raise ImportError("minikv's engine is not compiled: install the package (pip install .) or run make")
if newer := newer_sources():
    raise ImportError(f"minikv's compiled modules are older than their sources ({', '.join(newer)}): run make")

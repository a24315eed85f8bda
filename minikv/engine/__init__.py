"""The engine: records in an arena that a forked child can read, and indexes that it cannot.

    memory    reservations of address space; blocks of parent-only memory
    arena     segments, the bitmap of live records, what is frozen by a snapshot
    record    a record's bytes: RDB wire form
    table     hash index from key to record
    counted   what all counted B-trees share: how nodes split and merge
    ordered   those by order: the expiry index, the order of sorted sets
    sequence  those by position: the nodes of lists
    key_store one database's records, holes and indexes
    int64     decimal text of signed 64-bit integers
    populate  memory for a load, made ready by a second thread
    stream_tail  what a stream has besides its nodes, with large groups in tables
    walker    the frozen arena as a stream of RDB bytes
    testing   some of these as objects, for tests

Every module here works on bytes and addresses and is compiled by Cython.
"""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


def newer_sources(package: Path, made: Path) -> list[str]:
    """The compiled modules' sources that have changed since `made` was written, as paths below the package.

    Only the build of a checkout writes that file: an installed package has none, and nothing is newer.
    """
    if not made.exists():
        return []
    made_ns = made.stat().st_mtime_ns
    compiled = [library.with_name(library.name.partition(".")[0] + ".py") for library in package.rglob("*.so")]
    return sorted(
        str(path.relative_to(package))
        for path in (*compiled, *package.rglob("*.pxd"))
        if path.exists() and path.stat().st_mtime_ns > made_ns
    )


_package = Path(__file__).parents[1]
if not any((Path(__file__).parent / f"memory{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
    raise ImportError("minikv's engine is not compiled: install the package (pip install .) or run make")
if _newer := newer_sources(_package, _package.parent / "build" / "made"):
    raise ImportError(f"minikv's compiled modules are older than their sources ({', '.join(_newer)}): run make")

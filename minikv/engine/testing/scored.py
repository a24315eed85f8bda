# cython: cdivision=True
# distutils: extra_compile_args = -O1
"""One tree of elements as an object: members by (score, bytes), for tests and measurements.

The engine itself uses OrderedTrees, over the arena and with states that lie in its own structures. Here the elements
lie in a buffer of the caller's, each a string in RDB wire form at the offset that is its ref, and all that a sorted set
asks of its tree can be asked from Python.
"""

import cython
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.ordered import (
    Cursor,
    Entry,
    OrderedTrees,
    Probe,
    at_member,
    at_order,
    order_of_score,
    score_of_order,
)


def order_of(score: cython.double) -> int64_t:
    """The order of a score in a tree."""
    return order_of_score(score)


def score_of(order: int64_t) -> cython.double:
    """The score that has this order; 0.0 for that of 0.0 and -0.0."""
    return score_of_order(order)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def probe_of(score: cython.double, member: bytes, after: cython.bint) -> Probe:
    """Points into `member`."""
    return at_member(order_of_score(score), start_of(member), len(member), after)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def start_of(member: bytes) -> cython.pointer[cython.const[uint8_t]]:
    return cython.cast(cython.pointer[cython.const[uint8_t]], PyBytes_AS_STRING(member))


@cython.final
@cython.cclass
class ScoredIndex:
    """Members in `elements`, a buffer that must not be resized, in blocks of `pool`; they go back with `clear`."""

    def __cinit__(self, pool: BlockPool, elements):
        PyObject_GetBuffer(elements, cython.address(self.elements), PyBUF_SIMPLE)
        self.trees = OrderedTrees(pool)
        self.trees.elements = cython.cast(cython.pointer[cython.const[uint8_t]], self.elements.buf)

    def __dealloc__(self):
        PyBuffer_Release(cython.address(self.elements))

    def __len__(self) -> int:
        return self.state.count

    @property
    def count(self) -> int:
        return self.state.count

    @property
    def blocks(self) -> int:
        return self.state.blocks

    # Changing

    def insert(self, score: cython.double, member: bytes, ref: uint64_t) -> bool:
        """Add a member that lies at `ref`; False if the pair was there. ArenaFull leaves the tree as it was."""
        probe: Probe = probe_of(score, member, False)
        return self.trees.insert(cython.address(self.state), cython.address(probe), ref)

    def remove(self, score: cython.double, member: bytes) -> bool:
        probe: Probe = probe_of(score, member, False)
        return self.trees.remove(cython.address(self.state), cython.address(probe))

    def move(self, score: cython.double, member: bytes, ref: uint64_t) -> bool:
        """Tell a member that it has been copied to `ref`; False if it is not there."""
        probe: Probe = probe_of(score, member, False)
        return self.trees.move(cython.address(self.state), cython.address(probe), ref)

    def clear(self) -> None:
        self.trees.clear(cython.address(self.state))

    # Asking: how many entries are below a place, and the first that is not as (score, ref)

    def contains(self, score: cython.double, member: bytes) -> bool:
        probe: Probe = probe_of(score, member, False)
        return self.trees.contains(cython.address(self.state), cython.address(probe))

    def rank(self, score: cython.double, member: bytes, after: cython.bint = False) -> int:
        probe: Probe = probe_of(score, member, after)
        return self.trees.rank(cython.address(self.state), cython.address(probe))

    def rank_of_element(self, score: cython.double, ref: uint64_t) -> int:
        probe: Probe = self.trees.at_element(order_of_score(score), ref)
        return self.trees.rank(cython.address(self.state), cython.address(probe))

    def rank_of_score(self, score: cython.double, after: cython.bint = False) -> int:
        probe: Probe = at_order(order_of_score(score), after)
        return self.trees.rank(cython.address(self.state), cython.address(probe))

    def rank_of_lex(self, member: bytes, after: cython.bint = False) -> int:
        probe: Probe = self.trees.at_lex(cython.address(self.state), start_of(member), len(member), after)
        return self.trees.rank(cython.address(self.state), cython.address(probe))

    def seek(self, score: cython.double, member: bytes, after: cython.bint = False) -> tuple[float, int] | None:
        probe: Probe = probe_of(score, member, after)
        return self.pair(self.trees.seek(cython.address(self.state), cython.address(probe)))

    def seek_score(self, score: cython.double, after: cython.bint = False) -> tuple[float, int] | None:
        probe: Probe = at_order(order_of_score(score), after)
        return self.pair(self.trees.seek(cython.address(self.state), cython.address(probe)))

    def seek_lex(self, member: bytes, after: cython.bint = False) -> tuple[float, int] | None:
        probe: Probe = self.trees.at_lex(cython.address(self.state), start_of(member), len(member), after)
        return self.pair(self.trees.seek(cython.address(self.state), cython.address(probe)))

    def at(self, rank: uint64_t) -> tuple[float, int] | None:
        return self.pair(self.trees.seek_rank(cython.address(self.state), rank))

    def items(self) -> list[tuple[float, int]]:
        found: list = []
        cursor: Cursor = self.trees.seek_first(cython.address(self.state))
        while cursor.leaf:
            found.append(self.pair(cursor))
            cursor = self.trees.following(cursor)
        return found

    def reversed_items(self) -> list[tuple[float, int]]:
        found: list = []
        cursor: Cursor = self.trees.seek_last(cython.address(self.state))
        while cursor.leaf:
            found.append(self.pair(cursor))
            cursor = self.trees.preceding(cursor)
        return found

    def pair(self, cursor: Cursor) -> tuple:
        if cursor.leaf == 0:
            return None
        entry: Entry = self.trees.entry(cursor)
        return (score_of_order(entry.order), entry.ref)

    def check(self) -> None:
        """Prove the invariants of the tree."""
        self.trees.check(cython.address(self.state))

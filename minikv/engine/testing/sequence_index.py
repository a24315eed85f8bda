# cython: cdivision=True
# ruff: noqa: F821
"""One sequence as an object, for tests."""

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.sequence import SequenceCursor, Sequences


@cython.final
@cython.cclass
class SequenceIndex:
    """One sequence in blocks of `pool`; they go back with `clear`.

    An entry is named by the number of any of its elements, and answered as (node, elements).
    """

    def __cinit__(self, pool: BlockPool):
        self.sequences = Sequences(pool)

    def __len__(self) -> int:
        """Elements."""
        return self.state.elements

    @property
    def entries(self) -> int:
        return self.state.entries

    @property
    def blocks(self) -> int:
        return self.state.blocks

    # Changing

    def append(self, node: uint64_t, elements: uint32_t) -> None:
        self.sequences.append(cython.address(self.state), node, elements)

    def prepend(self, node: uint64_t, elements: uint32_t) -> None:
        self.sequences.prepend(cython.address(self.state), node, elements)

    def insert_before(self, number: uint64_t, node: uint64_t, elements: uint32_t) -> tuple[int, int]:
        """Add an entry before the one with element `number`; the entry that the cursor is at then."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.insert_before(cython.address(self.state), cython.address(cursor), node, elements)
        return self.pair(cython.address(cursor))

    def insert_after(self, number: uint64_t, node: uint64_t, elements: uint32_t) -> tuple[int, int]:
        """Add an entry behind the one with element `number`; the entry that the cursor is at then."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.insert_after(cython.address(self.state), cython.address(cursor), node, elements)
        return self.pair(cython.address(cursor))

    def remove(self, number: uint64_t) -> tuple[int, int] | None:
        """Take the entry with element `number` out; the entry behind it."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.remove(cython.address(self.state), cython.address(cursor))
        return self.pair(cython.address(cursor))

    def add(self, number: uint64_t, change: int64_t) -> None:
        """Change how many elements are in the entry with element `number`."""
        cursor: SequenceCursor = self.entry_at(number)
        if self.sequences.elements(cython.address(cursor)) + change < 1:
            raise ValueError("an entry has at least one element")
        self.sequences.add(cython.address(self.state), cython.address(cursor), change)

    def move(self, number: uint64_t, node: uint64_t) -> None:
        """Tell the entry with element `number` that its list node has been copied to `node`."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.move(cython.address(cursor), node)

    def clear(self) -> None:
        """Forget every entry and give all blocks back."""
        self.sequences.clear(cython.address(self.state))

    # Asking

    def find(self, number: uint64_t) -> tuple[int, int] | None:
        """(node, index): where element `number` is."""
        cursor: SequenceCursor
        index: uint32_t = 0
        if not self.sequences.find(cython.address(self.state), number, cython.address(cursor), cython.address(index)):
            return None
        return (self.sequences.node(cython.address(cursor)), index)

    def number_of(self, number: uint64_t) -> int:
        """The number of the first element in the entry with element `number`."""
        cursor: SequenceCursor = self.entry_at(number)
        return self.sequences.number_of(cython.address(self.state), cython.address(cursor))

    def items(self, number: uint64_t = 0) -> list[tuple[int, int]]:
        """The entries from that with element `number` on."""
        cursor: SequenceCursor
        index: uint32_t = 0
        found: list = []
        there: cython.bint = (
            self.sequences.find(cython.address(self.state), number, cython.address(cursor), cython.address(index))
            if number
            else self.sequences.first(cython.address(self.state), cython.address(cursor))
        )
        while there:
            found.append(self.pair(cython.address(cursor)))
            there = self.sequences.following(cython.address(self.state), cython.address(cursor))
        return found

    def reversed_items(self) -> list[tuple[int, int]]:
        cursor: SequenceCursor
        found: list = []
        there: cython.bint = self.sequences.last(cython.address(self.state), cython.address(cursor))
        while there:
            found.append(self.pair(cython.address(cursor)))
            there = self.sequences.preceding(cython.address(self.state), cython.address(cursor))
        return found

    def entry_at(self, number: uint64_t) -> SequenceCursor:
        cursor: SequenceCursor
        index: uint32_t = 0
        if not self.sequences.find(cython.address(self.state), number, cython.address(cursor), cython.address(index)):
            raise IndexError(number)
        return cursor

    def pair(self, cursor: cython.pointer[cython.const[SequenceCursor]]) -> tuple:
        if cursor.block[0] == 0:
            return None
        return (self.sequences.node(cursor), self.sequences.elements(cursor))

    def check(self) -> None:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold."""
        self.sequences.check(cython.address(self.state))

# cython: boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""One chain of elements as an object, for tests and measurements; the engine itself uses Chains with structs."""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.arena import Arena
from cython.cimports.minikv.engine.chain import Chains, Node, Place, merge_patches
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.record import (
    TYPE_NODE,
    Bytes,
    bytes_at,
    length_size,
    read_length,
    string_size,
    write_length,
)

NO_LIMIT = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)


class ElementChain:
    """One chain in `arena`, its sequence in blocks of `pool`.

    store: number of the store that its records lie in. shared: number of the one that the first few lie in, 0 for none.
    beside: another chain of the arena, for what goes from one to the other.
    width: bytes of each element; 0: RDB strings of any bytes. Elements are given and returned as their text.
    """

    def __cinit__(
        self,
        arena: Arena,
        pool: BlockPool,
        store: int,
        shared: int = 0,
        width: int = 0,
        beside: ElementChain = None,
    ):
        self.arena = arena
        self.chains = Chains(arena, pool) if beside is None else beside.chains
        self.chain.store_number = store
        self.chain.shared = shared
        self.chain.width = width
        self.chain.patchable = width == 0
        for number in (store, shared):
            if number:
                arena.heaps[cython.cast(uint32_t, number)].kind = TYPE_NODE

    def __len__(self) -> int:
        return self.chain.nodes.elements

    @property
    def nodes(self) -> int:
        return self.chain.nodes.entries

    @property
    def bytes(self) -> int:
        return self.chain.bytes

    @property
    def shared_bytes(self) -> int:
        return self.chain.shared_bytes

    @property
    def patched_nodes(self) -> int:
        return self.chains.patched_nodes

    @property
    def blocks(self) -> int:
        return self.chain.nodes.blocks

    # Changing

    def insert(self, position: int, element: bytes) -> None:
        self.write(self.chains.insert(cython.address(self.chain), position, self.size_of(element)), element)

    def append(self, element: bytes) -> None:
        self.insert(len(self), element)

    def replace(self, position: int, element: bytes) -> None:
        self.write(self.chains.replace(cython.address(self.chain), position, self.size_of(element)), element)

    def remove(self, position: int, count: int = 1) -> None:
        self.chains.remove(cython.address(self.chain), position, count)

    def remove_equal(self, element: bytes, limit: int = 0, from_end: bool = False) -> int:
        return self.chains.remove_equal(
            cython.address(self.chain),
            cython.cast(Bytes, PyBytes_AS_STRING(element)),
            PyBytes_GET_SIZE(element),
            limit or NO_LIMIT,
            from_end,
        )

    def fill_from(self, source: ElementChain) -> None:
        """Copy another chain's elements into this one, which is empty."""
        self.chains.copy(cython.address(source.chain), cython.address(self.chain))

    def share_with(self, shared: int) -> None:
        self.arena.heaps[cython.cast(uint32_t, shared)].kind = TYPE_NODE
        self.chains.share_with(cython.address(self.chain), shared)

    def fold(self) -> None:
        self.chains.fold(cython.address(self.chain))

    def show(self) -> None:
        self.chains.show_all()

    def clear(self) -> None:
        self.chains.clear(cython.address(self.chain))

    def drop(self) -> None:
        """Forget the elements and drop the chain's own store."""
        self.chains.forget(cython.address(self.chain))
        self.arena.drop_store(self.chain.store_number)

    # Snapshots

    def freeze(self, threaded: bool = False) -> None:
        """Open a snapshot of the arena. threaded: its child is being made, until `thaw` or `born`."""
        self.chains.show_all()
        self.arena.open([0], True, threaded)
        self.seen_nodes = self.shown_nodes()
        self.arena.clone.busy = threaded

    def born(self) -> None:
        self.arena.clone.busy = 0
        self.arena.cloned()
        self.chains.show_all()

    def thaw(self) -> None:
        """Close the snapshot and carry out the deaths that waited for it."""
        self.born()
        self.arena.close()
        self.arena.settle()

    def shown_nodes(self) -> list:
        """A child's copy of what it needs to know of the nodes."""
        number: uint32_t = self.chain.first
        found: list = []
        while number:
            found.append(self.chains.shown[number])
            number = self.chains.shown[number].next
        return found

    def seen(self) -> list:
        """The elements as the child of the last snapshot sees them."""
        return self.elements_of(self.seen_nodes)

    def shown_items(self) -> list:
        """The elements as the child of a snapshot opened now would see them."""
        return self.elements_of(self.shown_nodes())

    def elements_of(self, nodes: list) -> list:
        node: Node
        found: list = []
        room: bytearray = bytearray(1 << 20)
        at: Bytes
        end: Bytes
        for shown in nodes:
            node = shown
            if node.patches:
                at = cython.cast(Bytes, PyByteArray_AS_STRING(room))
                end = merge_patches(self.arena.base, cython.address(node), at)
            else:
                at = self.arena.base + node.body + node.start
                end = self.arena.base + node.body + node.end
            while at < end:
                found.append(self.read(at))
                at += self.chain.width or string_size(at)
        return found

    # Asking

    def get(self, position: int) -> bytes | None:
        size: uint64_t = 0
        at: Bytes = self.chains.find(cython.address(self.chain), position, cython.address(size))
        return None if at == cython.NULL else self.read(at)

    def items(self, start: int = 0) -> list[bytes]:
        """The elements from a position on."""
        place: Place
        found: list = []
        self.chains.place(cython.address(self.chain), start, cython.address(place))
        while place.at != cython.NULL:
            found.append(self.read(place.at))
            self.chains.advance(cython.address(self.chain), cython.address(place))
        return found

    def size_of(self, element: bytes) -> uint64_t:
        length: uint64_t = PyBytes_GET_SIZE(element)
        return self.chain.width or length_size(length) + length

    def write(self, at: Bytes, element: bytes) -> object:
        length: uint64_t = PyBytes_GET_SIZE(element)
        if self.chain.width == 0:
            at = write_length(at, length, length_size(length))
        memcpy(at, PyBytes_AS_STRING(element), length)

    def read(self, at: Bytes) -> bytes:
        length: uint64_t = self.chain.width
        if length == 0:
            at = read_length(at, cython.address(length))
        return bytes_at(at, length)

    def check(self) -> None:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold."""
        self.chains.check(cython.address(self.chain))

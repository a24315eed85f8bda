# cython: boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""One chain of elements as an object, for tests and measurements; the engine itself uses Chains with structs."""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.arena import Arena
from cython.cimports.minikv.engine.chain import Chains, Place
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.record import Bytes, bytes_at, length_size, read_length, write_length

NO_LIMIT = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)


class ElementChain:
    """One chain in `arena`, its sequence in blocks of `pool`.

    store: number of the store that its nodes lie in. shared: number of the one that the first few lie in, 0 for none.
    width: bytes of each element; 0: RDB strings of any bytes. Elements are given and returned as their text.
    """

    def __cinit__(self, arena: Arena, pool: BlockPool, store: int, shared: int = 0, width: int = 0):
        self.arena = arena
        self.chains = Chains(arena, pool)
        self.chain.store_number = store
        self.chain.shared = shared
        self.chain.width = width

    def __len__(self) -> int:
        return self.chain.nodes.elements

    @property
    def nodes(self) -> int:
        return self.chain.nodes.entries

    @property
    def pages(self) -> int:
        return self.chain.pages

    @property
    def shared_pages(self) -> int:
        return self.chain.shared_pages

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
        self.chains.share_with(cython.address(self.chain), shared)

    def clear(self) -> None:
        self.chains.clear(cython.address(self.chain))

    def drop(self) -> None:
        """Forget the elements and drop the chain's own store."""
        self.chains.forget(cython.address(self.chain))
        self.arena.drop_store(self.chain.store_number)

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

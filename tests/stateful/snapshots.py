"""Snapshots at any moment: the rules that every machine on a keyspace has.

A snapshot is what it is in the server: a forked child that walks the frozen arena, here a piece at a time and whenever
the machine says so, while the parent goes on writing. What it has seen must be the model's contents at the fork.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from minikv.keyspace import Keyspace

BUFFER = 100_000


class Child:
    """A forked process that walks the snapshot when it is told to, and tells what it has written."""

    def __init__(self, keyspace: Keyspace) -> None:
        orders, self.orders = os.pipe()
        self.answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            os.close(self.orders)
            os.close(self.answers)
            with contextlib.suppress(BaseException):
                walk(keyspace, orders, answers)
                status = 0
            os._exit(status)
        os.close(orders)
        os.close(answers)
        self.stream = b""

    def step(self) -> bool:
        """One buffer more; False at the end of the walk."""
        os.write(self.orders, b".")
        head = self.read_exactly(8)
        piece = self.read_exactly(struct.unpack("<Q", head)[0])
        self.stream += piece
        return bool(piece)

    def read_exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self.answers, min(size, 1 << 20))
            assert part, "the child died"
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def end(self) -> int:
        os.close(self.orders)
        os.close(self.answers)
        return os.waitpid(self.pid, 0)[1]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.end()


def walk(keyspace: Keyspace, orders: int, answers: int) -> None:
    """The child's whole life: for each order one filled buffer."""
    walker = keyspace.walker()
    buffer = bytearray(BUFFER)
    while os.read(orders, 1):
        filled = walker.fill(buffer)
        walker.publish()
        walker.release()
        rest = memoryview(struct.pack("<Q", filled) + buffer[:filled])
        while rest:
            rest = rest[os.write(answers, rest) :]


class SnapshotMachine(RuleBasedStateMachine):
    """`real` is the keyspace. may_compress: `compare_walk` reads compressed strings."""

    real: Any
    may_compress = False

    def __init__(self) -> None:
        super().__init__()
        self.child: Child | None = None
        self.frozen: Any = None

    def settle(self) -> None:
        """Remove what has expired, in the keyspace and in the model, if anything expires."""

    def contents(self) -> Any:
        """What the model holds."""
        raise NotImplementedError

    def compare_walk(self, stream: bytes, expected: Any) -> None:
        """The bytes of a walk must be what the model held."""
        raise NotImplementedError

    @precondition(lambda self: self.child is None)
    @rule(relocate=st.booleans())
    def open_snapshot(self, relocate: bool) -> None:
        self.settle()
        self.frozen = self.contents()
        self.real.snapshot_open(relocate)
        self.child = Child(self.real)

    @precondition(lambda self: self.child is not None)
    @rule(steps=st.integers(1, 5))
    def walk_on(self, steps: int) -> None:
        assert self.child is not None
        for _ in range(steps):
            self.child.step()

    @precondition(lambda self: self.child is not None)
    @rule()
    def finish_snapshot(self) -> None:
        assert self.child is not None
        while self.child.step():
            pass
        assert self.child.end() == 0
        stream = self.child.stream
        self.child = None
        self.real.snapshot_close()
        self.compare_walk(stream, self.frozen)

    @precondition(lambda self: self.child is not None)
    @rule()
    def lose_the_child(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child = None
        self.real.snapshot_close()

    @precondition(lambda self: self.child is None)
    @rule(compress=st.booleans())
    def save_in_the_parent(self, compress: bool) -> None:
        self.settle()
        walker, buffer, stream = self.real.walker(), bytearray(BUFFER), b""
        while filled := walker.fill(buffer, 0, compress and self.may_compress):
            stream += buffer[:filled]
        self.compare_walk(stream, self.contents())

    def teardown(self) -> None:
        if self.child is not None:
            self.lose_the_child()

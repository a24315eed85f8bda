"""What the servers hold: numbered keys of 16 bytes, and values that can be told apart and checked.

Keys are named as redis-benchmark names them (`key:000000000042`), so that its random reads find them. A value is a
window on one block of random bytes: nothing compresses, and generating costs less than sending.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.client import Client

KEY_LEN = 16
BATCH = 400  # requests in one write: large enough to hide the round trip, small enough for any query buffer
NOISE_BYTES = 1 << 20


class Filling(Protocol):
    """What a server can be filled with, and looked through for."""

    def load(self, client: Client) -> None: ...
    def verify(self, client: Client) -> None: ...


@dataclass
class DataSet:
    """`count` strings of `value_len` bytes; `seed` decides every byte."""

    count: int
    value_len: int
    seed: int
    noise: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.noise = random.Random(self.seed).randbytes(NOISE_BYTES + self.value_len)

    @property
    def payload_bytes(self) -> int:
        return self.count * (KEY_LEN + self.value_len)

    def key(self, number: int) -> bytes:
        return b"key:%012d" % number

    def value(self, number: int, version: int = 0) -> bytes:
        start = (number * 7919 + version * 104729) % NOISE_BYTES
        return self.noise[start : start + self.value_len]

    def writes(self, numbers: Sequence[int], version: int = 0) -> Iterator[tuple[bytes, int]]:
        """SETs of these keys in batches for `Client.pipeline`."""
        form = b"*3\r\n$3\r\nSET\r\n$%d\r\n%%b\r\n$%d\r\n%%b\r\n" % (KEY_LEN, self.value_len)
        for batch in in_batches(numbers):
            yield b"".join([form % (self.key(n), self.value(n, version)) for n in batch]), len(batch)

    def reads(self, numbers: Sequence[int]) -> Iterator[tuple[bytes, int]]:
        """GETs of these keys in batches for `Client.pipeline`."""
        form = b"*2\r\n$3\r\nGET\r\n$%d\r\n%%b\r\n" % KEY_LEN
        for batch in in_batches(numbers):
            yield b"".join([form % self.key(n) for n in batch]), len(batch)

    def deletes(self, numbers: Sequence[int]) -> Iterator[tuple[bytes, int]]:
        """DELs of these keys in batches for `Client.pipeline`."""
        form = b"*2\r\n$3\r\nDEL\r\n$%d\r\n%%b\r\n" % KEY_LEN
        for batch in in_batches(numbers):
            yield b"".join([form % self.key(n) for n in batch]), len(batch)

    def load(self, client: Client) -> None:
        client.pipeline(self.writes(range(self.count)))

    def sample(self, count: int, seed: int) -> list[int]:
        """`count` different keys, at random."""
        return random.Random(f"{self.seed}-{seed}").sample(range(self.count), min(count, self.count))

    def verify(self, client: Client, versions: dict[int, int] | None = None, count: int = 2000) -> None:
        """Fail if the number of keys or a random value is wrong: a server that loses data is not measured."""
        size = client.command("DBSIZE")
        if size != self.count:
            raise RuntimeError(f"the server holds {size} keys instead of {self.count}")
        for number in self.sample(count, -1):
            if client.command("GET", self.key(number)) != self.value(number, (versions or {}).get(number, 0)):
                raise RuntimeError(f"the server returned a wrong value for {self.key(number)!r}")


def in_batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), BATCH):
        yield numbers[start : start + BATCH]

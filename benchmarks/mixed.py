"""Collections of every type: single large ones, and a data set of which they are a tenth.

An element is a name of 16 bytes and, but in a list, sorts or carries something: a hash's element has a value, a sorted
set's a score of 8 bytes. Members may be longer than their names. A stream's entry is a field of 8 bytes with a value.
As in datasets.py, values are windows on one block of random bytes, and everything follows from numbers and the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.client import Client
from benchmarks.datasets import NOISE_BYTES, in_batches

NAME_LEN = 16
SCORE_BYTES = 8
SCORES = 1_000_000
FIELD = b"field:00"  # of every stream entry
FIRST_MS = 1_700_000_000_000  # of the ID of a stream's first entry
ELEMENTS_AT_ONCE = 100  # of one command
SAMPLE = 500  # elements of each part that are looked at

Requests = Iterator[tuple[bytes, int]]


@dataclass(frozen=True)
class Part:
    """`keys` keys of a type with so many elements each; filler_len bytes beside each element's name."""

    kind: str
    keys: int
    elements: int
    filler_len: int = 0

    @property
    def payload_bytes(self) -> int:
        """What was sent of each element, without names of commands and keys and without IDs of entries."""
        element = {
            "string": self.filler_len,
            "hash": NAME_LEN + self.filler_len,
            "list": self.filler_len,
            "set": NAME_LEN + self.filler_len,
            "zset": NAME_LEN + self.filler_len + SCORE_BYTES,
            "stream": len(FIELD) + self.filler_len,
        }[self.kind]
        return self.keys * self.elements * element

    @property
    def name(self) -> str:
        """In a table: `15,000 sets of 200`."""
        plural = {"hash": "hashes", "zset": "sorted sets"}.get(self.kind, f"{self.kind}s")
        return f"{self.keys:,} {plural} of {self.elements:,}"

    @property
    def elements_at_once(self) -> int:
        """How many elements one command adds."""
        return 1 if self.kind == "stream" else ELEMENTS_AT_ONCE

    @property
    def change_name(self) -> str:
        """The command that changes one of its elements."""
        return "LSET" if self.kind == "list" else ADDING[self.kind].decode()

    def key(self, number: int) -> bytes:
        return b"%b:%d:%010d" % (self.kind.encode(), self.elements, number)


ADDING = {
    "string": b"SET", "hash": b"HSET", "list": b"RPUSH", "set": b"SADD", "zset": b"ZADD", "stream": b"XADD",
}  # fmt: skip

# At full scale about 1 GB as it is sent: a quarter in strings, a tenth in four large collections.
MIXED = (
    Part("string", 250_000, 1, 1000),
    Part("hash", 100_000, 20, 84),
    Part("list", 100_000, 20, 100),
    Part("set", 80_000, 20, 48),
    Part("zset", 60_000, 20, 48),
)
LARGE = (
    Part("hash", 1, 300_000, 84),
    Part("list", 1, 300_000, 100),
    Part("set", 1, 300_000, 48),
    Part("zset", 1, 300_000, 48),
)


@dataclass
class Collections:
    """Some parts; `seed` decides every byte."""

    parts: Sequence[Part]
    seed: int
    noise: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.noise = random.Random(self.seed).randbytes(NOISE_BYTES + max(part.filler_len for part in self.parts))

    @property
    def count(self) -> int:
        """The number of keys."""
        return sum(part.keys for part in self.parts)

    @property
    def payload_bytes(self) -> int:
        return sum(part.payload_bytes for part in self.parts)

    def words(self, part: Part, key: int, element: int, version: int = 0) -> tuple[bytes, ...]:
        """What an element consists of, in the order in which the command takes it."""
        start = (key * 31 + element * 7919 + (0 if part.kind in ("set", "zset") else version * 104729)) % NOISE_BYTES
        filler = self.noise[start : start + part.filler_len]
        name = b"member:%09d" % element
        if part.kind == "hash":
            return name, filler
        if part.kind == "zset":
            return b"%d" % ((element * 7919 + version * 104729) % SCORES), name + filler
        if part.kind == "stream":
            return b"%d-0" % (FIRST_MS + element), FIELD, filler
        return (name + filler,) if part.kind == "set" else (filler,)

    def writes(self, part: Part) -> Requests:
        """All of a part in batches for `Client.pipeline`."""
        requests = []
        for key in range(part.keys):
            for words in self.additions(part, key):
                requests.append(request(words))
                if len(requests) == ELEMENTS_AT_ONCE:
                    yield b"".join(requests), len(requests)
                    requests = []
        yield b"".join(requests), len(requests)

    def additions(self, part: Part, key: int) -> Iterator[list[bytes]]:
        """The commands that fill one key."""
        for start in range(0, part.elements, part.elements_at_once):
            words = [ADDING[part.kind], part.key(key)]
            for element in range(start, min(start + part.elements_at_once, part.elements)):
                words += self.words(part, key, element)
            yield words

    def changes(self, part: Part, elements: Sequence[int], version: int) -> Requests:
        """New values or scores for elements of a part's first key, one command each."""
        for batch in in_batches(elements):
            yield b"".join([request(self.change(part, element, version)) for element in batch]), len(batch)

    def change(self, part: Part, element: int, version: int) -> list[bytes]:
        words = self.words(part, 0, element, version)
        place = [b"%d" % element] if part.kind == "list" else []
        return [part.change_name.encode(), part.key(0), *place, *words]

    def load(self, client: Client) -> None:
        for part in self.parts:
            client.pipeline(self.writes(part))

    def sample(self, part: Part, count: int, seed: int) -> list[int]:
        """`count` different elements of a part, at random."""
        return random.Random(f"{self.seed}-{seed}").sample(range(part.elements), min(count, part.elements))

    def verify(self, client: Client, versions: dict[tuple[Part, int], int] | None = None) -> None:
        """Fail if the number of keys or a random element is wrong; versions: of changed elements of first keys."""
        size = client.command("DBSIZE")
        if size != self.count:
            raise RuntimeError(f"the server holds {size} keys instead of {self.count}")
        for part in self.parts:
            for number in self.sample(part, SAMPLE, -1):
                key = random.Random(number).randrange(part.keys)
                version = (versions or {}).get((part, number), 0) if key == 0 else 0
                words = self.words(part, key, number, version)
                if stored(client, part, key, number, words) != words:
                    raise RuntimeError(f"the server returned a wrong element {number} of {part.key(key)!r}")


def stored(client: Client, part: Part, key: int, element: int, words: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """An element, found by its words where it has no number, as the server has it."""
    name = part.key(key)
    if part.kind == "string":
        return (client.command("GET", name),)
    if part.kind == "hash":
        field_name = b"member:%09d" % element
        return field_name, client.command("HGET", name, field_name)
    if part.kind == "list":
        return (client.command("LINDEX", name, element),)
    if part.kind == "set":
        return words if client.command("SISMEMBER", name, words[0]) else ()
    if part.kind == "stream":
        entries = client.command("XRANGE", name, words[0], words[0])
        return (entries[0][0], *entries[0][1]) if entries else ()
    return client.command("ZSCORE", name, words[1]), words[1]


def request(words: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def mixed(scale: float) -> list[Part]:
    """The mixed data set: fewer small keys, and smaller large collections, by the scale."""
    small = [Part(part.kind, max(1, int(part.keys * scale)), part.elements, part.filler_len) for part in MIXED]
    large = [Part(part.kind, 1, max(1, int(part.elements * scale)), part.filler_len) for part in LARGE]
    return small + large

"""Many collections of a few shapes, filled about as fast as a server takes them.

A collection's content is one of BODIES that are made once; a key is filled by joining the body's text with the key's
name. Otherwise as in mixed.py: everything follows from numbers and the seed, and can be looked up again.
"""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.client import Client
from benchmarks.mixed import SAMPLE, SCORE_BYTES, Collections, Part, Requests, request, stored

BODIES = 16
BATCH_BYTES = 1 << 16  # of requests in one write: their replies fit into the buffers of the sockets
GROUPS = 4
PENDING = 1000  # entries that one consumer of each group has read and not acknowledged

# Every byte of a value is a letter, so that replies can be told by their number of lines.
LETTERS = (string.ascii_letters * 5).encode()[:256]

# Bytes beside an element's name that make it one of ELEMENT_BYTES, scores and fields of entries included.
FILLERS = {"hash": 16, "set": 16, "zset": 8, "list": 32, "stream": 24}
ELEMENT_BYTES = 32

Pick = tuple[int, int]  # number of the key, number of the element


@dataclass
class Population(Collections):
    """Some parts of many keys each; `seed` decides every byte."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.noise = self.noise.translate(LETTERS)

    def words(self, part: Part, key: int, element: int, version: int = 0) -> tuple[bytes, ...]:
        words = super().words(part, key % BODIES, element, version)
        if part.kind == "zset":
            # A time in ms, which fills the eight bytes of a score: redis-server keeps small integers in two or three.
            return b"%d" % (1_700_000_000_000 + int(words[0])), words[1]
        return words

    def writes(self, part: Part) -> Requests:
        bodies = [self.body(part, number) for number in range(min(BODIES, part.keys))]
        yield from joined(
            (part.key(key).join(texts), len(texts) - 1) for key in range(part.keys) for texts in bodies[key % BODIES]
        )

    def body(self, part: Part, number: int) -> list[list[bytes]]:
        """The commands that fill one key, some at a time, as the texts between the places of the key's name."""
        commands = [request(words) for words in self.additions(part, number)]
        at_once = 100 // part.elements_at_once or 1
        return [
            b"".join(commands[start : start + at_once]).split(part.key(number))
            for start in range(0, len(commands), at_once)
        ]

    def picks(self, part: Part, writes: int, seed: int) -> list[Pick]:
        """Different elements of all keys, at random, whose edits take `writes` commands; a key's in ascending order."""
        total = part.keys * part.elements
        count = min(writes // 2 if part.kind == "set" else writes, total)
        numbers = random.Random(f"{self.seed}-{seed}").sample(range(total), count)
        return sorted((divmod(number, part.elements) for number in numbers), key=lambda pick: pick[1])

    def edits(self, part: Part, picks: Iterable[Pick], version: int) -> Requests:
        """Write one element for each pick: a new one into a set or a stream, else a new value or score."""
        return joined(edit for key, element in picks for edit in self.edit(part, key, element, version))

    def edit(self, part: Part, key: int, element: int, version: int) -> Iterator[tuple[bytes, int]]:
        """A set loses the element for which it gets a new one."""
        if part.kind == "set":
            yield request([b"SREM", part.key(key), *self.words(part, key, element)]), 1
        place = [b"%d" % element] if part.kind == "list" else []
        words = self.edited(part, key, element, version)
        yield request([part.change_name.encode(), part.key(key), *place, *words]), 1

    def edited(self, part: Part, key: int, element: int, version: int) -> tuple[bytes, ...]:
        """What an edit has written."""
        new = element + version * part.elements if part.kind in ("set", "stream") else element
        return self.words(part, key, new, version)

    @staticmethod
    def edited_bytes(part: Part) -> int:
        """How many new bytes an edit brings."""
        if part.kind == "zset":
            return SCORE_BYTES
        return part.payload_bytes // (part.keys * part.elements) if part.kind in ("set", "stream") else part.filler_len

    def verify_edits(self, client: Client, part: Part, picks: Sequence[Pick], version: int) -> None:
        """Fail if one of some edited elements is not what was written."""
        for key, element in picks[:: len(picks) // SAMPLE + 1]:
            words = self.edited(part, key, element, version)
            if stored(client, part, key, element, words) != words:
                raise RuntimeError(f"the server returned a wrong element {element} of {part.key(key)!r}")


class Grouped(Population):
    """Streams with consumer groups, in each of which some entries are pending."""

    def load(self, client: Client) -> None:
        super().load(client)
        for part in self.parts:
            for key, group in itertools.product(map(part.key, range(part.keys)), range(GROUPS)):
                client.command("XGROUP", "CREATE", key, group, 0)
                client.command("XREADGROUP", "GROUP", group, "consumer", "COUNT", PENDING, "STREAMS", key, ">")


def shaped(kind: str, elements: int, nbytes: int) -> Part:
    """So many bytes of collections, at least one, with elements of ELEMENT_BYTES."""
    return Part(kind, max(1, nbytes // (elements * ELEMENT_BYTES)), elements, FILLERS[kind])


def joined(requests: Iterable[tuple[bytes, int]]) -> Requests:
    """The same requests in batches for `Client.pipeline`."""
    texts: list[bytes] = []
    count = size = 0
    for text, replies in requests:
        texts.append(text)
        count += replies
        size += len(text)
        if size >= BATCH_BYTES:
            yield b"".join(texts), count
            texts, count, size = [], 0, 0
    if texts:
        yield b"".join(texts), count

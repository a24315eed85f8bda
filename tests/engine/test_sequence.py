"""The counted tree of list nodes against a plain list: positions, cursors, memory, and a pool that is full."""

import random
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from minikv.engine.memory import BlockPool
from minikv.engine.testing.sequence_index import SequenceIndex
from minikv.errors import ArenaFull
from tests.harness.examples import scaled

BLOCK = 4096
CAPACITY = 340  # places in a node of the tree


class Pair:
    """A SequenceIndex and the list of [node, elements] that it has to agree with."""

    def __init__(self, pool: BlockPool) -> None:
        self.index = SequenceIndex(pool)
        self.model: list[tuple[int, int]] = []
        self.next_node = 1 << 40

    def new_node(self) -> int:
        self.next_node += 16
        return self.next_node

    def number_of(self, entry: int) -> int:
        """The number of the first element of an entry."""
        return sum(elements for _, elements in self.model[:entry])

    def insert(self, entry: int, elements: int, number: int | None = None) -> None:
        """Insert before entry number `entry`, by one of the four ways that lead there."""
        node = self.new_node()
        ways = []
        if entry == 0:
            ways.append(lambda: self.index.prepend(node, elements))
        if entry == len(self.model):
            ways.append(lambda: self.index.append(node, elements))
        if entry < len(self.model):
            number = self.number_of(entry) if number is None else number
            ways.append(lambda: self.index.insert_before(number, node, elements))
        if entry:
            last = (self.number_of(entry) if number is None else number) - 1
            ways.append(lambda: self.index.insert_after(last, node, elements))
        assert ways[node // 16 % len(ways)]() in (None, (node, elements))
        self.model.insert(entry, (node, elements))

    def remove(self, entry: int, number: int | None = None) -> None:
        number = self.number_of(entry) + self.model[entry][1] - 1 if number is None else number
        self.model.pop(entry)
        assert self.index.remove(number) == (self.model[entry] if entry < len(self.model) else None)

    def add(self, entry: int, change: int) -> None:
        self.index.add(self.number_of(entry), change)
        node, elements = self.model[entry]
        self.model[entry] = (node, elements + change)

    def check(self) -> None:
        self.index.check()
        assert self.index.items() == self.model
        assert self.index.reversed_items() == self.model[::-1]
        assert self.index.entries == len(self.model)
        assert len(self.index) == sum(elements for _, elements in self.model)

    def check_numbers(self, stride: int) -> None:
        """Every `stride`-th element is where it ought to be."""
        starts = [0, *accumulate(elements for _, elements in self.model)]
        for number in range(0, starts[-1], stride):
            entry = bisect_right(starts, number) - 1
            assert self.index.find(number) == (self.model[entry][0], number - starts[entry])
            assert self.index.number_of(number) == starts[entry]
        assert self.index.find(starts[-1]) is None


@pytest.fixture
def pair(pool: BlockPool) -> Iterator[Pair]:
    pair = Pair(pool)
    yield pair
    pair.check()
    assert pool.used == pair.index.blocks
    pair.index.clear()
    pair.index.check()
    assert pool.used == 0


def test_empty_sequence_answers_nothing_and_holds_no_block(pair: Pair) -> None:
    assert len(pair.index) == pair.index.entries == pair.index.blocks == 0
    assert pair.index.find(0) is None and pair.index.find(2**64 - 1) is None
    assert pair.index.items() == pair.index.reversed_items() == []
    with pytest.raises(IndexError):
        pair.index.remove(0)


def test_elements_are_numbered_through_all_entries(pair: Pair) -> None:
    for elements in (3, 1, 2**32 - 1, 2):
        pair.insert(len(pair.model), elements)
    nodes = [node for node, _ in pair.model]
    assert [pair.index.find(number) for number in (0, 2, 3, 4, 2**32 + 2, 2**32 + 3, 2**32 + 4)] == [
        (nodes[0], 0),
        (nodes[0], 2),
        (nodes[1], 0),
        (nodes[2], 0),
        (nodes[2], 2**32 - 2),
        (nodes[3], 0),
        (nodes[3], 1),
    ]
    assert pair.index.find(2**32 + 5) is None
    assert pair.index.number_of(2**32 + 2) == 4


def test_a_change_of_an_entry_moves_all_behind_it(pair: Pair) -> None:
    for _ in range(3000):
        pair.insert(len(pair.model), 5)
    for entry, change in ((0, 7), (2999, -4), (1500, 2**31), (1500, -(2**31)), (1234, 1), (1235, -1)):
        pair.add(entry, change)
        pair.index.check()
    pair.check_numbers(17)
    with pytest.raises(ValueError):
        pair.index.add(0, -12)


def test_a_node_that_moves_keeps_its_entry(pair: Pair) -> None:
    for _ in range(1000):
        pair.insert(0, 3)
    for entry in range(1000):
        node = pair.new_node()
        pair.index.move(entry * 3 + entry % 3, node)
        pair.model[entry] = (node, 3)


@pytest.mark.parametrize("place", ["start", "end", "middle", "anywhere"])
def test_entries_grow_and_go_at_any_place(pair: Pair, place: str) -> None:
    dice = random.Random(place)

    def choose(n: int) -> int:
        return {"start": 0, "end": n, "middle": n // 2, "anywhere": dice.randint(0, n)}[place]

    for i in range(4000):
        pair.insert(choose(len(pair.model)), 1 + i % 3)
        if i % 500 == 0:
            pair.check()
    pair.check()
    pair.check_numbers(31)
    while pair.model:
        pair.remove(choose(len(pair.model) - 1))
        if len(pair.model) % 500 == 0:
            pair.check()
    assert pair.index.blocks == 0


def test_three_levels_agree_with_a_list(pair: Pair) -> None:
    dice = random.Random(3)
    entries = 2 * CAPACITY * CAPACITY  # more leaves than one inner node holds
    for i in range(entries):
        elements = dice.randint(1, 9)
        pair.index.append(i + 1, elements)
        pair.model.append((i + 1, elements))
    pair.check()
    pair.check_numbers(9973)
    starts = [0, *accumulate(elements for _, elements in pair.model)]
    for entry in range(entries - 1, 0, -1):  # the later ones first: earlier numbers stay
        if entry % 5:
            pair.model[entry] = (0, 0)
            pair.index.remove(starts[entry])
            if entry % 50_001 == 0:
                pair.index.check()
    pair.model = [entry for entry in pair.model if entry[0]]
    pair.check()
    pair.check_numbers(997)


def test_an_entry_costs_13_to_18_bytes(pool: BlockPool) -> None:
    n = 50_000
    dice = random.Random(5)
    for name in ("append", "prepend", "anywhere"):
        index = SequenceIndex(pool)
        for i in range(n):
            if name == "append":
                index.append(i + 1, 1)
            elif name == "prepend" or i == 0:
                index.prepend(i + 1, 1)
            else:
                index.insert_after(dice.randrange(i), i + 1, 1)
        assert index.blocks * BLOCK <= (18 if name == "anywhere" else 14) * n, name
        for i in range(n * 9 // 10):
            index.remove(dice.randrange(n - i))
        index.check()
        assert index.blocks * BLOCK <= 37 * index.entries + 2 * BLOCK, name
        index.clear()


@pytest.mark.parametrize(
    "blocks", [0, 1, 2, 3, 4, 10, *(pytest.param(blocks, marks=pytest.mark.slow) for blocks in (341, 342, 343))]
)
def test_full_pool_refuses_an_entry_and_changes_nothing(blocks: int) -> None:
    pool = BlockPool((blocks + 1) * BLOCK)  # block 0 is never handed out
    pair = Pair(pool)
    dice = random.Random(blocks)
    refused = 0
    for node in range(1, 350 * blocks + 10):
        before = pair.index.blocks
        entry = dice.randint(0, len(pair.model))
        try:
            if entry == len(pair.model):
                pair.index.append(node, 1)
            else:
                pair.index.insert_before(entry, node, 1)  # one element each: an entry has its number
            pair.model.insert(entry, (node, 1))
        except ArenaFull:
            refused += 1
            assert pair.index.blocks == before == pool.used
            if refused % 1000 == 1:
                pair.check()
    assert refused
    pair.check()
    while pair.model:
        pair.remove(len(pair.model) // 2, len(pair.model) // 2)
    assert pool.used == 0


def test_two_sequences_share_a_pool(pool: BlockPool) -> None:
    first, second = SequenceIndex(pool), SequenceIndex(pool)
    for i in range(3000):
        first.append(i + 1, 1)
        second.prepend(i + 1, 1)
    assert pool.used == first.blocks + second.blocks
    first.clear()
    assert pool.used == second.blocks and len(second) == 3000
    second.check()
    second.clear()
    assert pool.used == 0


places = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


class SequenceMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(16 << 20)
        self.pool.poison = True
        self.pair = Pair(self.pool)

    @rule(place=places, step=st.integers(0, 2), n=st.integers(1, 1500), elements=st.integers(1, 200))
    def insert_run(self, place: float, step: int, n: int, elements: int) -> None:
        entry = int(place * len(self.pair.model))
        number = self.pair.number_of(entry)
        for i in range(n):
            self.pair.insert(entry, 1 + (elements + i) % 200, number)
            for passed in self.pair.model[entry : entry + step]:
                number += passed[1]
            entry = min(entry + step, len(self.pair.model))

    @rule(place=places, n=st.integers(1, 1500), step=st.integers(0, 3))
    def remove_run(self, place: float, n: int, step: int) -> None:
        entry = int(place * len(self.pair.model))
        number = self.pair.number_of(entry)
        while n and entry < len(self.pair.model):
            self.pair.remove(entry, number)
            number += sum(elements for _, elements in self.pair.model[entry : entry + step])
            entry += step
            n -= 1

    @rule(place=places, change=st.integers(-300, 300))
    def add(self, place: float, change: int) -> None:
        entry = int(place * len(self.pair.model))
        if entry < len(self.pair.model):
            self.pair.add(entry, max(change, 1 - self.pair.model[entry][1]))

    @rule(place=places)
    def ask(self, place: float) -> None:
        entry = int(place * len(self.pair.model))
        if entry < len(self.pair.model):
            number = self.pair.number_of(entry)
            node, elements = self.pair.model[entry]
            assert self.pair.index.find(number) == (node, 0)
            assert self.pair.index.find(number + elements - 1) == (node, elements - 1)
            assert self.pair.index.items(number)[:3] == self.pair.model[entry : entry + 3]
            assert self.pair.index.number_of(number + elements - 1) == number

    @rule()
    def clear(self) -> None:
        self.pair.index.clear()
        self.pair.model.clear()
        assert self.pool.used == 0

    @invariant()
    def agrees(self) -> None:
        self.pair.check()
        assert self.pool.used == self.pair.index.blocks


SequenceMachine.TestCase.settings = scaled(1, steps=30)
TestSequenceMachine = SequenceMachine.TestCase

"""The counted B-tree against a sorted list: order, counts, memory, and what happens when the pool is full."""

import random
from bisect import bisect_left, insort
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from minikv.engine.memory import BlockPool
from minikv.engine.ordered import OrderedIndex
from minikv.errors import ArenaFull
from tests.harness.examples import scaled

BLOCK = 4096
LOWEST = (-(2**63), 0)
HIGHEST = (2**63 - 1, 2**64 - 1)


@pytest.fixture
def index(pool: BlockPool) -> Iterator[OrderedIndex]:
    index = OrderedIndex(pool)
    yield index
    index.check()
    assert pool.used == index.blocks
    index.clear()
    index.check()
    assert pool.used == 0


def shuffled_pairs(n: int, orders: int) -> list[tuple[int, int]]:
    """`n` different pairs with at most `orders` different orders, negative ones too; the same on every run."""
    dice = random.Random(n)
    pairs = [(dice.randrange(orders) - orders // 2, ref << 40) for ref in range(n)]
    dice.shuffle(pairs)
    return pairs


def test_empty_index_answers_nothing_and_holds_no_block(index: OrderedIndex) -> None:
    assert len(index) == 0 and index.blocks == 0
    assert index.first() is None and index.last() is None
    assert index.ceiling(*LOWEST) is None and index.at(0) is None
    assert index.rank(*HIGHEST) == 0 and not index.contains(0, 0) and not index.remove(0, 0)
    assert index.items() == [] and index.reversed_items() == []


def test_pairs_sort_by_signed_order_then_by_unsigned_ref(index: OrderedIndex) -> None:
    pairs = [HIGHEST, (0, 2**64 - 1), (0, 1), (-1, 2**63), LOWEST, (0, 2**63)]
    for order, ref in pairs:
        assert index.insert(order, ref)
    assert index.items() == sorted(pairs)
    assert index.reversed_items() == sorted(pairs, reverse=True)
    assert index.first() == LOWEST and index.last() == HIGHEST


def test_a_pair_is_stored_once_and_removed_once(index: OrderedIndex) -> None:
    assert index.insert(7, 7) is True
    assert index.insert(7, 7) is False
    assert index.insert(7, 8) is True
    assert len(index) == 2
    assert index.remove(7, 7) is True
    assert index.remove(7, 7) is False
    assert index.items() == [(7, 8)]


def test_numbers_beyond_64_bits_are_refused(index: OrderedIndex) -> None:
    with pytest.raises(OverflowError):
        index.insert(2**63, 0)
    with pytest.raises(OverflowError):
        index.insert(0, -1)
    assert len(index) == 0


@pytest.mark.parametrize("orders", [1, 50, 2**40])
def test_three_levels_agree_with_a_sorted_list(index: OrderedIndex, orders: int) -> None:
    pairs = shuffled_pairs(60_000, orders)
    for order, ref in pairs:
        index.insert(order, ref)
    index.check()
    expected = sorted(pairs)
    assert index.items() == expected and index.reversed_items() == expected[::-1]
    for rank in range(0, len(expected), 997):
        order, ref = expected[rank]
        assert index.at(rank) == (order, ref)
        assert index.rank(order, ref) == rank
        assert index.rank(order, ref + 1) == rank + 1
        assert index.ceiling(order, ref) == (order, ref)
        assert index.ceiling(order, ref + 1) == (expected[rank + 1] if rank + 1 < len(expected) else None)
        assert index.items(order, ref, 3) == expected[rank : rank + 3]
    assert index.at(len(expected)) is None
    for order, ref in pairs[: len(pairs) // 2]:
        assert index.remove(order, ref)
    index.check()
    assert index.items() == sorted(pairs[len(pairs) // 2 :])


@pytest.mark.parametrize("from_the_end", [False, True])
def test_blocks_come_back_while_pairs_are_removed_in_order(index: OrderedIndex, from_the_end: bool) -> None:
    for order, ref in shuffled_pairs(40_000, 2**30):
        index.insert(order, ref)
    while len(index):
        pair = index.last() if from_the_end else index.first()
        assert pair is not None and index.remove(*pair)
        if len(index) % 5000 == 0:
            index.check()
            assert index.blocks * BLOCK <= 30 * len(index) + 2 * BLOCK
    assert index.blocks == 0


def test_an_entry_costs_about_20_bytes(pool: BlockPool) -> None:
    n = 50_000
    workloads = {
        "random": (shuffled_pairs(n, 2**40), 22),
        "rising": ([(i, i) for i in range(n)], 18),
        "falling": ([(-i, i) for i in range(n)], 18),
        "two rising streams": ([(i + i % 2 * 10**6, i) for i in range(n)], 18),
    }
    for name, (pairs, bytes_per_entry) in workloads.items():
        index = OrderedIndex(pool)
        for order, ref in pairs:
            index.insert(order, ref)
        assert index.blocks * BLOCK <= bytes_per_entry * n, name
        random.Random(1).shuffle(pairs)
        for order, ref in pairs[: n * 9 // 10]:
            index.remove(order, ref)
        index.check()
        assert index.blocks * BLOCK <= 50 * len(index) + 2 * BLOCK, name
        index.clear()


@pytest.mark.parametrize(
    "blocks",
    [0, 1, 2, 3, 4, 10, *(pytest.param(blocks, marks=pytest.mark.slow) for blocks in (146, 147, 148, 150, 200))],
)
def test_full_pool_refuses_a_pair_and_changes_nothing(blocks: int) -> None:
    pool = BlockPool((blocks + 1) * BLOCK)  # block 0 is never handed out
    index = OrderedIndex(pool)
    held: list[tuple[int, int]] = []
    refused = 0
    for order, ref in shuffled_pairs(270 * blocks + 10, 2**40):
        before = index.blocks
        try:
            index.insert(order, ref)
            held.append((order, ref))
        except ArenaFull:
            refused += 1
            assert index.blocks == before == pool.used
            if refused % 100 == 1:
                index.check()
                assert index.items() == sorted(held)
    assert refused
    index.check()
    assert index.items() == sorted(held)
    for order, ref in held:
        assert index.remove(order, ref)
    assert pool.used == 0


def test_two_indexes_share_a_pool(pool: BlockPool) -> None:
    first, second = OrderedIndex(pool), OrderedIndex(pool)
    for order, ref in shuffled_pairs(5000, 100):
        first.insert(order, ref)
        second.insert(-order, ref)
    assert pool.used == first.blocks + second.blocks
    first.clear()
    assert pool.used == second.blocks and len(second) == 5000
    second.check()
    second.clear()
    assert pool.used == 0


# Narrow ranges make pairs meet; runs of thousands make nodes split, even out and merge.
orders = st.one_of(
    st.integers(-50, 50), st.sampled_from([LOWEST[0], HIGHEST[0]]), st.integers(*(LOWEST[0], HIGHEST[0]))
)
refs = st.one_of(st.integers(0, 100), st.just(HIGHEST[1]), st.integers(0, HIGHEST[1]))


class OrderedMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(16 << 20)
        self.pool.poison = True
        self.index = OrderedIndex(self.pool)
        self.model: list[tuple[int, int]] = []

    def is_held(self, pair: tuple[int, int]) -> bool:
        at = bisect_left(self.model, pair)
        return at < len(self.model) and self.model[at] == pair

    def insert_pair(self, pair: tuple[int, int]) -> None:
        is_new = not self.is_held(pair)
        assert self.index.insert(*pair) is is_new
        if is_new:
            insort(self.model, pair)

    def remove_pair(self, pair: tuple[int, int]) -> None:
        is_held = self.is_held(pair)
        assert self.index.remove(*pair) is is_held
        if is_held:
            self.model.remove(pair)

    @rule(order=orders, ref=refs)
    def insert(self, order: int, ref: int) -> None:
        self.insert_pair((order, ref))

    @rule(order=orders, ref=refs)
    def remove(self, order: int, ref: int) -> None:
        self.remove_pair((order, ref))

    @rule(start=st.integers(-2000, 2000), step=st.integers(-3, 3), ref=st.integers(0, 3), n=st.integers(1, 1500))
    def insert_run(self, start: int, step: int, ref: int, n: int) -> None:
        for i in range(n):
            self.insert_pair((start + step * i, ref if step else i))

    @rule(at=st.floats(0, 1), n=st.integers(1, 1500), stride=st.integers(1, 5))
    def remove_run(self, at: float, n: int, stride: int) -> None:
        start = int(at * len(self.model))
        for pair in self.model[start : start + n * stride : stride]:
            self.remove_pair(pair)

    @rule(seed=st.integers(0, 2**32), n=st.integers(1, 1500))
    def insert_scattered(self, seed: int, n: int) -> None:
        dice = random.Random(seed)
        for _ in range(n):
            self.insert_pair((dice.randrange(-2000, 2000), dice.randrange(4)))

    @rule(order=orders, ref=refs)
    def ask(self, order: int, ref: int) -> None:
        rank = bisect_left(self.model, (order, ref))
        expected = self.model[rank] if rank < len(self.model) else None
        assert self.index.rank(order, ref) == rank
        assert self.index.ceiling(order, ref) == expected
        assert self.index.at(rank) == expected
        assert self.index.contains(order, ref) is self.is_held((order, ref))
        assert self.index.items(order, ref, 10) == self.model[rank : rank + 10]

    @rule()
    def clear(self) -> None:
        self.index.clear()
        self.model.clear()
        assert self.pool.used == 0

    @invariant()
    def agrees(self) -> None:
        self.index.check()
        assert len(self.index) == len(self.model)
        assert self.pool.used == self.index.blocks
        assert self.index.items() == self.model
        assert self.index.reversed_items() == self.model[::-1]


OrderedMachine.TestCase.settings = scaled(1, steps=30)
TestOrderedMachine = OrderedMachine.TestCase

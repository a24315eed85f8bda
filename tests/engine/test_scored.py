"""Trees of elements against a sorted list of (score, member): ties by bytes, probes, elements that die and move.

The elements lie in a buffer. One that is removed or moved away is overwritten at once, so a tree that still
follows an old ref finds nonsense there and falls out of order.
"""

import math
import mmap
import random
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from minikv.engine.memory import BlockPool
from minikv.engine.testing.scored import ScoredIndex, order_of, score_of
from minikv.errors import ArenaFull
from tests.harness.examples import scaled

BLOCK = 4096
INFINITY = math.inf


def as_element(member: bytes) -> bytes:
    """The RDB string."""
    n = len(member)
    if n < 64:
        return bytes([n]) + member
    if n < 16384:
        return (0x4000 | n).to_bytes(2, "big") + member
    return b"\x80" + n.to_bytes(4, "big") + member


class Elements:
    """Strings in a buffer, each at an offset that is never used again."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 64 << 20)
        self.end = 0

    def place(self, member: bytes) -> int:
        ref, element = self.end, as_element(member)
        self.end += len(element)
        self.memory[ref : self.end] = element
        return ref

    def wipe(self, ref: int, member: bytes) -> None:
        size = len(as_element(member))
        self.memory[ref : ref + size] = b"\xdb" * size


class Sorted:
    """A ScoredIndex and the sorted list that it has to agree with."""

    def __init__(self, pool: BlockPool) -> None:
        self.elements = Elements()
        self.index = ScoredIndex(pool, self.elements.memory)
        self.model: list[tuple[float, bytes]] = []
        self.refs: dict[tuple[float, bytes], int] = {}

    def insert(self, score: float, member: bytes) -> None:
        is_new = (score, member) not in self.refs
        ref = self.elements.place(member)
        assert self.index.insert(score, member, ref) is is_new
        if is_new:
            self.refs[score, member] = ref
            insort(self.model, (score, member))

    def remove(self, score: float, member: bytes) -> None:
        is_held = (score, member) in self.refs
        assert self.index.remove(score, member) is is_held
        if is_held:
            self.model.remove((score, member))
            self.elements.wipe(self.refs.pop((score, member)), member)

    def move(self, score: float, member: bytes) -> None:
        is_held = (score, member) in self.refs
        ref = self.elements.place(member)
        assert self.index.move(score, member, ref) is is_held
        if is_held:
            self.elements.wipe(self.refs[score, member], member)
            self.refs[score, member] = ref

    def entry(self, rank: int) -> tuple[float, int] | None:
        return (self.model[rank][0], self.refs[self.model[rank]]) if rank < len(self.model) else None

    def check(self) -> None:
        self.index.check()
        expected = [(pair[0], self.refs[pair]) for pair in self.model]
        assert len(self.index) == len(self.model)
        assert self.index.items() == expected
        assert self.index.reversed_items() == expected[::-1]

    def check_places(self, score: float, member: bytes) -> None:
        """Every kind of probe at (score, member)."""
        before, after = bisect_left(self.model, (score, member)), bisect_right(self.model, (score, member))
        assert self.index.contains(score, member) is (after > before)
        assert (self.index.rank(score, member), self.index.rank(score, member, True)) == (before, after)
        assert self.index.rank_of_element(score, self.elements.place(member)) == before
        assert self.index.seek(score, member) == self.entry(before) == self.index.at(before)
        assert self.index.seek(score, member, True) == self.entry(after) == self.index.at(after)
        before = bisect_left(self.model, score, key=lambda pair: pair[0])
        after = bisect_right(self.model, score, key=lambda pair: pair[0])
        assert (self.index.rank_of_score(score), self.index.rank_of_score(score, True)) == (before, after)
        assert self.index.seek_score(score) == self.entry(before)
        assert self.index.seek_score(score, True) == self.entry(after)


@pytest.fixture
def tree(pool: BlockPool) -> Iterator[Sorted]:
    tree = Sorted(pool)
    yield tree
    tree.check()
    assert pool.used == tree.index.blocks
    tree.index.clear()
    tree.index.check()
    assert pool.used == 0


def shuffled(n: int, scores: int) -> list[tuple[float, bytes]]:
    """`n` different pairs with at most `scores` different scores, some negative; the same on every run."""
    dice = random.Random(n)
    pairs = [(dice.randrange(scores) / 4 - scores // 8, b"member:%d" % i) for i in range(n)]
    dice.shuffle(pairs)
    return pairs


# Scores


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
@example(-0.0, 0.0)
@example(-5e-324, 5e-324)
@example(-INFINITY, -1.7976931348623157e308)
@example(INFINITY, 1.7976931348623157e308)
def test_orders_sort_as_scores_do(a: float, b: float) -> None:
    assert (order_of(a) < order_of(b)) is (a < b)
    assert (order_of(a) == order_of(b)) is (a == b)
    assert score_of(order_of(a)) == a


def test_negative_zero_has_the_order_of_zero() -> None:
    assert order_of(-0.0) == order_of(0.0) == 0
    assert math.copysign(1, score_of(0)) == 1


# Ties


def test_equal_scores_sort_by_unsigned_bytes_with_a_prefix_first(tree: Sorted) -> None:
    members = [b"", b"\x00", b"\x00\x00", b"a", b"a\x00", b"a\xff", b"ab", b"b", b"\x7f", b"\x80", b"\xff", b"\xff\xff"]
    for member in reversed(members):
        tree.insert(1.5, member)
    assert [pair[1] for pair in tree.model] == sorted(members)
    tree.check()


def test_negative_zero_and_zero_are_one_score(tree: Sorted) -> None:
    tree.insert(0.0, b"b")
    tree.insert(-0.0, b"a")
    tree.insert(-0.0, b"b")
    assert len(tree.index) == 2
    assert tree.index.rank_of_score(-0.0) == 0 and tree.index.rank_of_score(0.0, True) == 2


@pytest.mark.parametrize("length", [0, 63, 64, 16383, 16384, 70_000])
def test_members_of_every_length_form(tree: Sorted, length: int) -> None:
    for last in (b"", b"a", b"b", b"\xff"):
        tree.insert(0, b"x" * length + last)
    tree.check()
    for last in (b"", b"a", b"aa", b"b", b"\xff\xff"):
        tree.check_places(0, b"x" * length + last)
    tree.remove(0, b"x" * length + b"a")


# Probes


@pytest.mark.parametrize("scores", [1, 30, 2**40])
def test_three_levels_agree_with_a_sorted_list(tree: Sorted, scores: int) -> None:
    pairs = shuffled(45_000, scores)
    for score, member in pairs:
        tree.insert(score, member)
    tree.check()
    for score, member in [*tree.model[::997], tree.model[-1]]:
        tree.check_places(score, member)
        tree.check_places(score, member + b"\x00")
        tree.check_places(score + 0.1, member)
    for score in (-INFINITY, INFINITY):
        tree.check_places(score, b"")
    assert tree.index.at(len(pairs)) is None


def test_lex_places_compare_bytes_alone(tree: Sorted) -> None:
    assert tree.index.rank_of_lex(b"a", True) == 0 and tree.index.seek_lex(b"") is None
    for i in range(0, 3000, 2):
        tree.insert(-7.25, b"%06d" % i)
    for i in range(0, 3000, 7):
        member = b"%06d" % i
        assert tree.index.rank_of_lex(member) == bisect_left(tree.model, (-7.25, member))
        assert tree.index.rank_of_lex(member, True) == bisect_right(tree.model, (-7.25, member))
        assert tree.index.seek_lex(member) == tree.entry(tree.index.rank_of_lex(member))
    assert tree.index.rank_of_lex(b"") == 0 and tree.index.rank_of_lex(b"\xff") == len(tree.model)


# Elements that are gone


@pytest.mark.parametrize("stride", [2, 3, 10])
def test_no_separator_leads_to_an_element_that_is_gone(tree: Sorted, stride: int) -> None:
    for score, member in shuffled(12_000, 1):
        tree.insert(score, member)
    for i, (score, member) in enumerate(list(tree.model)):
        if i % stride:
            tree.remove(score, member)
    tree.check()
    for score, member in shuffled(12_000, 1):
        tree.insert(score, member)


@pytest.mark.parametrize("from_the_end", [False, True])
def test_members_removed_in_order_leave_blocks(tree: Sorted, from_the_end: bool) -> None:
    for score, member in shuffled(12_000, 5):
        tree.insert(score, member)
    while tree.model:
        tree.remove(*tree.model[-1 if from_the_end else 0])
        if len(tree.model) % 1000 == 0:
            tree.check()
            assert tree.index.blocks * BLOCK <= 30 * len(tree.model) + 2 * BLOCK
    assert tree.index.blocks == 0


@pytest.mark.parametrize("scores", [1, 1000])
def test_moved_elements_keep_their_places(tree: Sorted, scores: int) -> None:
    for score, member in shuffled(40_000, scores):
        tree.insert(score, member)
    for score, member in shuffled(40_000, scores):
        tree.move(score, member)
    tree.check()
    for score, member in tree.model[::500]:
        tree.check_places(score, member)
    tree.move(1e9, b"member:1")
    tree.move(tree.model[0][0], b"nobody")


# Memory


@pytest.mark.parametrize(
    "blocks", [0, 1, 3, 10, *(pytest.param(blocks, marks=pytest.mark.slow) for blocks in (147, 150))]
)
def test_full_pool_refuses_a_member_and_changes_nothing(blocks: int) -> None:
    pool = BlockPool((blocks + 1) * BLOCK)  # block 0 is never handed out
    tree = Sorted(pool)
    refused = 0
    for score, member in shuffled(270 * blocks + 10, 10):
        before = tree.index.blocks
        try:
            tree.insert(score, member)
        except ArenaFull:
            refused += 1
            assert tree.index.blocks == before == pool.used
            if refused % 300 == 1:
                tree.check()
    assert refused
    tree.check()
    for score, member in list(tree.model):
        tree.remove(score, member)
    assert pool.used == 0


# Few scores and short members make ties; runs make nodes split, even out and merge.
scores = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -INFINITY, INFINITY]), st.floats(allow_nan=False))
members = st.one_of(st.binary(max_size=3), st.integers(0, 3000).map(lambda i: b"%04d" % i), st.binary(max_size=100))


class ScoredMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(16 << 20)
        self.pool.poison = True
        self.tree = Sorted(self.pool)

    @rule(score=scores, member=members)
    def insert(self, score: float, member: bytes) -> None:
        self.tree.insert(score, member)

    @rule(score=scores, member=members)
    def remove(self, score: float, member: bytes) -> None:
        self.tree.remove(score, member)

    @rule(score=scores, member=members)
    def ask(self, score: float, member: bytes) -> None:
        self.tree.check_places(score, member)

    @rule(
        score=st.sampled_from([0.0, 1.0]), start=st.integers(0, 3000), step=st.integers(-3, 3), n=st.integers(1, 1500)
    )
    def insert_run(self, score: float, start: int, step: int, n: int) -> None:
        for i in range(n):
            self.tree.insert(score + (0 if step else i), b"%04d" % (start + step * i))

    @rule(at=st.floats(0, 1), n=st.integers(1, 1500), stride=st.integers(1, 5))
    def remove_run(self, at: float, n: int, stride: int) -> None:
        start = int(at * len(self.tree.model))
        for pair in self.tree.model[start : start + n * stride : stride]:
            self.tree.remove(*pair)

    @rule(at=st.floats(0, 1), n=st.integers(1, 1500), stride=st.integers(1, 5))
    def move_run(self, at: float, n: int, stride: int) -> None:
        start = int(at * len(self.tree.model))
        for pair in self.tree.model[start : start + n * stride : stride]:
            self.tree.move(*pair)

    @rule()
    def clear(self) -> None:
        self.tree.index.clear()
        self.tree.model.clear()
        self.tree.refs.clear()
        assert self.pool.used == 0

    @invariant()
    def agrees(self) -> None:
        self.tree.check()
        assert self.pool.used == self.tree.index.blocks


ScoredMachine.TestCase.settings = scaled(1, steps=30)
TestScoredMachine = ScoredMachine.TestCase

"""Chains of elements against a plain list: positions, nodes, memory, and an arena that is full."""

import contextlib
import random
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from minikv.engine.arena import Arena
from minikv.engine.memory import BlockPool
from minikv.engine.testing.element_chain import ElementChain
from minikv.errors import ArenaFull
from tests.harness.examples import scaled

PAGE = 4096
OWN, SHARED, OTHER = 7, 3, 4  # numbers of stores
SHARED_BYTES = 512 << 10
NODE = 4096


def make_arena(segments: int = 0) -> Arena:
    arena = Arena(1 << 28, False)
    arena.poison = True
    if segments:
        arena.segment_limit = segments
    return arena


def live(arena: Arena) -> dict[int, tuple[int, int]]:
    """Records and their bytes in each store that has a segment."""
    return arena.check()


@pytest.fixture
def chain() -> Iterator[ElementChain]:
    chain = ElementChain(make_arena(), BlockPool(1 << 24), OWN)
    yield chain
    chain.check()
    chain.arena.check()
    chain.drop()
    assert chain.arena.segments_used == 0


def test_elements_are_found_by_position(chain: ElementChain) -> None:
    model = [b"%d" % number * (number % 90) for number in range(5000)]
    for element in model:
        chain.append(element)
    assert chain.items() == model
    assert chain.items(4321) == model[4321:]
    assert [chain.get(position) for position in range(5000)] == model
    assert chain.get(5000) is None
    assert chain.items(5000) == []


@pytest.mark.parametrize("size", [1, 10, 20, 60, 100])
@pytest.mark.parametrize("left", [False, True])
def test_pushes_fill_nodes_to_the_brim(chain: ElementChain, size: int, left: bool) -> None:
    for _ in range(100_000):
        chain.insert(0 if left else len(chain), b"x" * size)
    taken = chain.bytes + chain.blocks * PAGE
    assert taken / 100_000 - size <= 4


@pytest.mark.parametrize("size", [1000, 3000, 5000, 33_000, 100_000, 1_100_000])
def test_large_elements_leave_little_room_unused(chain: ElementChain, size: int) -> None:
    for _ in range(40):
        chain.append(b"x" * size)
    assert chain.bytes <= 1.15 * 40 * size + 4 * PAGE
    assert all(len(element) == size for element in chain.items())


def test_an_element_of_many_segments_is_an_element_like_others(chain: ElementChain) -> None:
    for element in (b"before", b"behind"):
        chain.append(element)
    chain.insert(1, b"L" * 5_000_000)
    assert [len(element) for element in chain.items()] == [6, 5_000_000, 6]
    chain.replace(1, b"between")
    assert chain.items() == [b"before", b"between", b"behind"]
    assert chain.arena.segments_used == 1


def test_a_queue_of_few_elements_stays_in_its_node(chain: ElementChain) -> None:
    chain.append(b"first")
    for number in range(10_000):
        chain.append(b"%d" % number)
        chain.remove(0)
        assert chain.get(0) == b"%d" % number
    assert chain.bytes == NODE
    for number in range(10_000):
        chain.insert(0, b"%d" % number)
        chain.remove(len(chain) - 1)
    assert chain.bytes == NODE


def test_removals_leave_no_nearly_empty_nodes(chain: ElementChain) -> None:
    for number in range(100_000):
        chain.append(b"%d" % number)
    full = chain.bytes
    for position in range(25_000):
        chain.remove(position, 3)
    assert chain.items() == [b"%d" % number for number in range(3, 100_000, 4)]
    assert chain.bytes <= full // 2
    chain.remove(100, 24_800)
    assert len(chain) == 200
    assert chain.nodes <= 2


def test_elements_that_become_small_do_not_keep_large_nodes(chain: ElementChain) -> None:
    for _ in range(100):
        chain.append(b"x" * 10_000)
    for position in range(100):
        chain.replace(position, b"y")
    assert chain.items() == [b"y"] * 100
    assert chain.bytes <= 8 * NODE


def test_inserts_anywhere_leave_nodes_more_than_half_full(chain: ElementChain, rng: random.Random) -> None:
    for _ in range(30_000):
        chain.insert(rng.randrange(len(chain) + 1), b"x" * 20)
    assert chain.bytes <= 30_000 * 21 * 1.8


def test_equal_elements_go_from_either_end(chain: ElementChain) -> None:
    for _ in range(2000):
        for element in (b"a", b"b", b"c" * 30):
            chain.append(element)
    assert chain.remove_equal(b"b", 500) == 500
    assert chain.items()[:1002] == [b"a", b"c" * 30] * 500 + [b"a", b"b"]
    assert chain.remove_equal(b"b", 500, from_end=True) == 500
    assert chain.items()[-1002:] == [b"b", b"c" * 30] + [b"a", b"c" * 30] * 500
    assert chain.remove_equal(b"b") == 1000
    assert chain.remove_equal(b"b") == 0
    assert chain.remove_equal(b"a") == chain.remove_equal(b"c" * 30) == 2000
    assert chain.bytes == 0


def test_elements_of_one_width_have_no_length(chain: ElementChain) -> None:
    fixed = ElementChain(chain.arena, BlockPool(1 << 22), OTHER, 0, 16)
    model = [number.to_bytes(16, "big") for number in range(5000)]
    for number in range(0, 5000, 2):
        fixed.append(model[number])
    for number in range(1, 5000, 2):
        fixed.insert(number, model[number])
    fixed.check()
    assert fixed.items() == model
    assert fixed.get(4999) == model[4999]
    assert fixed.bytes <= 5000 * 16 * 1.6
    fixed.drop()


def test_a_short_chain_shares_segments_with_others() -> None:
    arena, pool = make_arena(), BlockPool(1 << 24)
    chains = [ElementChain(arena, pool, number, SHARED) for number in range(10, 60)]
    for chain in chains:
        for _ in range(100):
            chain.append(b"x" * 100)
        assert chain.shared_bytes == chain.bytes == 3 * NODE
    assert arena.segments_used == 1
    for _ in range(20_000):
        chains[0].append(b"x" * 100)
    assert chains[0].shared_bytes == SHARED_BYTES < chains[0].bytes
    assert arena.segments_used > 1
    arena.check()
    for chain in chains:
        chain.check()
        chain.drop()
    assert live(arena) == {SHARED: (0, 0)}


def test_a_chain_moves_to_another_shared_store() -> None:
    arena, pool = make_arena(), BlockPool(1 << 24)
    chain = ElementChain(arena, pool, OWN, SHARED)
    model = [b"%d" % number * 20 for number in range(20_000)]
    for element in model:
        chain.append(element)
    chain.share_with(OTHER)
    chain.check()
    assert chain.items() == model
    arena.check()
    chain.drop()
    assert live(arena) == {SHARED: (0, 0), OTHER: (0, 0)}


def test_a_move_that_finds_no_room_changes_nothing() -> None:
    arena, pool = make_arena(1), BlockPool(1 << 24)
    chain = ElementChain(arena, pool, OWN, SHARED)
    for number in range(1000):
        chain.append(b"%d" % number)
    with pytest.raises(ArenaFull):
        chain.share_with(OTHER)
    chain.check()
    arena.check()
    assert chain.items() == [b"%d" % number for number in range(1000)]


def test_a_change_that_finds_no_room_changes_nothing() -> None:
    arena, pool = make_arena(1), BlockPool(1 << 24)
    chain = ElementChain(arena, pool, OWN)
    model = []
    with pytest.raises(ArenaFull):
        while True:
            chain.append(b"%d" % len(model) * 100)
            model.append(b"%d" % len(model) * 100)
    for position in (0, 1, 500, len(model) - 1):
        for size in (3000, 100_000, 3_000_000):
            for change in (chain.insert, chain.replace):
                with pytest.raises(ArenaFull):
                    change(position, b"x" * size)
                    model[position : position + (change == chain.replace)] = [b"x" * size]
                    change(position, b"x" * 3_000_000)
    chain.check()
    arena.check()
    assert chain.items() == model


def test_a_copy_that_finds_no_room_leaves_nothing() -> None:
    arena, pool = make_arena(1), BlockPool(1 << 24)
    chain = ElementChain(arena, pool, OWN)
    for _ in range(1000):
        chain.append(b"x" * 100)
    copy = ElementChain(arena, pool, OTHER, beside=chain)
    with pytest.raises(ArenaFull):
        copy.fill_from(chain)
    copy.check()
    assert (len(copy), copy.bytes, copy.blocks) == (0, 0, 0)


def big_chain(chain: ElementChain, count: int = 10_000) -> list[bytes]:
    model = [b"%d" % number * 8 for number in range(count)]
    for element in model:
        chain.append(element)
    return model


def test_nothing_that_the_child_sees_changes(chain: ElementChain, rng: random.Random) -> None:
    model = big_chain(chain)
    chain.freeze()
    before = list(model)
    for _ in range(3000):
        position = rng.randrange(len(model))
        model[position] = b"new%d" % position * rng.randrange(20)
        chain.replace(position, model[position])
    assert chain.patched_nodes
    for number in range(300):
        chain.insert(position := rng.randrange(len(model) + 1), b"in%d" % number)
        model.insert(position, b"in%d" % number)
        for end in (0, len(model)):
            chain.insert(end, b"end%d" % number)
            model.insert(end, b"end%d" % number)
        chain.remove(position := rng.randrange(len(model) - 4), 4)
        del model[position : position + 4]
        for end in (0, -1):
            chain.remove(len(model) - 1 if end else 0)
            del model[end]
    assert chain.items() == model
    assert [chain.get(position) for position in range(len(model))] == model
    assert chain.seen() == before
    chain.check()
    chain.arena.check()
    chain.thaw()
    chain.check()
    assert chain.items() == model


def test_replacing_in_a_frozen_chain_costs_about_the_new_bytes(chain: ElementChain, rng: random.Random) -> None:
    model = [b"x" * 100] * 30_000
    for element in model:
        chain.append(element)
    before = chain.bytes
    chain.freeze()
    for position in rng.sample(range(30_000), 10_000):
        model[position] = b"y" * 100
        chain.replace(position, model[position])
    assert chain.bytes - before <= 10_000 * 102 * 1.25
    assert chain.items() == model
    chain.thaw()
    chain.fold()
    assert chain.bytes <= before * 1.01
    assert chain.items() == model


def test_an_element_that_is_replaced_again_keeps_its_patch(chain: ElementChain) -> None:
    model = big_chain(chain)
    chain.freeze()
    for number in range(100):
        model[5000] = b"%2d" % number * 20
        chain.replace(5000, model[5000])
    nbytes = chain.bytes
    chain.replace(5000, b"z" * 40)
    assert (chain.bytes, chain.patched_nodes) == (nbytes, 1)
    chain.replace(5000, b"of another size" * 9)
    assert chain.patched_nodes == 0  # the node has been written anew
    model[5000] = b"of another size" * 9
    assert chain.items() == model
    chain.thaw()


def test_the_next_child_sees_patches_that_are_not_folded(chain: ElementChain) -> None:
    model = big_chain(chain)
    for turn in range(4):
        chain.freeze()
        before = list(model)
        for position in range(turn, 10_000, 40):
            model[position] = b"%d in turn %d" % (position, turn)
            chain.replace(position, model[position])
        assert chain.seen() == before
        assert chain.items() == model
        chain.check()
        chain.thaw()
    assert chain.patched_nodes
    chain.remove(10, 9000)
    del model[10:9010]
    chain.check()
    chain.fold()
    assert chain.patched_nodes == 0
    assert chain.items() == model


def test_equal_elements_go_from_frozen_nodes(chain: ElementChain) -> None:
    model = [b"a", b"b" * 30, b"c" * 10] * 3000
    for element in model:
        chain.append(element)
    chain.freeze()
    for position in range(0, 9000, 30):
        chain.replace(position, b"b" * 30)
    assert chain.remove_equal(b"b" * 30, 3, from_end=True) == 3
    assert chain.remove_equal(b"b" * 30, 4) == 4
    assert chain.remove_equal(b"b" * 30) == 3300 - 7
    assert chain.items() == [
        element for number, element in enumerate(model) if number % 3 == 2 or (number % 30 and number % 3 == 0)
    ]
    assert chain.seen() == model
    chain.check()
    chain.thaw()


def test_a_frozen_chain_is_copied_and_shared_as_it_is_now() -> None:
    arena, pool = make_arena(), BlockPool(1 << 24)
    chain = ElementChain(arena, pool, OWN, SHARED)
    model = big_chain(chain)
    chain.freeze()
    before = list(model)
    for position in range(0, 10_000, 50):
        chain.replace(position, b"patch")
        model[position] = b"patch"
    copy = ElementChain(arena, pool, 8, beside=chain)
    copy.fill_from(chain)
    assert copy.items() == model
    chain.share_with(OTHER)
    assert chain.items() == model
    assert chain.seen() == before
    for each in (chain, copy):
        each.check()
    arena.check()
    chain.thaw()
    chain.check()
    copy.drop()
    chain.drop()
    assert live(arena) == {SHARED: (0, 0), OTHER: (0, 0)}


def test_what_changes_while_the_child_is_being_made_is_shown_afterwards(chain: ElementChain) -> None:
    model = big_chain(chain)
    chain.freeze(threaded=True)
    before = list(model)
    for position in range(0, 10_000, 100):
        model[position] = b"new %d" % position
        chain.replace(position, model[position])
    for number in range(100):
        chain.insert(0, b"%d" % number)
        chain.append(b"%d" % number)
        model = [b"%d" % number, *model, b"%d" % number]
    assert chain.seen() == before
    chain.born()
    assert chain.shown_items() == chain.items() == model
    chain.check()
    chain.thaw()


def test_a_removal_from_a_frozen_node_that_finds_no_room_changes_nothing() -> None:
    arena, pool = make_arena(1), BlockPool(1 << 24)
    chain = ElementChain(arena, pool, OWN)
    model = [b"%d" % number * 8 for number in range(1000)]
    for element in model:
        chain.append(element)
    chain.freeze()
    with pytest.raises(ArenaFull):
        chain.remove(500)
    with pytest.raises(ArenaFull):
        chain.remove_equal(model[700])
    with pytest.raises(ArenaFull):
        chain.replace(3, b"x")
    chain.remove(0, 10)
    chain.remove(980, 10)
    assert chain.items() == model[10:990]
    chain.check()
    chain.thaw()
    arena.check()
    chain.drop()


class ChainMachine(RuleBasedStateMachine):
    """Random changes of a chain and of a list, in an arena that may be small."""

    positions = st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1))
    sizes = st.one_of(
        st.sampled_from([0, 1, 62, 63, 64, 65, 4000, 16_383, 16_384, 70_000]), st.integers(0, 300), st.integers(0, 9000)
    )

    def __init__(self) -> None:
        super().__init__()
        self.arena = make_arena(6)
        self.pool = BlockPool(1 << 24)
        self.chain = ElementChain(self.arena, self.pool, OWN, SHARED)
        self.model: list[bytes] = []
        self.number = 0
        self.before: list[bytes] | None = None  # what the child of an open snapshot sees

    @precondition(lambda self: self.model and self.before is None)
    @rule()
    def freeze(self) -> None:
        self.chain.freeze()
        self.before = list(self.model)

    @precondition(lambda self: self.before is not None)
    @rule()
    def thaw(self) -> None:
        self.chain.thaw()
        self.before = None

    @precondition(lambda self: self.before is None)
    @rule()
    def fold(self) -> None:
        with contextlib.suppress(ArenaFull):
            self.chain.fold()
            assert self.chain.patched_nodes == 0

    def element(self, size: int) -> bytes:
        self.number += 1
        return (b"%d," % (self.number % 5 if size < 5 else self.number) * size)[:size]

    def position(self, where: float, more: int = 0) -> int:
        return min(int(where * (len(self.model) + more)), len(self.model) + more - 1)

    @rule(where=positions, size=sizes, count=st.sampled_from([1, 1, 2, 30]))
    def insert(self, where: float, size: int, count: int) -> None:
        for _ in range(count):
            position, element = self.position(where, 1), self.element(size)
            try:
                self.chain.insert(position, element)
            except ArenaFull:
                return
            self.model.insert(position, element)

    @precondition(lambda self: self.model)
    @rule(where=positions, size=sizes)
    def replace(self, where: float, size: int) -> None:
        position, element = self.position(where), self.element(size)
        try:
            self.chain.replace(position, element)
        except ArenaFull:
            return
        self.model[position] = element

    @precondition(lambda self: self.model)
    @rule(where=positions, count=st.one_of(st.just(1), st.integers(1, 100)))
    def remove(self, where: float, count: int) -> None:
        position = self.position(where)
        try:
            self.chain.remove(position, count)
        except ArenaFull:
            assert self.before is not None
            return
        del self.model[position : position + count]

    @precondition(lambda self: self.model)
    @rule(where=positions, limit=st.integers(0, 3), from_end=st.booleans())
    def remove_equal(self, where: float, limit: int, from_end: bool) -> None:
        element = self.model[self.position(where)]
        found = [position for position, other in enumerate(self.model) if other == element]
        if limit:
            found = found[-limit:] if from_end else found[:limit]
        try:
            assert self.chain.remove_equal(element, limit, from_end) == len(found)
        except ArenaFull:
            assert self.before is not None
            return
        for position in reversed(found):
            del self.model[position]

    @rule()
    def copy(self) -> None:
        copy = ElementChain(self.arena, self.pool, OTHER, beside=self.chain)
        try:
            copy.fill_from(self.chain)
            assert copy.items() == self.model
        except ArenaFull:
            assert len(copy) == 0
        copy.check()
        copy.drop()

    @precondition(lambda self: self.model)
    @rule(where=positions)
    def get(self, where: float) -> None:
        position = self.position(where)
        assert self.chain.get(position) == self.model[position]

    @invariant()
    def agree(self) -> None:
        self.chain.check()
        self.arena.check()
        assert self.chain.items() == self.model
        if self.before is not None:
            assert self.chain.seen() == self.before

    def teardown(self) -> None:
        if self.before is not None:
            self.chain.thaw()
        self.chain.drop()
        assert set(live(self.arena).values()) <= {(0, 0)}
        assert self.pool.used == 0


TestChainMachine = ChainMachine.TestCase
TestChainMachine.settings = scaled(1.2, steps=40)

"""Names that come twice are found, in memory or in the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.tools.names import Names, hash_of


def first_twice(names: list[bytes], memory_bytes: int) -> int | None:
    """Where the first suspect is, the n-th name at place n."""
    seen = Names(memory_bytes)
    for place, name in enumerate(names):
        seen.add(name, 0, place)
    seen.close()
    assert all(hash_ == hash_of(names[place], 0) for place, hash_ in seen.suspects)
    return min(seen.suspects)[0] if seen.suspects else None


def expected(names: list[bytes]) -> int | None:
    return next((place for place, name in enumerate(names) if name in names[:place]), None)


@pytest.mark.parametrize("memory_bytes", [1, 5_000, 1 << 20])
@given(names=st.lists(st.integers(0, 300).map(lambda number: b"%d" % number), min_size=20, max_size=200))
def test_the_first_that_comes_twice(memory_bytes: int, names: list[bytes]) -> None:
    assert first_twice(names, memory_bytes) == expected(names)


@pytest.mark.parametrize("again", [[], [5], [9_999], [9_998, 5], [5, 6, 5]])
@pytest.mark.parametrize("memory_bytes", [1, 100_000])
def test_among_many(again: list[int], memory_bytes: int) -> None:
    names = [b"%d" % number for number in [*range(10_000), *again]]
    assert first_twice(names, memory_bytes) == (10_000 if again else None)


def test_of_very_many_the_first_are_kept() -> None:
    names = [b"%d" % (number % 10_000) for number in range(20_000)]
    assert first_twice(names, 10_000) == 10_000
    seen = Names(10_000)
    for place, name in enumerate(names):
        seen.add(name, 0, place)
    seen.close()
    assert 1000 <= len(seen.suspects) <= 2000


def test_the_salt_tells_names_apart() -> None:
    names = Names()
    for salt in range(1000):
        names.add(b"same", salt, salt)
    names.add(b"same", 7, 1000)
    names.close()
    assert names.suspects == [(1000, hash_of(b"same", 7))]


@pytest.mark.parametrize("memory_bytes", [1, 1 << 20])
def test_after_close_a_group_begins_anew(memory_bytes: int) -> None:
    names = Names(memory_bytes)
    for _ in range(3):
        for number in range(500):
            names.add(b"%d" % number, 0, number)
        names.close()
        assert names.suspects == []

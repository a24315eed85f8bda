"""Names that come twice are found, in memory or in the table on disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.tools.names import Names


def first_twice(names: list[bytes], memory_bytes: int) -> tuple[bytes, int] | None:
    """What a checker makes of these names, the n-th at offset n."""
    seen = Names(memory_bytes)
    for offset, name in enumerate(names):
        if not seen.add(name, offset):
            earlier = seen.first_twice()
            return min(earlier, (name, offset), key=lambda found: found[1]) if earlier else (name, offset)
    return seen.first_twice()


def expected(names: list[bytes]) -> tuple[bytes, int] | None:
    return next(((name, at) for at, name in enumerate(names) if name in names[:at]), None)


@pytest.mark.parametrize("memory_bytes", [1, 500, 5_000, 1 << 20])
@given(names=st.lists(st.binary(max_size=2), max_size=60))
def test_the_first_that_comes_twice(memory_bytes: int, names: list[bytes]) -> None:
    assert first_twice(names, memory_bytes) == expected(names)


@pytest.mark.parametrize("again", [[5], [9_999], [9_998, 5], [5, 6, 5]])
def test_among_many(again: list[int]) -> None:
    names = [b"%d" % number for number in [*range(10_000), *again]]
    assert first_twice(names, 100_000) == (names[10_000], 10_000)


def test_after_clear_all_is_forgotten() -> None:
    names = Names(1000)
    for _ in range(3):
        assert all(names.add(b"%d" % number, number) for number in range(100))
        assert names.first_twice() is None
        names.clear()

"""Fixtures of the keyspace's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minikv.keyspace import Keyspace


@pytest.fixture
def keyspace() -> Iterator[Keyspace]:
    """Two databases whose freed memory is filled with a pattern; their invariants hold when the test ends."""
    keyspace = Keyspace(2, 1 << 30, huge_pages=False)
    keyspace.set_debug(poison=True)
    yield keyspace
    keyspace.check()

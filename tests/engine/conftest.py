"""Fixtures of the engine's tests."""

from __future__ import annotations

import pytest

from minikv.engine.memory import BlockPool


@pytest.fixture
def pool() -> BlockPool:
    """64 MB of blocks that are filled with a pattern when they are freed."""
    pool = BlockPool(64 << 20)
    pool.poison = True
    return pool

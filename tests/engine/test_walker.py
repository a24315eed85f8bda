"""Which strings the walk tries to compress."""

from __future__ import annotations

from typing import Any

import lzf
import pytest

from minikv.keyspace import Keyspace


@pytest.fixture
def keyspace() -> Any:
    return Keyspace(databases=1, arena_bytes=64 << 20)


def walk(keyspace: Any, compress: Any) -> bytes:
    walker, buffer, out = keyspace.walker(), bytearray(1 << 20), b""
    while filled := walker.fill(buffer, 0, compress):
        out += buffer[:filled]
    return out


def test_what_never_becomes_shorter_is_tried_less_and_less(keyspace: Any) -> None:
    tried: list[bytes] = []
    for number in range(1000):
        keyspace.databases[0].set(b"key:%d" % number, b"value of some length %d" % number)
    plain = walk(keyspace, None)
    assert walk(keyspace, lambda data, _: tried.append(data)) == plain
    assert 70 < len(tried) < 90


def test_one_success_makes_every_string_worth_a_try(keyspace: Any) -> None:
    tried: list[bytes] = []

    def compress(data: bytes, longest: int) -> bytes | None:
        tried.append(data)
        return lzf.compress(data, longest)

    for number in range(1000):
        keyspace.databases[0].set(b"key:%d" % number, b"%d" % number * 40)
    assert len(walk(keyspace, compress)) < 1000 * 40
    assert len(tried) == 1000

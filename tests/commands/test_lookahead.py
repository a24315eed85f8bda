"""Looking ahead for keys is a hint: whatever comes, requests are read as without it and the data stays as it is."""

from __future__ import annotations

import random

import pytest

from minikv.commands.lookahead import KEYS_MIN, KeyLookahead, largest
from minikv.keyspace import Keyspace
from minikv.protocol.request import Limits, RequestReader

WORDS = [b"", b"GET", b"key:1", b"key:2", b"key:2", b"nosuch", b"\0" * 70, b"v" * 12_000]


@pytest.mark.parametrize("seed", range(20))
def test_pipelines_are_read_the_same(seed: int) -> None:
    rng = random.Random(seed)
    keyspace = Keyspace(2, 64 << 20, huge_pages=False)
    for number in range(300):
        keyspace.databases[0].set(b"key:%d" % number, b"x" * rng.randrange(200))
    limits = Limits()
    limits.ahead = KeyLookahead()
    limits.ahead.database = keyspace.databases[seed % 2]  # the other one is empty
    reader = RequestReader(limits)
    requests = [[rng.choice(WORDS) for _ in range(rng.randrange(1, 12))] for _ in range(200)]
    data = b"".join(
        b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words) for words in requests
    )
    found = []
    while data:
        size = rng.randrange(1, 3000)
        reader.feed(data[:size])
        data = data[size:]
        while (request := reader.read()) is not None:
            found.append(request)
    assert found == requests
    keyspace.check()


def test_only_a_large_database_is_worth_it() -> None:
    keyspace = Keyspace(3, 64 << 20, huge_pages=False)
    one, other, _ = keyspace.databases
    assert largest(keyspace.databases) is None
    for number in range(KEYS_MIN):
        other.set(b"%d" % number, b"")
        if number % 2:
            one.set(b"%d" % number, b"")
    assert largest(keyspace.databases) is other
    other.delete(b"0")
    assert largest(keyspace.databases) is None

"""The registry alone: counts, patterns by their beginnings, and nothing left behind."""

from __future__ import annotations

import random

from minikv.keyspace.glob import glob_match
from minikv.pubsub.registry import Registry, Subscriptions, literal_beginning


class Listener:
    """What the registry needs of a client."""

    def __init__(self, resp: int = 2) -> None:
        self.resp = resp
        self.subscriptions: Subscriptions | None = None
        self.got: list[bytes] = []

    def push_wire(self, data: bytes) -> None:
        self.got.append(data)


def test_the_literal_beginning_of_a_pattern() -> None:
    for pattern, beginning in [
        (b"news.*", b"news."),
        (b"*", b""),
        (b"a?b", b"a"),
        (b"a\\*", b"a"),
        (b"ab", b"ab"),
        (b"", b""),
    ]:
        assert literal_beginning(pattern) == beginning


def test_a_message_is_encoded_by_the_version_of_each_receiver() -> None:
    registry, two, three = Registry(), Listener(2), Listener(3)
    registry.subscribe(two, b"a")  # type: ignore[arg-type]
    registry.subscribe(three, b"a")  # type: ignore[arg-type]
    assert registry.publish(b"a", b"x") == 2
    assert two.got == [b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"]
    assert three.got == [b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"]


def test_random_patterns_match_as_a_scan_of_all_would() -> None:
    source = random.Random(7)
    registry, clients = Registry(), [Listener() for _ in range(5)]
    model: dict[tuple[int, bytes], None] = {}
    for _ in range(3000):
        index = source.randrange(5)
        pattern = "".join(source.choices("ab*?[\\", k=source.randrange(5))).encode()
        if source.random() < 0.6:
            registry.subscribe_pattern(clients[index], pattern)  # type: ignore[arg-type]
            model[index, pattern] = None
        else:
            registry.unsubscribe_pattern(clients[index], pattern)  # type: ignore[arg-type]
            model.pop((index, pattern), None)
        channel = "".join(source.choices("ab", k=source.randrange(5))).encode()
        assert registry.publish(channel, b"x") == sum(glob_match(pattern, channel) for _, pattern in model)
        assert registry.pattern_count == len({pattern for _, pattern in model})
    for client in clients:
        registry.forget(client)  # type: ignore[arg-type]
        assert client.subscriptions is None
    assert (registry.patterns, registry.lengths, registry.pattern_count) == ({}, {}, 0)

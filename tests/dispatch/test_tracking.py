"""The invalidation table alone: its bound, and what is left of clients that have gone."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from minikv.dispatch.stats import Stats
from minikv.dispatch.table import CommandTable
from minikv.dispatch.tracking import BROADCAST, NO_LOOP, Tracker, Tracking
from minikv.keyspace import Keyspace

MB = 1 << 20


class Listener:
    """What tracking needs of a client."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.resp = 3
        self.tracker: Tracker | None = None
        self.subscriptions = None
        self.in_exec = False
        self.got: list[bytes] = []

    def push_wire(self, data: bytes) -> None:
        self.got.append(data)


class Scene:
    """A table of commands with its tracking, a keyspace and clients."""

    def __init__(self) -> None:
        self.keyspace = Keyspace(databases=1, arena_bytes=64 * MB)
        self.services: Any = SimpleNamespace(
            keyspace=self.keyspace, clients={}, serving=None, loading=False, scripts=SimpleNamespace(running=None)
        )
        self.services.table = CommandTable(self.services, Stats())
        self.tracking: Tracking = self.services.table.tracking
        self.rounds = 0
        self.tracking.on_broadcast = self.ask_for_round

    def ask_for_round(self) -> None:
        self.rounds += 1

    def join(self, number: int, options: int = 0, *prefixes: bytes) -> Listener:
        client = Listener(number)
        self.services.clients[number] = client
        self.tracking.turn_on(client, 0, options, list(prefixes))  # type: ignore[arg-type]
        return client

    def read(self, client: Listener, *keys: bytes) -> None:
        assert client.tracker is not None
        for key in keys:
            self.tracking.remember(client.tracker, key)

    def write(self, *keys: bytes) -> None:
        for key in keys:
            self.keyspace.databases[0].set(key, b"1")


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.keyspace.check()


def test_a_full_table_forgets_keys_and_says_so(scene: Scene) -> None:
    client = scene.join(1)
    scene.tracking.max_keys = 50
    names = [b"k%d" % number for number in range(1000)]
    for name in names:
        scene.read(client, name)
        scene.tracking.limit()
        assert scene.tracking.keys == scene.tracking.items <= 50
    told = [message.split(b"\r\n")[-2] for message in client.got]
    assert len(told) == len(set(told)) == 950
    scene.write(*names)
    assert sorted(message.split(b"\r\n")[-2] for message in client.got) == sorted(names)
    assert scene.tracking.keys == scene.tracking.items == 0


def test_a_smaller_limit_is_reached_step_by_step(scene: Scene) -> None:
    client = scene.join(1)
    scene.read(client, *(b"k%d" % number for number in range(1000)))
    scene.tracking.max_keys = 1
    counts = []
    while scene.tracking.keys > 1:
        scene.tracking.limit()
        counts.append(scene.tracking.keys)
    assert len(counts) > 5
    scene.tracking.max_keys = 0
    scene.read(client, *(b"k%d" % number for number in range(1000)))
    scene.tracking.limit()
    assert scene.tracking.keys == 1000


def test_many_clients_share_a_key(scene: Scene) -> None:
    clients = [scene.join(number) for number in range(1, 101)]
    for client in clients:
        for _ in range(2):
            scene.read(client, b"k")
    assert (scene.tracking.keys, scene.tracking.items) == (1, 100)
    scene.write(b"k", b"k")
    assert [len(client.got) for client in clients] == [1] * 100
    assert (scene.tracking.keys, scene.tracking.items) == (0, 0)


def test_what_clients_leave_behind_does_not_pile_up(scene: Scene) -> None:
    """Clients that connect, read the same key and go."""
    for number in range(1, 1001):
        client = scene.join(number)
        scene.read(client, b"k")
        scene.tracking.turn_off(client)  # type: ignore[arg-type]
        del scene.services.clients[number]
    assert scene.tracking.clients == 0
    assert scene.tracking.items <= 16
    scene.write(b"k")
    assert scene.tracking.items == scene.tracking.keys == 0


def test_a_key_that_others_have_changed_too_is_reported_in_spite_of_noloop(scene: Scene) -> None:
    """In one round; Redis keeps the last client that has changed the key, and does not report."""
    one, two = scene.join(1, BROADCAST | NO_LOOP), scene.join(2, BROADCAST)
    scene.services.serving = two
    scene.write(b"a", b"c")
    scene.services.serving = one
    scene.write(b"a", b"b")
    scene.services.serving = None
    assert scene.rounds == 1
    scene.tracking.broadcast()
    assert one.got == [b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nc\r\n"]
    assert two.got == [b">2\r\n$10\r\ninvalidate\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"]


def test_nothing_is_listened_to_when_nobody_tracks(scene: Scene) -> None:
    client = scene.join(1, BROADCAST, b"a")
    scene.tracking.turn_off(client)  # type: ignore[arg-type]
    scene.write(b"a")
    assert scene.rounds == 0
    assert scene.tracking.prefix_count == scene.tracking.clients == 0

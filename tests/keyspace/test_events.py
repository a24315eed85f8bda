"""Who observes a keyspace hears of what happens, class by class, whatever the server makes of it."""

from __future__ import annotations

import pytest

from minikv.keyspace import Keyspace, Watch
from minikv.keyspace.events import EVENT_EVICTED, EVENT_EXPIRED, EVENT_GENERIC, EVENT_MISSED, EVENT_NEW, EVENT_STRING
from minikv.keyspace.set import Set

ALL = (1 << 15) - 4


class Reader:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, int, bytes]] = []

    def take(self, event_class: int, event: bytes, number: int, key: bytes) -> None:
        self.heard.append((event, number, key))


def observing(keyspace: Keyspace, classes: int) -> Reader:
    reader = Reader()
    keyspace.observe(reader.take, classes)
    return reader


def test_each_reader_hears_its_classes(keyspace: Keyspace) -> None:
    strings, keys = observing(keyspace, EVENT_STRING), observing(keyspace, EVENT_NEW | EVENT_GENERIC)
    first, second = keyspace.databases[:2]
    first.set(b"a", b"1")
    second.append(b"b", b"1")
    first.get(b"none")
    first.move_to(b"a", second)
    assert strings.heard == [(b"set", 0, b"a"), (b"append", 1, b"b")]
    assert keys.heard == [
        (b"new", 0, b"a"),
        (b"new", 1, b"b"),
        (b"new", 1, b"a"),
        (b"move_from", 0, b"a"),
        (b"move_to", 1, b"a"),
    ]


def test_a_reader_may_change_its_mind(keyspace: Keyspace) -> None:
    reader = Reader()
    take = reader.take
    database = keyspace.databases[0]
    for classes in (EVENT_STRING, EVENT_NEW, 0):
        keyspace.observe(take, classes)
        database.delete(b"a")
        database.set(b"a", b"1")
    assert [event for event, _, _ in reader.heard] == [b"set", b"new"]


def test_what_goes_without_a_command_can_be_observed(keyspace: Keyspace) -> None:
    reader = observing(keyspace, EVENT_EXPIRED | EVENT_EVICTED)
    now_ms = keyspace.now_ms
    database = keyspace.databases[1]
    for key in (b"a", b"b"):
        database.set(key, b"1", now_ms + 10)
    keyspace.set_clock(lambda: now_ms + 11)
    assert database.get(b"b") is None
    keyspace.expire_cycle(10)
    database.notify(EVENT_EVICTED, b"evicted", b"c")
    assert reader.heard == [(b"expired", 1, b"b"), (b"expired", 1, b"a"), (b"evicted", 1, b"c")]


def test_watching_and_observing_do_not_disturb_each_other(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    token = Watch()
    database.watch(b"a", token)
    reader = observing(keyspace, EVENT_MISSED)
    database.get(b"a")
    database.unwatch(token)
    database.get(b"a")
    database.watch(b"a", token)
    keyspace.observe(Reader().take, 0)
    database.set(b"a", b"1")
    assert token.broken
    assert reader.heard == [(b"keymiss", 0, b"a")] * 2


def test_a_watched_key_that_expires_breaks_the_watch_and_stays_until_somebody_asks(keyspace: Keyspace) -> None:
    reader = observing(keyspace, EVENT_EXPIRED)
    now_ms = keyspace.now_ms
    database = keyspace.databases[0]
    database.set(b"a", b"1", now_ms + 10)
    token = Watch()
    database.watch(b"a", token)
    keyspace.set_clock(lambda: now_ms + 11)
    assert token.broken
    assert database.keys() == []
    assert reader.heard == []
    assert database.get(b"a") is None
    assert reader.heard == [(b"expired", 0, b"a")]


@pytest.mark.parametrize("empty", [lambda keyspace: keyspace.flush_all(), lambda keyspace: keyspace.swap(0, 1)])
def test_what_is_emptied_or_swapped_as_a_whole_makes_no_events(keyspace: Keyspace, empty: object) -> None:
    reader = observing(keyspace, ALL)
    keyspace.databases[0].set(b"a", b"1", keyspace.now_ms - 1)
    keyspace.databases[0].watch(b"b", Watch())
    reader.heard.clear()
    empty(keyspace)  # type: ignore[operator]
    assert reader.heard == []


def test_the_wanted_place_of_an_expired_key_is_deleted_not_expired(keyspace: Keyspace) -> None:
    reader = observing(keyspace, ALL)
    database = keyspace.databases[0]
    database.set(b"a", b"1", keyspace.now_ms - 1)
    reader.heard.clear()
    assert database.discard(b"a")
    assert not database.discard(b"a")
    assert reader.heard == [(b"del", 0, b"a")]


def test_a_collection_announces_itself_once(keyspace: Keyspace) -> None:
    reader = observing(keyspace, ALL)
    members = Set.to_write(keyspace.databases[0], b"s")
    for member in (b"1", b"2"):
        members.add(member)
        members.notify(b"sadd")
    for member in (b"1", b"2"):
        members.remove(member)
        members.notify_taken(b"srem")
    assert [event for event, _, _ in reader.heard] == [b"new", b"sadd", b"sadd", b"srem", b"srem", b"del"]

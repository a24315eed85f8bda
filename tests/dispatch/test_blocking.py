"""The mechanism of commands that wait, with a clock and timers of the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from minikv.commands.encoding import SORTED_SET, STRING
from minikv.dispatch import blocking
from minikv.dispatch.blocking import Blocking, block
from minikv.dispatch.client import Client
from minikv.dispatch.spec import BLOCKING, command
from minikv.dispatch.stats import Stats
from minikv.dispatch.table import CommandTable
from minikv.errors import ArenaFull, CommandError
from minikv.keyspace import Keyspace
from minikv.protocol.reply import NULL_ARRAY, POSTPONED

MB = 1 << 20
LOST = CommandError("GONE the key is no string")


@command("SET", arity=3)
def set_(ctx: Client, key: bytes, value: bytes) -> int:
    ctx.db.set(key, value)
    return 1


@command("DEL", arity=2)
def del_(ctx: Client, key: bytes) -> bool:
    return ctx.db.delete(key)


@command("AWAIT", arity=-2, flags=BLOCKING)
def await_(ctx: Client, *keys: bytes) -> object:
    return block(ctx, keys, 0, STRING, look)


@command("AWAITFOR", arity=3, flags=BLOCKING)
def awaitfor(ctx: Client, key: bytes, timeout_ms: bytes) -> object:
    return block(ctx, [key], int(timeout_ms), STRING, look)


@command("AWAITLOSS", arity=2, flags=BLOCKING)
def awaitloss(ctx: Client, key: bytes) -> object:
    return block(ctx, [key], 0, STRING, look, lost=LOST)


def look(ctx: Client, key: bytes) -> object:
    """What the value says is to happen."""
    value = ctx.db.get_for_write(key)
    if value == b"wait":
        return POSTPONED
    if value == b"error":
        raise CommandError("ODD value")
    if value == b"full":
        raise ArenaFull
    if value == b"bug":
        raise ZeroDivisionError
    return [key, value]


class Timers:
    """Timers as the event loop has them; the clock is the test's too."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pending: list[SimpleNamespace] = []

    def call_later(self, seconds: float, callback: Callable[..., None], *args: object) -> SimpleNamespace:
        timer = SimpleNamespace(at=self.now + seconds, run=lambda: callback(*args))
        timer.cancel = lambda: self.pending.remove(timer) if timer in self.pending else None
        self.pending.append(timer)
        return timer

    def pass_time(self, seconds: float, early: float = 0.0) -> None:
        """Let time pass; timers run up to `early` seconds before they should."""
        self.now += seconds
        for timer in [timer for timer in self.pending if timer.at - early <= self.now]:
            self.pending.remove(timer)
            timer.run()


class Caller(Client):
    """A client that keeps what it is answered."""

    def __init__(self, services: Any) -> None:
        super().__init__(services)
        self.answers: list[object] = []
        self.bugs: list[BaseException] = []

    def call(self, *words: str) -> object:
        return self.server.table.dispatch(self, [word.encode() for word in words])

    def answer(self, value: object) -> None:
        self.answers.append(value)

    def fail(self, error: BaseException) -> None:
        self.bugs.append(error)

    def close(self) -> None:
        self.server.blocking.forget(self)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers()
    monkeypatch.setattr(blocking, "time", SimpleNamespace(monotonic=lambda: timers.now))
    return timers


@pytest.fixture
def services(timers: Timers) -> Iterator[Any]:
    module = ModuleType(__name__)
    module.__dict__.update(globals())
    services = SimpleNamespace(keyspace=Keyspace(databases=2, arena_bytes=64 * MB), stats=Stats(), monitors=set())
    services.table = CommandTable.build([module], services, services.stats)
    services.blocking = Blocking(services.table, services.keyspace, timers.call_later)
    services.clients = [Caller(services) for _ in range(4)]
    yield services
    for client in services.clients:
        services.blocking.forget(client)
    assert services.blocking.queues == {}
    assert services.blocking.count == services.blocking.timeouts == 0
    assert not timers.pending
    services.keyspace.check()


def test_an_answer_comes_after_the_command_that_allows_it(services: Any) -> None:
    waiter, writer = services.clients[:2]
    assert waiter.call("AWAIT", "k", "j", "k") is POSTPONED
    assert writer.call("SET", "k", "wait") == 1
    assert waiter.answers == []
    assert writer.call("SET", "k", "1") == 1
    assert waiter.answers == [[b"k", b"1"]]
    assert waiter.blocked is None
    writer.call("SET", "j", "1")
    assert len(waiter.answers) == 1


def test_who_is_not_served_keeps_the_place(services: Any) -> None:
    *waiters, writer = services.clients
    for waiter in waiters:
        waiter.call("AWAIT", "k")
    for _ in range(5):
        writer.call("SET", "k", "wait")
    queue = services.blocking.queues[0, b"k"][STRING]
    assert [waiting.client for waiting in queue] == waiters


def test_an_error_is_an_answer(services: Any) -> None:
    waiter, other, writer = services.clients[:3]
    command = services.table.lookup(b"await")
    for value, code in (("error", "ODD"), ("full", "OOM")):
        waiter.call("AWAIT", "k")
        other.call("AWAIT", "k")
        writer.call("SET", "k", value)
        assert [str(client.answers.pop()).split()[0] for client in (waiter, other)] == [code, code]
    assert command.failed == 4
    assert command.calls == 4
    assert services.stats.errors == {b"ODD": 2, b"OOM": 2}


def test_a_bug_closes_the_client_that_waited_and_no_other(services: Any) -> None:
    waiter, other, writer = services.clients[:3]
    waiter.call("AWAIT", "k")
    other.call("AWAIT", "j")
    assert writer.call("SET", "k", "bug") == 1
    assert [type(bug) for bug in waiter.bugs] == [ZeroDivisionError]
    assert waiter.blocked is None
    writer.call("SET", "j", "1")
    assert other.answers == [[b"j", b"1"]]


def test_a_key_that_is_lost_ends_the_waiting_of_those_who_mind(services: Any) -> None:
    waiter, other, writer = services.clients[:3]
    writer.call("SET", "k", "wait")
    waiter.call("AWAITLOSS", "k")
    other.call("AWAIT", "k")
    writer.call("SET", "k", "wait")
    assert waiter.answers == []
    writer.call("DEL", "k")
    assert waiter.answers == [LOST]
    assert other.answers == []
    assert services.table.lookup(b"awaitloss").failed == 1


def test_a_type_is_only_served_to_who_waits_for_it(services: Any) -> None:
    waiter, other, writer = services.clients[:3]
    block(waiter, [b"k"], 0, SORTED_SET, look)
    waiter.blocked.command = services.table.lookup(b"await")
    other.call("AWAIT", "k")
    writer.call("SET", "k", "1")
    assert (waiter.answers, other.answers) == ([], [[b"k", b"1"]])


def test_a_timeout_is_kept_to_the_point(services: Any, timers: Timers) -> None:
    waiter = services.clients[0]
    waiter.call("AWAITFOR", "k", "1500")
    assert services.blocking.timeouts == 1
    timers.pass_time(1.499, early=0.1)
    assert waiter.answers == []
    timers.pass_time(0.0011)
    assert waiter.answers == [NULL_ARRAY]


def test_a_timeout_of_ages_is_waited_for_in_portions(services: Any, timers: Timers) -> None:
    waiter = services.clients[0]
    waiter.call("AWAITFOR", "k", str(2**63 - 1))
    for _ in range(3):
        timers.pass_time(24 * 3600)
        assert len(timers.pending) == 1
    assert waiter.answers == []


def test_who_is_answered_or_gone_has_no_timer(services: Any, timers: Timers) -> None:
    waiter, gone, unblocked, writer = services.clients
    for client in (waiter, gone, unblocked):
        client.call("AWAITFOR", "k", "1000")
    services.blocking.forget(gone)
    assert services.blocking.unblock(unblocked, NULL_ARRAY)
    assert not services.blocking.unblock(unblocked, NULL_ARRAY)
    writer.call("SET", "k", "1")
    timers.pass_time(10)
    assert [client.answers for client in services.clients] == [[[b"k", b"1"]], [], [NULL_ARRAY], []]


def test_nobody_waits_where_nobody_may(services: Any) -> None:
    client = services.clients[0]
    client.in_exec = True
    assert client.call("AWAIT", "k") is NULL_ARRAY
    assert block(client, [b"k"], 0, STRING, look, otherwise=None) is None
    assert client.blocked is None

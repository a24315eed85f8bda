"""Dispatch: what stops a command, in which order, and what is counted."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from minikv.commands.transaction import exec_, multi
from minikv.dispatch.client import Client
from minikv.dispatch.memory_limit import MemoryLimit
from minikv.dispatch.spec import (
    ADMIN,
    DENYOOM,
    FAST,
    LOADING,
    NO_AUTH,
    NO_MULTI,
    PROTECTED,
    READONLY,
    SKIP_SLOWLOG,
    WRITE,
    command,
    container,
)
from minikv.dispatch.stats import Stats
from minikv.dispatch.table import CommandTable
from minikv.errors import ArenaFull, CommandError
from minikv.keyspace import Keyspace, Watch
from minikv.protocol.reply import NULL_ARRAY, OK, QUEUED, encode


@command("READ", arity=2, flags=READONLY | FAST)
def read(ctx: Client, key: bytes) -> bytes:
    return key


@command("WRITE", arity=-2, flags=WRITE | DENYOOM)
@command("STORE", arity=-3, flags=WRITE)
def write(ctx: Client, *args: bytes) -> int:
    return len(args)


@command("FAIL", arity=1)
def fail(ctx: Client) -> None:
    raise CommandError("WRONGKIND Of thing")


@command("FILL", arity=1)
def fill(ctx: Client) -> None:
    raise ArenaFull("command not allowed: the arena is full")


@command("BREAK", arity=1)
def break_(ctx: Client) -> None:
    raise ZeroDivisionError


@command("ANYWAY", arity=1, flags=LOADING | NO_AUTH | ADMIN)
def anyway(ctx: Client) -> Client:
    return ctx


@command("ALONE", arity=1, flags=NO_MULTI)
def alone(ctx: Client) -> int:
    return 1


@command("DEBUG", arity=1, flags=PROTECTED | SKIP_SLOWLOG)
def debug(ctx: Client) -> int:
    return 1


BOX = container("BOX", arity=-2)


@command("BOX|OPEN", arity=3)
def box_open(ctx: Client, name: bytes) -> bytes:
    return name


def this_module() -> ModuleType:
    module = ModuleType(__name__)
    module.__dict__.update(globals())
    for handler in (multi, exec_):
        module.__dict__[handler.__name__] = handler
    return module


class Clock:
    """A keyspace as far as dispatch knows one."""

    def __init__(self) -> None:
        self.real = Keyspace(1, 4 << 20, huge_pages=False)
        self.databases = self.real.databases
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1


class SlowLog:
    def __init__(self) -> None:
        self.entries: list[list[bytes]] = []

    def add(self, client: Client, args: list[bytes], duration_us: int, full_name: bytes) -> None:
        self.entries.append(args)


@pytest.fixture
def services() -> Any:
    clock = Clock()
    services = SimpleNamespace(
        keyspace=clock,
        config=SimpleNamespace(enable_debug_command="no"),
        stats=Stats(),
        slowlog=SlowLog(),
        monitors=set(),
        postponed=set(),
    )
    transactions = ModuleType(multi.__module__)
    transactions.__dict__.update(multi=multi, exec_=exec_)
    services.table = CommandTable.build([this_module(), transactions], services, services.stats)
    services.table.memory_limit = MemoryLimit(clock.real)
    return services


@pytest.fixture
def client(services: Any) -> Client:
    return Client(services)


def call(client: Client, *args: bytes) -> bytes:
    return encode(client.server.table.dispatch(client, args))


def gates(services: Any, **which: bool) -> None:
    names = ("loading", "misconf", "limited_memory", "paused", "writes_paused", "monitors")
    services.table.set_gates(**{name: which.get(name, False) for name in names})


def test_a_handler_gets_the_client_and_the_arguments(client: Client) -> None:
    assert call(client, b"read", b"key") == b"$3\r\nkey\r\n"
    assert call(client, b"ReAd", b"key") == b"$3\r\nkey\r\n"
    assert call(client, b"STORE", b"a", b"b", b"c") == b":3\r\n"
    assert call(client, b"box", b"Open", b"it") == b"$2\r\nit\r\n"
    assert client.server.table.dispatch(client, [b"ANYWAY"]) is client


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ([b"READ"], b"-ERR wrong number of arguments for 'read' command\r\n"),
        ([b"WRITE"], b"-ERR wrong number of arguments for 'write' command\r\n"),
        ([b"BOX"], b"-ERR wrong number of arguments for 'box' command\r\n"),
        ([b"BOX", b"OPEN"], b"-ERR wrong number of arguments for 'box|open' command\r\n"),
        ([b"BOX", b"SHUT\r\n"], b"-ERR unknown subcommand 'SHUT  '. Try BOX HELP.\r\n"),
        ([b"nope", b"a", b"\xff"], b"-ERR unknown command 'nope', with args beginning with: 'a' '\xff' \r\n"),
        ([b"FAIL"], b"-WRONGKIND Of thing\r\n"),
        ([b"FILL"], b"-OOM command not allowed: the arena is full\r\n"),
        ([b"EXEC"], b"-ERR EXEC without MULTI\r\n"),
        (
            [b"EXEC", b"x"],
            b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n",
        ),
    ],
)
def test_errors(client: Client, request_: list[bytes], error: bytes) -> None:
    assert call(client, *request_) == error
    assert client.server.stats.error_replies == 1


def test_what_is_counted(client: Client) -> None:
    table, stats = client.server.table, client.server.stats
    for request in ([b"READ", b"a"], [b"read", b"a"], [b"READ"], [b"FAIL"], [b"nope"]):
        call(client, *request)
    assert (table.lookup(b"read").calls, table.lookup(b"read").rejected) == (2, 1)
    assert (table.lookup(b"fail").calls, table.lookup(b"fail").failed) == (1, 1)
    assert stats.commands_processed == 3
    assert stats.errors == {b"ERR": 2, b"WRONGKIND": 1}
    table.reset_stats()
    assert table.lookup(b"read").calls == 0


def test_an_error_of_ours_goes_up_and_leaves_dispatch_usable(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        call(client, b"BREAK")
    assert call(client, b"READ", b"a") == b"$1\r\na\r\n"


def test_a_stranger_may_call_little(client: Client) -> None:
    client.must_log_in, client.unrestricted = True, False
    assert call(client, b"READ", b"a") == b"-NOAUTH Authentication required.\r\n"
    assert call(client, b"nope").startswith(b"-ERR unknown command")
    assert client.server.table.dispatch(client, [b"ANYWAY"]) is client


@pytest.mark.parametrize(
    ("gate", "stopped", "code"),
    [
        ("loading", [[b"READ", b"a"], [b"WRITE", b"a"], [b"STORE", b"a", b"b"]], b"-LOADING "),
        ("misconf", [[b"WRITE", b"a"], [b"STORE", b"a", b"b"]], b"-MISCONF "),
        ("limited_memory", [[b"WRITE", b"a"]], b"-OOM "),
    ],
)
def test_gates(client: Client, gate: str, stopped: list[list[bytes]], code: bytes) -> None:
    client.server.table.memory_limit.limit = 1
    gates(client.server, **{gate: True})
    for request in ([b"READ", b"a"], [b"WRITE", b"a"], [b"STORE", b"a", b"b"], [b"ANYWAY"]):
        refused = isinstance(client.server.table.dispatch(client, request), CommandError)
        assert refused == (request in stopped), request
        if refused:
            assert call(client, *request).startswith(code)


def test_enough_memory_opens_the_gate(client: Client) -> None:
    client.server.table.memory_limit.limit = 1 << 20
    gates(client.server, limited_memory=True)
    assert call(client, b"WRITE", b"a") == b":1\r\n"


def test_a_pause_postpones(client: Client) -> None:
    table = client.server.table
    gates(client.server, writes_paused=True)
    assert table.dispatch(client, [b"READ", b"a"]) == b"a"
    assert repr(table.dispatch(client, [b"WRITE", b"a"])) == "POSTPONED"
    gates(client.server, paused=True)
    assert repr(table.dispatch(client, [b"READ", b"a"])) == "POSTPONED"


def test_debug_needs_permission(client: Client) -> None:
    config = client.server.config
    assert call(client, b"DEBUG").startswith(b"-ERR DEBUG command not allowed.")
    config.enable_debug_command = "local"
    client.addr = b"10.0.0.1:5"
    assert call(client, b"DEBUG").startswith(b"-ERR DEBUG command not allowed.")
    client.addr = b"127.0.0.1:5"
    assert call(client, b"DEBUG") == b":1\r\n"
    config.enable_debug_command = "yes"
    client.addr = b"10.0.0.1:5"
    assert call(client, b"DEBUG") == b":1\r\n"


def test_multi_queues_and_exec_executes(client: Client) -> None:
    table = client.server.table
    assert table.dispatch(client, [b"MULTI"]) is OK
    assert table.dispatch(client, [b"READ", b"a"]) is QUEUED
    assert table.dispatch(client, [b"FAIL"]) is QUEUED
    assert table.lookup(b"read").calls == 0
    assert call(client, b"EXEC") == b"*2\r\n$1\r\na\r\n-WRONGKIND Of thing\r\n"
    assert client.transaction is None


def test_a_refused_command_spoils_the_transaction(client: Client) -> None:
    for refused in ([b"READ"], [b"nope"], [b"ALONE"]):
        call(client, b"MULTI")
        assert call(client, *refused).startswith(b"-ERR")
        assert call(client, b"EXEC") == b"-EXECABORT Transaction discarded because of previous errors.\r\n"


def test_exec_is_refused_for_what_it_would_execute(client: Client) -> None:
    call(client, b"MULTI")
    call(client, b"WRITE", b"a")
    gates(client.server, misconf=True)
    assert call(client, b"EXEC").startswith(b"-EXECABORT Transaction discarded because of: MISCONF ")
    assert client.transaction is None


def test_a_broken_watch_makes_exec_do_nothing(client: Client) -> None:
    database = client.keyspace.databases[0]
    client.watch = Watch()
    database.watch(b"a", client.watch)
    database.set(b"a", b"changed")
    call(client, b"MULTI")
    call(client, b"READ", b"a")
    assert client.server.table.dispatch(client, [b"EXEC"]) is NULL_ARRAY
    assert client.watch is None


def test_the_slow_log_gets_what_took_as_long_as_it_asks_for(client: Client) -> None:
    table, entries = client.server.table, client.server.slowlog.entries
    client.server.config.enable_debug_command = "yes"
    call(client, b"READ", b"a")
    assert entries == []
    table.set_slow_limits(0, 0)
    call(client, b"READ", b"a")
    call(client, b"DEBUG")
    assert entries == [[b"READ", b"a"]]

"""Scripts that never end, that want all memory, and clients that meet them."""

from __future__ import annotations

import pytest

from tests.harness import Server, WireClient, parse, wait_until

ENDLESS = ["EVAL", "while true do end", "0"]
BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"


@pytest.fixture
def server(start_minikv) -> Server:  # type: ignore[no-untyped-def]
    return start_minikv(busy_reply_threshold=10)


@pytest.fixture(scope="module")
def shared(module_minikv) -> Server:  # type: ignore[no-untyped-def]
    """A server that no script ends."""
    return module_minikv(busy_reply_threshold=0, script_memory_limit=32 << 20)


def start(server: Server, command: list[str]) -> WireClient:
    """A client whose script runs for so long that the others are told."""
    client = server.connect()
    client.send(command)
    other = server.connect()
    wait_until(lambda: other.call("GET a").startswith(b"-BUSY"), "the script is busy")
    other.close()
    return client


def test_others_are_answered_and_the_script_can_be_killed(server: Server) -> None:
    before, script = server.connect(), start(server, ENDLESS)
    after = server.connect()
    assert before.call("GET a") == after.call("PING") == BUSY
    assert after.call("SCRIPT EXISTS x") == BUSY
    assert after.call("FUNCTION KILL") == BUSY
    assert after.call("SHUTDOWN") == BUSY
    assert after.call("FUNCTION STATS").startswith(b"*4\r\n$14\r\nrunning_script\r\n*6\r\n$4\r\nname\r\n")
    assert after.call("SCRIPT KILL") == b"+OK\r\n"
    assert b"Script killed by user with SCRIPT KILL" in script.read()
    assert script.call("PING") == before.call("PING") == b"+PONG\r\n"
    assert after.call("SCRIPT KILL") == b"-NOTBUSY No scripts in execution right now.\r\n"


@pytest.mark.parametrize(
    "body",
    [
        "while true do pcall(function() while true do end end) end",
        "local c = coroutine.wrap(function() while true do end end) while true do pcall(c) end",
        "while true do coroutine.wrap(function() for i = 1, 1e6 do end end)() end",
        "while true do redis.call('get', 'a') end",
        "local function f() return f() end return f()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
    ],
)
def test_no_script_escapes(server: Server, body: str) -> None:
    script = start(server, ["EVAL", body, "0"])
    killer = server.connect()
    assert killer.call("SCRIPT KILL") == b"+OK\r\n"
    assert script.read().startswith(b"-ERR")
    assert killer.call("PING") == b"+PONG\r\n"


def test_a_script_that_has_written_is_not_killed(server: Server) -> None:
    script = start(server, ["EVAL", "redis.call('set', 'a', 1) while redis.call('get', 'b') ~= 'never' do end", "0"])
    other = server.connect()
    assert other.call("SCRIPT KILL").startswith(b"-UNKILLABLE ")
    other.send("SHUTDOWN NOSAVE")
    wait_until(lambda: not server.alive, "the server ends")
    script.close()


def test_a_function_is_killed_by_its_own_command(server: Server) -> None:
    client = server.connect()
    client.call(["FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('f', function() while true do end end)"])
    script = start(server, ["FCALL", "f", "0"])
    assert client.call("SCRIPT KILL").startswith(b"-BUSY ")
    assert client.call("FUNCTION KILL") == b"+OK\r\n"
    assert script.read().startswith(b"-ERR")


def test_a_library_that_does_not_end_is_refused(server: Server) -> None:
    client = server.connect()
    assert client.call(["FUNCTION", "LOAD", "#!lua name=x\nwhile true do end"]).startswith(b"-ERR Error registering")
    assert client.call("PING") == b"+PONG\r\n"


def test_requests_around_a_busy_script_are_answered_in_their_order(server: Server) -> None:
    """The connection whose script runs has replies that were not sent, and requests behind it that were read."""
    client = server.connect()
    other = server.connect()
    client.send_raw(
        b"PING\r\nECHO before\r\n*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n" + b"ECHO after\r\n" * 100
    )
    wait_until(lambda: other.call("GET a").startswith(b"-BUSY"), "the script is busy")
    assert client.read() == b"+PONG\r\n"
    assert client.read() == b"$6\r\nbefore\r\n"
    for number in range(50):
        assert other.call(["ECHO", "x" * number * 100]).startswith(b"-BUSY")
    assert other.call("SCRIPT KILL") == b"+OK\r\n"
    assert client.read().startswith(b"-ERR")
    assert [client.read() for _ in range(100)] == [b"$5\r\nafter\r\n"] * 100


def test_a_transaction_is_refused_as_a_whole(server: Server) -> None:
    script = start(server, ENDLESS)
    other = server.connect()
    assert other.call("MULTI") == b"+OK\r\n"
    assert other.call("SET a 1") == BUSY
    server.connect().call("SCRIPT KILL")
    script.read()
    assert other.call("EXEC").startswith(b"-EXECABORT")


def test_clients_may_come_and_go_meanwhile(server: Server) -> None:
    script = start(server, ENDLESS)
    for _ in range(20):
        passing = server.connect()
        passing.call("PING")
        passing.close()
    assert server.connect().call("SCRIPT KILL") == b"+OK\r\n"
    assert script.read().startswith(b"-ERR")


def test_the_script_of_a_client_that_is_gone_ends_too(server: Server) -> None:
    script = start(server, ENDLESS)
    script.close()
    other = server.connect()
    assert other.call("SCRIPT KILL") == b"+OK\r\n"
    wait_until(lambda: other.call("PING") == b"+PONG\r\n", "the script has ended")


@pytest.mark.parametrize(
    "body",
    [
        "local t = {} for i = 1, 1e9 do t[i] = {i} end",
        "local s = 'x' while true do s = s .. s end",
        "local s = ('x'):rep(1e6) local t = {} while true do t[#t + 1] = s .. #t end",
        "local t = {1} for i = 1, 40 do t = {t, t} end return t",
        "local t = {('x'):rep(1e5)} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "local t = {('x'):rep(1e6)} for i = 1, 15 do t = {t, t, t, t} end return cmsgpack.pack(t)",
        "local s = '[],' for i = 1, 21 do s = s .. s end return cjson.decode('[' .. s .. '[]]')",
    ],
)
def test_a_script_that_wants_all_memory_gets_an_error(shared: Server, body: str) -> None:
    """An error, and memory for the next one: what the script has left is freed, however small the limit is."""
    client = shared.connect()
    reply = client.call(["EVAL", body, "0"])
    assert b"not enough memory" in reply or b"too many values" in reply
    assert client.call(["EVAL", "local t = {} for i = 1, 5000 do t[i] = {i} end return #t", "0"]) == b":5000\r\n"


def test_memory_comes_back(start_minikv) -> None:  # type: ignore[no-untyped-def]
    server = start_minikv()
    client = server.connect()
    client.call(["EVAL", "local t = {} for i = 1, 1e6 do t[i] = {i} end return #t", "0"])
    assert int(server.info("memory")["used_memory_lua"]) < 2_000_000
    assert parse(client.call("SCRIPT FLUSH")).payload == b"OK"
    assert int(server.info("memory")["used_memory_lua"]) == 0

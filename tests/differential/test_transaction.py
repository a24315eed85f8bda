"""MULTI, EXEC, DISCARD and WATCH, on one connection and between several."""

import pytest

from tests.harness import ClientPair


def test_replies_come_with_exec(pair: ClientPair) -> None:
    pair.assert_same("MULTI", "SET a 1", "INCR a", "GET a", "GET none", "MGET a none", "EXEC", "GET a")


def test_an_empty_transaction(pair: ClientPair) -> None:
    pair.assert_same("MULTI", "EXEC", "EXEC")


def test_discard_forgets_the_commands(pair: ClientPair) -> None:
    pair.assert_same("MULTI", "SET a 1", "DISCARD", "GET a", "EXEC", "DISCARD")


def test_multi_cannot_be_nested(pair: ClientPair) -> None:
    pair.assert_same("MULTI", "MULTI", "SET a 1", "EXEC", "GET a")


def test_watch_is_refused_inside_multi(pair: ClientPair) -> None:
    pair.assert_same("MULTI", "WATCH a", "SET a 1", "EXEC")


@pytest.mark.parametrize(
    "wrong", ["nonesuch a", "GET", "SET a", "INCR a b", "CLIENT nonesuch", "CLIENT ID 1", "CONFIG", "OBJECT"]
)
def test_a_command_that_cannot_be_queued_aborts_the_transaction(pair: ClientPair, wrong: str) -> None:
    pair.assert_same("MULTI", "SET a 1", wrong, "SET b 2", "EXEC", "MGET a b", "MULTI", "EXEC")


def test_an_error_while_executing_does_not_stop_the_rest(pair: ClientPair) -> None:
    pair.assert_same("SET a text", "MULTI", "INCR a", "SET b 2", "SETRANGE a -1 x", "GET b", "EXEC", "MGET a b")


@pytest.mark.parametrize("command", ["EXEC x", "MULTI x", "DISCARD x", "UNWATCH x", "WATCH"])
@pytest.mark.parametrize("inside", [False, True])
def test_wrong_number_of_arguments(pair: ClientPair, command: str, inside: bool) -> None:
    if inside:
        pair.assert_same("MULTI", "PING")
    pair.assert_same(command, "EXEC", "PING")


CHANGES = {
    "set": "SET watched 2",
    "set to the same value": "SET watched 1",
    "append": "APPEND watched x",
    "append nothing": ("APPEND", "watched", ""),
    "delete": "DEL watched",
    "expire": "EXPIRE watched 100",
    "expire in the past": "EXPIRE watched -1",
    "persist without a time": "PERSIST watched",
    "rename away": "RENAME watched other",
    "rename over": "RENAME present watched",
    "flush": "FLUSHALL",
    "flush of the database": "FLUSHDB",
    "move": "MOVE watched 3",
    "copy over": "COPY present watched REPLACE",
    "copy from": "COPY watched elsewhere",
    "set bit": "SETBIT watched 5 1",
    "swap": "SWAPDB 0 1",
    "set if it does not exist": "SET watched 9 NX",
    "increment": "INCR watched",
    "read": "GET watched",
    "touch": "TOUCH watched",
    "get and delete": "GETDEL watched",
    "get and expire": "GETEX watched EX 100",
    "get without options": "GETEX watched",
    "set range of nothing": ("SETRANGE", "watched", "0", ""),
    "multiple set": "MSET x 1 watched 3",
    "multiple set that fails": "MSETNX x 1 watched 3",
    "bit operation": "BITOP NOT watched present",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("own", [False, True], ids=["by another", "by itself"])
def test_a_change_of_a_watched_key_breaks_the_transaction(pair: ClientPair, change: str, own: bool) -> None:
    pair.assert_same("SET watched 1", "SET present 1", "WATCH watched")
    (pair if own else pair.another()).assert_same(change)
    pair.assert_same("MULTI", "SET result 1", "EXEC", "GET result", "MULTI", "SET result 2", "EXEC")


@pytest.mark.parametrize(
    "change", ["SET watched 1", "DEL watched", "RENAME present watched", "FLUSHALL", "SWAPDB 0 1", "GET watched"]
)
def test_a_missing_key_can_be_watched(pair: ClientPair, change: str) -> None:
    pair.assert_same("SET present 1", "WATCH watched")
    pair.another().assert_same(change)
    pair.assert_same("MULTI", "GET present", "EXEC")


def test_unwatch_and_discard_and_exec_end_the_watch(pair: ClientPair) -> None:
    other = pair.another()
    for ending in (["UNWATCH"], ["MULTI", "DISCARD"], ["MULTI", "EXEC"]):
        pair.assert_same("SET a 1", "WATCH a", *ending)
        other.assert_same("SET a 2")
        pair.assert_same("MULTI", "GET a", "EXEC")


def test_unwatch_inside_multi_does_not_help(pair: ClientPair) -> None:
    pair.assert_same("SET a 1", "WATCH a")
    pair.another().assert_same("SET a 2")
    pair.assert_same("MULTI", "UNWATCH", "GET a", "EXEC")


def test_a_change_in_another_database_does_not_break(pair: ClientPair) -> None:
    pair.assert_same("SET a 1", "WATCH a")
    pair.another().assert_same("SELECT 1", "SET a 2", "FLUSHDB")
    pair.assert_same("MULTI", "GET a", "EXEC")


def test_keys_of_two_databases_can_be_watched(pair: ClientPair) -> None:
    pair.assert_same("WATCH a", "SELECT 2", "WATCH a b")
    pair.another().assert_same("SET a 1")
    pair.assert_same("MULTI", "PING", "EXEC", "SELECT 0")


def test_watching_twice_and_several_keys(pair: ClientPair) -> None:
    pair.assert_same("WATCH a b c a", "WATCH b")
    pair.another().assert_same("SET c 1")
    pair.assert_same("MULTI", "PING", "EXEC", "MULTI", "PING", "EXEC")


def test_a_watched_key_that_expires_breaks_the_transaction(pair: ClientPair) -> None:
    pair.assert_same("SET a 1 PX 30", "WATCH a")
    for server in pair.servers:
        while server.call("EXISTS a") == b":1\r\n":
            pass
    pair.assert_same("MULTI", "PING", "EXEC")


def test_a_key_that_is_already_expired_when_watched(pair: ClientPair) -> None:
    """Redis remembers that the key was expired at WATCH: its deletion breaks nothing."""
    pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 1")
    for server in pair.servers:
        while server.call("EXISTS a") == b":1\r\n":
            pass
    pair.assert_same("WATCH a", "MULTI", "PING", "EXEC", "DEBUG SET-ACTIVE-EXPIRE 1")


def test_select_inside_a_transaction_stays(pair: ClientPair) -> None:
    pair.assert_same("MULTI", "SELECT 3", "SET a 3", "EXEC", "GET a", "SELECT 0", "GET a")


@pytest.mark.parametrize(
    "command",
    [
        "PING",
        "ECHO x",
        "SELECT 1",
        "SELECT 99",
        "CLIENT GETNAME",
        "CLIENT SETNAME x",
        "KEYS *",
        "DBSIZE",
        "TYPE a",
        "OBJECT ENCODING a",
        "FLUSHALL",
        "SAVE",
        "CONFIG GET maxmemory",
        "COMMAND COUNT",
        "MEMORY USAGE nonesuch",
        "SWAPDB 0 1",
    ],
)
def test_commands_that_may_be_queued(resp2_pair: ClientPair, command: str) -> None:
    compare = None if command != "COMMAND COUNT" else (lambda a, b: a[:4] == b[:4])
    resp2_pair.assert_same("MULTI", "SET a 1", command)
    resp2_pair.assert_same("EXEC", compare=compare)


@pytest.mark.parametrize(
    "command",
    [
        "RESET",
        "QUIT",
        "HELLO 3",
        "HELLO 2",
        "AUTH x",
        "MONITOR",
        "CLIENT REPLY OFF",
        "CLIENT REPLY SKIP",
        "SHUTDOWN nonesuch",
    ],
)
def test_commands_with_a_rule_of_their_own_inside_multi(resp2_pair: ClientPair, command: str) -> None:
    from tests.harness import encode

    resp2_pair.assert_same("CLIENT SETNAME someone", "MULTI", "SET a 1")
    if command.startswith("HELLO"):
        resp2_pair.assert_same(command, "DISCARD")
    else:
        resp2_pair.assert_same_raw(encode(command) + encode("GET a") + encode("EXEC") + encode("PING"))


def test_a_transaction_in_one_piece(pair: ClientPair) -> None:
    pair.assert_same_pipeline(
        "MULTI", *[f"SET key:{index} {index}" for index in range(500)], "DBSIZE", "EXEC", "DBSIZE"
    )


def test_a_client_that_leaves_in_a_transaction_changes_nothing(pair: ClientPair) -> None:
    leaving = pair.another()
    leaving.assert_same("WATCH b", "MULTI", "SET a 1")
    leaving.close()
    pair.assert_same("GET a", "SET b 1")


def test_a_command_for_debugging_in_a_transaction(pair: ClientPair) -> None:
    pair.assert_same("MULTI", "DEBUG SLEEP 0", "EXEC")


@pytest.mark.parametrize("here", ["GET watched", "SET watched 1", "SET watched 1 PX 1"])
@pytest.mark.parametrize("there", ["GET watched", "SET watched 1", "SET watched 1 PX 1"])
def test_a_key_that_has_expired_does_not_come_in(pair: ClientPair, here: str, there: str) -> None:
    pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 0", "SELECT 1", there, "SELECT 0", here, "DEBUG SLEEP 0.002")
    try:
        pair.assert_same("WATCH watched", "SWAPDB 0 1", "MULTI", "PING", "EXEC")
    finally:
        pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 1")

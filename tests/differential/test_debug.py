"""DEBUG: digests equal to those of Redis, data sets made and reloaded, errors in its words."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.harness import ClientPair, Server, WireClient, parse, plain, same_kind


def test_digests_are_those_of_redis(pair: ClientPair) -> None:
    pair.assert_same("DEBUG DIGEST", "SET a 1", "DEBUG DIGEST", "SET b x", "DEBUG DIGEST")
    pair.assert_same(
        "EXPIRE b 1000", "DEBUG DIGEST", "SELECT 5", "SET a 1", ("SET", b"\x00\xff", b"\r\n"), "DEBUG DIGEST"
    )
    pair.assert_same(("SET", "big", "x" * 100_000), "DEBUG DIGEST", "FLUSHALL", "DEBUG DIGEST")


def test_digest_value_tells_values_and_expiry_apart(pair: ClientPair) -> None:
    pair.assert_same("MSET a 1 b 1 c 01", "EXPIRE b 1000", "DEBUG DIGEST-VALUE a b c nonesuch", "DEBUG DIGEST-VALUE")


@pytest.mark.parametrize(
    "arguments", ["3", "3 pre", "3 pre 20", "2 pre 3", "0", "1 pre 0", "x", "-1", "2 p x", "2 p -1", ""]
)
def test_populate_makes_the_keys_of_redis(pair: ClientPair, arguments: str) -> None:
    pair.assert_same(f"DEBUG POPULATE {arguments}", "KEYS *", "DBSIZE", "DEBUG DIGEST", "GET pre:0", "GET key:2")


def test_populate_leaves_what_exists_and_counts_no_change(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    pair.assert_same("SET key:1 mine", "DEBUG POPULATE 3", "GET key:1", "DBSIZE")
    changes = [re.search(rb"changes_since_last_save:(\d+)", side.value("INFO")) for side in (pair.subject, pair.oracle)]
    assert changes[0] and changes[1] and changes[0][1] == changes[1][1] == b"1"


def described(pair: ClientPair, value: str, ignored: str = "") -> Iterator[str]:
    """What DEBUG OBJECT says of a string, for both servers, without what is never the same."""
    pair.assert_same(("SET", "key", value))
    for side in (pair.subject, pair.oracle):
        text = side.value("DEBUG OBJECT key").decode()
        yield re.sub(rf"Value at:0x[0-9a-f]+ refcount:\d+|lru:\d+|idle:\d+{ignored}", "", text)


@pytest.mark.parametrize("value", ["", "1", "-129", "128", "70000", "-2147483648", "2147483648", "x" * 20])
def test_object_tells_how_a_value_is_stored(pair: ClientPair, value: str) -> None:
    ours, theirs = described(pair, value)
    assert ours == theirs


@pytest.mark.parametrize("add", ["SET k a", "RPUSH k a", "SADD k a", "HSET k a 1", "ZADD k 1 a", "XADD k 1-1 a b"])
def test_object_knows_every_type(pair: ClientPair, add: str) -> None:
    pair.assert_same(add)
    ours, theirs = (client.value("DEBUG OBJECT k") for client in (pair.subject, pair.oracle))
    pattern = rb"Value at:0x[0-9a-f]+ refcount:1 encoding:(\w+) serializedlength:[0-9]+ lru:[0-9]+ lru_seconds_idle:0"
    ours_match, theirs_match = re.match(pattern, ours), re.match(pattern, theirs)
    assert ours_match and theirs_match
    assert ours_match[1] == theirs_match[1]


@pytest.mark.parametrize("value", ["x" * 21, "ab" * 70])
def test_object_tells_what_a_compressed_value_takes(pair: ClientPair, value: str) -> None:
    """The compressors are not the same: ours may need fewer bytes."""
    ours, theirs = described(pair, value, r"|serializedlength:\d+")
    assert ours == theirs
    ours_len, theirs_len = (int(text.partition("serializedlength:")[2].split()[0]) for text in described(pair, value))
    assert theirs_len // 2 < ours_len <= theirs_len < len(value)


@pytest.mark.parametrize(
    "arguments",
    [
        "OBJECT nonesuch",
        "OBJECT",
        "OBJECT a b",
        "nonesuch",
        "SLEEP",
        "SLEEP 0",
        "SLEEP x",
        "SLEEP -1",
        "SLEEP 0 0",
        "SET-ACTIVE-EXPIRE",
        "SET-ACTIVE-EXPIRE 1",
        "HTSTATS 99",
        "HTSTATS x",
        "HTSTATS",
        "CHANGE-REPL-ID",
        "QUICKLIST-PACKED-THRESHOLD 100b",
        "QUICKLIST-PACKED-THRESHOLD 4gb",
        "QUICKLIST-PACKED-THRESHOLD 5gb",
        "QUICKLIST-PACKED-THRESHOLD x",
        "QUICKLIST-PACKED-THRESHOLD 0",
        "ERROR boom",
        "LOG hello",
        "RELOAD nonesuch",
        "PROTOCOL nonesuch",
        "DIGEST x",
        "POPULATE 1 2 3 4",
        "",
    ],
)
def test_arguments(pair: ClientPair, arguments: str) -> None:
    pair.assert_same(f"DEBUG {arguments}")


def test_errors_stay_on_one_line(pair: ClientPair) -> None:
    pair.assert_same(("DEBUG", "ERROR", "a\r\nb"), "PING")


@pytest.mark.parametrize(
    "kind", ["string", "integer", "double", "bignum", "null", "array", "set", "map", "verbatim", "true", "false"]
)
def test_every_type_of_reply(pair: ClientPair, kind: str) -> None:
    pair.assert_same(f"DEBUG PROTOCOL {kind}")


@pytest.mark.parametrize("kind", ["attrib", "push"])
def test_a_reply_behind_something_else(pair: ClientPair, kind: str) -> None:
    pair.assert_same(f"DEBUG PROTOCOL {kind}")
    if kind == "push" and pair.resp == 3:
        assert pair.subject.read() == pair.oracle.read()
    pair.assert_same("PING")


def test_set_active_expire_stops_the_cycle(pair: ClientPair) -> None:
    pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 1", "DEBUG SLEEP 0.3")
    pair.assert_same("DBSIZE", "EXISTS a", "DBSIZE", "DEBUG SET-ACTIVE-EXPIRE 1")


def test_change_repl_id_changes_it(pair: ClientPair) -> None:
    before = pair.subject.value("INFO replication")
    pair.assert_same("DEBUG CHANGE-REPL-ID")
    assert pair.subject.value("INFO replication") != before


@pytest.mark.parametrize("options", ["", "NOSAVE", "nosave", "MERGE", "NOSAVE NOFLUSH MERGE"])
def test_reload_brings_the_saved_data_back(fresh_pair: Callable[..., ClientPair], options: str) -> None:
    pair = fresh_pair()
    pair.assert_same("SET a 1", "SET b x EX 1000", "SELECT 3", ("SET", "c", "y" * 5000), "SAVE", "SET late 1")
    pair.assert_same(f"DEBUG RELOAD {options}", "DEBUG DIGEST", "DBSIZE", "TTL a", "GET late", "SELECT 0", "GET a")


def test_reload_of_a_missing_dump(fresh_pair: Callable[..., ClientPair]) -> None:
    fresh_pair().assert_same("SET a 1", "DEBUG RELOAD NOSAVE", "DBSIZE", compare=same_kind)


def test_htstats_tells_the_keys(pair: ClientPair) -> None:
    pair.assert_same("SET a 1", "SET b 1 EX 100", "DEBUG HTSTATS 0", compare=same_kind)
    assert b" keys: 2\n keys with an expiry: 1\n" in pair.subject.value("DEBUG HTSTATS 0")


def test_the_engine_proves_its_invariants(pair: ClientPair) -> None:
    pair.assert_same("DEBUG POPULATE 1000 key 100", "DEL key:5", "SET key:6 1 EX 100")
    assert pair.subject.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"
    assert plain(parse(pair.subject.call("DEBUG ENGINE-STATS")))


def test_debug_is_refused_unless_it_is_enabled(fresh_pair: Callable[..., ClientPair]) -> None:
    fresh_pair(enable_debug_command="no").assert_same(
        "DEBUG SLEEP 0", "DEBUG", "DEBUG nonesuch", "MULTI", "DEBUG JMAP", "EXEC"
    )


def test_debug_is_local_where_it_should_be(fresh_pair: Callable[..., ClientPair]) -> None:
    fresh_pair(enable_debug_command="local").assert_same("DEBUG SLEEP 0")


def test_strangers_may_not_debug_where_it_is_local(start_minikv: Callable[..., Server]) -> None:
    address = own_address()
    server = start_minikv(enable_debug_command="local", tcp=True, bind=f"127.0.0.1 {address}", protected_mode="no")
    with server.connect(tcp=True) as client:
        assert client.call("DEBUG SLEEP 0") == b"+OK\r\n"
    with WireClient((address, server.port)) as client:
        assert client.call("DEBUG SLEEP 0").startswith(b"-ERR DEBUG command not allowed.")


def own_address() -> str:
    """An address of this host that is not the loopback's; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has only its loopback interface")
        address: str = probe.getsockname()[0]
        return address


@pytest.mark.parametrize(("subcommand", "signal"), [("SEGFAULT", 11), ("PANIC", 6), ("ASSERT", 6)])
def test_a_wanted_crash_is_a_crash(start_minikv: Callable[..., Server], subcommand: str, signal: int) -> None:
    server = start_minikv()
    client = server.connect()
    client.send(f"DEBUG {subcommand}")
    assert server.wait() == -signal


def test_object_of_every_type(pair: ClientPair) -> None:
    pair.assert_same("SET s x", "RPUSH l a", "SADD m a", "HSET h a 1", "ZADD z 1 a", "XADD x 1-1 a b")
    for key in "slmhzx":
        pair.assert_same(f"DEBUG OBJECT {key}", compare=lambda ours, theirs: ours[:10] == theirs[:10] == b"+Value at:")


def test_object_shows_a_key_that_has_expired_and_is_still_there(resp2_pair: ClientPair) -> None:
    pair = resp2_pair
    pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 0", "SET key value PX 1", "HSET hash a b", "PEXPIRE hash 1")
    time.sleep(0.01)
    for key in ("key", "hash"):
        pair.assert_same(f"DEBUG OBJECT {key}", compare=lambda ours, theirs: ours[:10] == theirs[:10] == b"+Value at:")
    pair.assert_same("EXISTS key", "EXISTS hash", "DEBUG OBJECT key", "DEBUG SET-ACTIVE-EXPIRE 1")


def test_object_shows_where_a_value_lies(resp2_pair: ClientPair) -> None:
    def place() -> bytes:
        return resp2_pair.subject.value("DEBUG OBJECT n").split()[1]

    resp2_pair.assert_same("SET n 20000")
    before = place()
    resp2_pair.assert_same("INCR n")
    assert place() == before

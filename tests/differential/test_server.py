"""FLUSHALL, FLUSHDB, SWAPDB and the commands that a server without replicas, cluster and modules still answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Words, parse, plain, same_error_code, same_kind, same_shape, unordered, wait_until


def test_flushdb_empties_the_selected_database_only(pair: ClientPair) -> None:
    pair.assert_same("SET a 1", "SELECT 1", "SET b 2", "FLUSHDB", "DBSIZE", "SELECT 0", "DBSIZE", "GET a")


def test_flushall_empties_every_database(pair: ClientPair) -> None:
    pair.assert_same("SET a 1 EX 100", "SELECT 9", "SET b 2", "FLUSHALL", "DBSIZE", "SELECT 0", "DBSIZE", "TTL a")


def test_flushall_empties_the_dump_where_save_points_exist(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(save="3600 1")
    pair.assert_same("SET a 1", "SAVE", "SET b 1", "FLUSHALL")
    assert_same_fields(pair, "rdb_changes_since_last_save", "rdb_last_bgsave_status")
    pair.assert_same("DEBUG RELOAD NOSAVE", "DBSIZE")


def test_flushall_leaves_the_dump_where_none_exist(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    pair.assert_same("SET a 1", "SAVE", "SET b 1", "FLUSHALL")
    assert_same_fields(pair, "rdb_changes_since_last_save", "rdb_last_bgsave_status")
    pair.assert_same("DEBUG RELOAD NOSAVE", "DBSIZE")


@pytest.mark.parametrize("save", ["", "3600 1"])
def test_flushall_ends_a_running_save(fresh_pair: Callable[..., ClientPair], save: str) -> None:
    pair = fresh_pair(save=save, rdb_key_save_delay=100_000)
    pair.assert_same("DEBUG POPULATE 100", "BGSAVE", "FLUSHALL", "DBSIZE")
    for server in pair.servers:
        wait_until(lambda server=server: server.info()["rdb_bgsave_in_progress"] == "0", "the child is gone")
    assert_same_fields(pair, "rdb_last_bgsave_status", "rdb_changes_since_last_save")
    pair.assert_same("CONFIG SET rdb-key-save-delay 0", "SET a 1", "BGSAVE")


def assert_same_fields(pair: ClientPair, *names: str) -> None:
    ours, theirs = (server.info() for server in pair.servers)
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
def test_flush_options(pair: ClientPair, command: str) -> None:
    for options in ("", "ASYNC", "SYNC", "async", "ASYNC SYNC", "x", "SYNC x", "ASYNC ASYNC"):
        pair.assert_same("SET a 1", f"{command} {options}", "DBSIZE")


def test_swapdb_exchanges_contents_and_expiries(pair: ClientPair) -> None:
    pair.assert_same("SET a 1 EX 1000", "SELECT 3", "SET b 2", "SWAPDB 0 3", "KEYS *", "TTL a", "SELECT 0", "KEYS *")


@pytest.mark.parametrize(
    "indexes", ["0 0", "0 15", "0 16", "-1 0", "0 -1", "x 0", "0 x", "1.0 0", "01 0", "0", "0 1 2"]
)
def test_swapdb_indexes(pair: ClientPair, indexes: str) -> None:
    pair.assert_same("SET a 1", f"SWAPDB {indexes}", "DBSIZE")


def test_swapdb_breaks_the_watch_of_a_key_in_either_database(pair: ClientPair) -> None:
    pair.assert_same("SET a 1", "WATCH a")
    pair.another().assert_same("SWAPDB 0 1")
    pair.assert_same("MULTI", "PING", "EXEC")


SAME: list[Words] = [
    "ROLE",
    "TIME",
    "DBSIZE",
    "REPLICAOF NO ONE",
    "SLAVEOF no one",
    "REPLICAOF localhost x",
    "REPLICAOF localhost 65536",
    "REPLICAOF localhost -1",
    "WAIT 0 0",
    "WAIT 0 100",
    "WAIT x 0",
    "WAIT 0 x",
    "WAIT 0 -1",
    "READONLY",
    "READWRITE",
    "MODULE LIST",
    "MODULE LOAD /none",
    "MODULE LOADEX /none CONFIG a b",
    "MODULE UNLOAD none",
    "FAILOVER",
    "FAILOVER ABORT",
    "FAILOVER abort TO a 1",
    "FAILOVER TO a",
    "FAILOVER TO a 1 FORCE TIMEOUT 100",
    "FAILOVER TO a x",
    "FAILOVER TO a 99999999999",
    "FAILOVER TO a -1",
    "FAILOVER TIMEOUT x",
    "FAILOVER TIMEOUT 0",
    "FAILOVER TIMEOUT 1 TIMEOUT 1",
    "FAILOVER FORCE FORCE",
    "FAILOVER nonesuch",
    "ACL WHOAMI",
    "ACL USERS",
    "ACL LIST",
    "ACL CAT",
    "ACL CAT nonesuch",
    "ACL CAT read write",
    "LOLWUT VERSION x",
]


@pytest.mark.parametrize("command", SAME, ids=str)
def test_same_reply(pair: ClientPair, command: Words) -> None:
    pair.assert_same(command)


def test_a_real_replica_is_refused(pair: ClientPair) -> None:
    reply = pair.subject.call("REPLICAOF localhost 6379")
    assert reply == b"-ERR minikv does not replicate: only REPLICAOF NO ONE is possible\r\n"
    assert plain(parse(pair.subject.call("ROLE"))) == [b"master", 0, []]


def test_modules_are_not_loaded_even_where_that_is_allowed(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(enable_module_command="local")
    pair.assert_same("MODULE LOAD /none", "MODULE LOADEX /none CONFIG a b ARGS c", "MODULE UNLOAD none", "MODULE LIST")


def test_a_stream_is_not_continued(pair: ClientPair) -> None:
    own_id = plain(parse(pair.subject.call("INFO replication"))).split(b"master_replid:")[1][:40].decode()
    reply = pair.subject.call(f"PSYNC {own_id} 1")
    assert reply == b"-NOMASTERLINK minikv does not replicate: it has no stream to continue\r\n"
    assert pair.subject.call("PING") == b"+PONG\r\n"


@pytest.mark.parametrize("category", ["string", "bitmap", "transaction"])
def test_acl_cat_lists_the_commands_of_a_category(pair: ClientPair, category: str) -> None:
    pair.assert_same(f"ACL CAT {category}", compare=unordered)


def test_acl_list_tells_of_a_password_but_not_the_password(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    pair.assert_same("CONFIG SET requirepass secret", "ACL LIST", "AUTH secret", "ACL LIST", "ACL WHOAMI")
    assert b"secret" not in pair.subject.call("ACL LIST")


@pytest.mark.parametrize("container", ["ACL", "MODULE"])
def test_help_has_the_shape_of_a_help(pair: ClientPair, container: str) -> None:
    lines = plain(parse(pair.subject.call(f"{container} HELP")))
    assert lines[0] == f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".encode()
    assert lines[-2:] == [b"HELP", b"    Show this text."]


@pytest.mark.parametrize("container", ["COMMAND", "LATENCY", "MEMORY", "SLOWLOG"])
def test_help_has_as_many_lines_as_that_of_redis(pair: ClientPair, container: str) -> None:
    pair.assert_same(f"{container} HELP", compare=same_shape)


@pytest.mark.parametrize("options", ["", "VERSION 5", "VERSION 5 8 2", "3 3 3", "VERSION 6 0 0", "-1 -1"])
def test_lolwut_draws_and_tells_the_version(pair: ClientPair, options: str) -> None:
    pair.assert_same(f"LOLWUT {options}", compare=same_kind)
    text = pair.subject.value(f"LOLWUT {options}")
    assert b"Redis ver. 7.0.15, minikv ver. " in text


def test_lolwut_takes_numbers(pair: ClientPair) -> None:
    pair.assert_same("LOLWUT VERSION 5 x", compare=same_error_code)


LARGE: list[Words] = [
    "RPUSH l " + " ".join(["element"] * 100),
    "RPUSH large " + " ".join(["x" * 900] * 1000),
    "SADD small a b c",
    "SADD strings " + " ".join(f"m{n}" for n in range(65)),
    "SADD integers " + " ".join(str(n) for n in range(65)),
    "SADD many-integers " + " ".join(str(n) for n in range(600)),
    "SADD spread " + " ".join(f"{n}" * 100 for n in range(5000)),
    "HSET fields " + " ".join(f"f{n} v" for n in range(128)),
    "HSET more-fields " + " ".join(f"f{n} v" for n in range(129)),
    "HSET long-field " + " ".join(f"f{n} {'v' * 65}" for n in range(65)),
    "HSET few-long-fields " + " ".join(f"f{n} {'v' * 65}" for n in range(64)),
    "ZADD scores " + " ".join(f"{n} f{n}" for n in range(128)),
    "ZADD more-scores " + " ".join(f"{n} f{n}" for n in range(129)),
    "SET string " + "x" * 100_000,
]


def assert_same_frees(pair: ClientPair) -> None:
    for server in pair.servers:
        wait_until(lambda server=server: server.info()["lazyfree_pending_objects"] == "0", "everything is freed")
    assert_same_fields(pair, "lazyfreed_objects", "lazyfree_pending_objects")


@pytest.mark.parametrize("filling", LARGE, ids=lambda words: words[:20])
def test_unlink_counts_what_is_freed_later(pair: ClientPair, filling: str) -> None:
    key = filling.split()[1]
    for command in (f"UNLINK {key} nosuch", f"DEL {key}", "FLUSHALL ASYNC", "FLUSHDB SYNC", f"SET {key} 1"):
        pair.assert_same("CONFIG RESETSTAT", filling, command, f"EXISTS {key}", "DBSIZE")
        assert_same_frees(pair)
        pair.assert_same("FLUSHALL")


def test_settings_of_lazy_freeing(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    for filling in LARGE[-3:] + LARGE[2:7]:
        key = filling.split()[1]
        for setting, command in (
            ("user-del", f"DEL {key}"),
            ("user-flush", "FLUSHALL"),
            ("user-flush", "FLUSHDB"),
            ("user-flush", "FLUSHDB SYNC"),
        ):
            pair.assert_same("CONFIG RESETSTAT", f"CONFIG SET lazyfree-lazy-{setting} yes", filling, command)
            pair.assert_same("DBSIZE", f"CONFIG SET lazyfree-lazy-{setting} no")
            assert_same_frees(pair)

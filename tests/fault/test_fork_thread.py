"""The child is made by a thread while clients go on: it has the state of the moment of BGSAVE, whatever comes then.

DEBUG FORK-DELAY holds the fork up until it is set to 0, so what is sent meanwhile certainly comes before the child
is there.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.harness import Server, wait_until
from tests.harness.dataset import contents, load_dump, pipeline, wait_for_save
from tests.harness.saving import STARTED, status, temp_files, wait_for_end
from tests.harness.wire import Word

StartServer = Callable[..., Server]

MB = 1 << 20
HELD_MS = 60_000
SHORT_MS = 100  # for what waits
KINDS = ("string", "hash", "set", "zset", "list", "stream")
KEYS = 6  # of each kind, small
MEMBERS = {"small": 5, "medium": 300, "large": 1200}  # a packed, a chunked and a spread collection


@pytest.fixture
def server(start_minikv: StartServer) -> Server:
    started: Server = start_minikv()
    assert started.info("persistence")["minikv_fork_mode"] == "thread"
    return started


def build(kind: str, key: str, count: int, word: str) -> list[list[Word]]:
    """Commands that make or enlarge a collection."""
    each = range(count)
    times = 300 if count == MEMBERS["large"] else 40
    if kind == "string":
        return [["SET", key, word * count]]
    if kind == "hash":
        return [["HSET", key, *[text for n in each for text in (f"f{n}", f"{word}{n}" * times)]]]
    if kind == "set":
        return [["SADD", key, *[f"{word}{n}" * times for n in each]]]
    if kind == "zset":
        return [["ZADD", key, *[text for n in each for text in (str(n), f"{word}{n}" * times)]]]
    if kind == "list":
        return [["RPUSH", key, *[f"{word}{n}" * times for n in each]]]
    adds: list[list[Word]] = [["XADD", key, "*", "field", f"{word}{n}" * times] for n in each]
    groups: list[list[Word]] = [
        ["XGROUP", "CREATE", key, "group", "0", "MKSTREAM"],
        ["XREADGROUP", "GROUP", "group", "one", "COUNT", str(count // 2), "STREAMS", key, ">"],
    ]
    return adds + (groups if word == "old" else [])


def fill(server: Server) -> None:
    commands: list[list[Word]] = []
    for kind in KINDS:
        for size, count in MEMBERS.items():
            for number in range(KEYS if size == "small" else 2):
                commands += build(kind, f"{kind}:{size}:{number}", count, "old")
    commands += [
        ["SET", "jumbo", b"j" * 300_000, "EX", "100000"],
        ["SET", "run", b"r" * (9 * MB)],
        ["PFADD", "sketch", *[str(number) for number in range(2000)]],
        ["SET", "counter", "100"],
        ["SELECT", "1"],
        ["SET", "in-1", "old"],
        *build("hash", "large-in-1", MEMBERS["large"], "old"),
        ["SELECT", "0"],
    ]
    with server.connect() as client:
        pipeline(client, commands)


def changes(rng: random.Random, turn: int) -> list[list[Word]]:
    """Writes to every kind and size that nobody has to wait for: records are written elsewhere."""
    found: list[list[Word]] = []
    for kind in KINDS:
        for size in MEMBERS:
            if (kind, size) in (("list", "large"), ("stream", "large")):
                continue
            key = f"{kind}:{size}:{rng.randrange(2)}"
            found += build(kind, key, 3, "new")
            found += {
                "string": [["APPEND", key, "more"], ["SETRANGE", key, "3", "xyz"], ["EXPIRE", key, "5000"]],
                "hash": [["HDEL", key, "f1", "f2"], ["HINCRBY", key, "counter", "5"]],
                "set": [["SREM", key, "old1" * 40], ["SPOP", key]],
                "zset": [["ZINCRBY", key, "9", "old2" * 40], ["ZPOPMIN", key]],
                "list": [["LSET", key, "1", "changed"], ["LPOP", key], ["LINSERT", key, "AFTER", "changed", "x"]],
                "stream": [["XTRIM", key, "MAXLEN", "3"]],
            }[kind]
    found += [["SET", f"new:{number}", "n" * rng.randrange(2000)] for number in range(200)]
    found += [
        ["XREADGROUP", "GROUP", "group", "two", "STREAMS", "stream:small:0", ">"],
        ["INCR", "counter"],
        ["PFADD", "sketch", *[f"new{number}" for number in range(500)]],
        ["RENAME", f"hash:small:{2 + turn}", "hash:renamed"],
        ["COPY", "set:large:0", "set:copied"],
        ["MOVE", "zset:small:3", "1"],
        ["SMOVE", "set:small:0", "set:small:1", "old3" * 40],
        ["SORT", "list:small:4", "ALPHA", "STORE", "sorted"],
        ["DEL", "list:small:5", "stream:small:5", "zset:small:5"],
        ["UNLINK", "hash:large:1"],
        ["SWAPDB", "0", "2"],
        ["SWAPDB", "0", "2"],
    ]
    return found


WAITING: dict[str, list[list[Word]]] = {
    "strings in pages": [["SETRANGE", "jumbo", "5", "new"], ["APPEND", "run", "new"], ["EXPIRE", "jumbo", "7"]],
    "nodes of lists": [
        ["LSET", "list:large:0", "700", "changed"],
        ["LPUSH", "list:large:0", "new"],
        ["RPOP", "list:large:1", "10"],
        ["LREM", "list:large:1", "0", "old7" * 300],
        ["LTRIM", "list:large:0", "5", "-5"],
    ],
    "tables of groups": [
        ["XREADGROUP", "GROUP", "group", "two", "COUNT", "10", "STREAMS", "stream:large:0", ">"],
        ["XTRIM", "stream:large:1", "MAXLEN", "100"],
        ["XGROUP", "DESTROY", "stream:large:1", "group"],
    ],
    "large collections go": [["DEL", "list:large:0", "hash:large:0", "stream:large:0", "run"]],
    "many stores": [
        command for number in range(40) for command in build("hash", f"another:{number}", MEMBERS["large"], "new")
    ],
    "a database goes": [["SELECT", "1"], ["FLUSHDB", "SYNC"], ["SET", "in-1", "new"]],
    "more than there is room prepared for": [["SET", f"more:{number}", b"m" * 30_000] for number in range(1500)],
}


def forking(server: Server) -> bool:
    """A save is under way and its child is not there yet."""
    return server.info("persistence")["rdb_bgsave_in_progress"] == "1" and not server.children()


def begin(server: Server, delay_ms: int = HELD_MS) -> None:
    assert server.call(f"DEBUG FORK-DELAY {delay_ms}") == b"+OK\r\n"
    assert server.call("BGSAVE") == STARTED


def release(server: Server) -> None:
    assert server.call("DEBUG FORK-DELAY 0") == b"+OK\r\n"


def test_the_child_sees_the_moment_of_bgsave_whatever_is_written_meanwhile(
    server: Server, start_minikv: StartServer, rng: random.Random
) -> None:
    fill(server)
    expected = contents(server)
    loader = start_minikv()
    for turn in range(2):
        begin(server)
        with server.connect() as client:
            pipeline(client, changes(rng, turn))
        assert forking(server)
        assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
        changed = contents(server)
        assert forking(server)
        release(server)
        wait_for_save(server)
        assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
        assert load_dump(loader, server) == expected
        expected = changed


@pytest.mark.parametrize("what", WAITING)
def test_what_the_child_may_read_is_not_written_before_it_is_there(
    server: Server, start_minikv: StartServer, what: str
) -> None:
    fill(server)
    expected = contents(server)
    begin(server, SHORT_MS)
    with server.connect() as client:
        pipeline(client, WAITING[what])
    wait_for_save(server)
    assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
    assert load_dump(start_minikv(), server) == expected


# -- what else can come while the child is being made


def test_there_is_one_save_at_a_time(server: Server) -> None:
    server.call("SET a b")
    begin(server)
    for command in ("BGSAVE", "SAVE", "DEBUG RELOAD"):
        assert server.call(command).startswith(b"-ERR"), command
    assert forking(server)
    assert server.info("persistence")["current_save_keys_total"] == "1"
    release(server)
    wait_for_save(server)
    assert server.call("DEBUG RELOAD") == b"+OK\r\n"


def test_a_cancelled_save_has_a_child_to_cancel(server: Server) -> None:
    server.call("SET a b")
    begin(server, SHORT_MS)
    assert server.call("BGSAVE CANCEL") == b"+Background saving cancelled\r\n"
    wait_for_end(server)
    assert temp_files(server.directory) == []
    assert not server.dump_path.exists()
    assert server.call("SNAPSHOT HISTORY").count(b"cancelled") == 1


def test_flushall_kills_the_child_and_empties_everything(server: Server) -> None:
    fill(server)
    begin(server, SHORT_MS)
    assert server.call("FLUSHALL") == b"+OK\r\n"
    assert server.call("DBSIZE") == b":0\r\n"
    wait_for_end(server)
    assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
    server.call("SET a b")
    server.call("DEBUG FORK-DELAY 0")
    assert server.call("BGSAVE") == STARTED
    wait_for_save(server)


def test_shutdown_waits_for_the_child_and_kills_it(server: Server) -> None:
    server.call(["CONFIG", "SET", "save", "3600 1"])
    server.call("SET a b")
    begin(server, SHORT_MS)
    server.call("SET a c")
    server.restart()
    assert "There is a child saving an .rdb. Killing it!" in server.log()
    assert temp_files(server.directory) == []
    assert server.call("GET a") == b"$1\r\nc\r\n"


def test_writes_in_place_stop_the_loop_for_the_fork(server: Server, start_minikv: StartServer) -> None:
    server.call("CONFIG SET snapshot-writes in-place")
    assert server.info("persistence")["minikv_fork_mode"] == "loop"
    server.call("SET a b")
    server.call("CONFIG SET rdb-key-save-delay 2000000")  # the child is there for a while
    begin(server, 50)
    assert server.children(), "the child is there when BGSAVE has its reply"
    server.call("SET a c")
    wait_for_save(server)
    assert load_dump(start_minikv(), server) == {0: {b"a": (b"b", -1)}}


def test_a_fork_of_the_loop_has_what_was_written_while_the_thread_forked(
    server: Server, start_minikv: StartServer
) -> None:
    server.call("SET a b")
    begin(server)
    with server.connect() as client:
        pipeline(client, [["SET", f"key:{n}", f"{n}" * 1000] for n in range(100)])
    release(server)
    wait_for_save(server)
    expected = contents(server)
    server.call("CONFIG SET snapshot-writes in-place")
    assert server.call("BGSAVE") == STARTED
    wait_for_save(server)
    assert load_dump(start_minikv(), server) == expected


def test_save_after_save_under_writes(server: Server, start_minikv: StartServer, rng: random.Random) -> None:
    loader = start_minikv()
    server.call("DEBUG FORK-DELAY 3")
    with server.connect() as client:
        pipeline(client, [["SET", f"key:{n}", "0" * 100] for n in range(5000)])
        for version in range(1, 6):
            client.send_raw(b"*1\r\n$6\r\nBGSAVE\r\n")
            assert client.read() == STARTED
            pipeline(client, [["SET", f"key:{rng.randrange(5000)}", str(version) * 100] for _ in range(3000)])
            wait_for_save(server)
            values = {value for value, _at in load_dump(loader, server)[0].values()}
            assert values <= {str(older).encode() * 100 for older in range(version)}
            assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
    assert status(server) == "ok"
    assert len(server.children()) == 0
    wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", "no save is left")

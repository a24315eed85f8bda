"""A machine of random commands on minikv and Redis with snapshots, reloads and crashes in between.

After every step both servers hold the same. A snapshot that was begun is compared, whatever happened since, with what
the oracle held at that moment, as two more servers (a redis-server, a minikv) load it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.harness import ClientPair, Server
from tests.harness.dataset import Dataset, background_save, contents, differences, load_dump, wait_for_save
from tests.harness.strategies import (
    command,
    geo_command,
    hash_command,
    hyperloglog_command,
    list_command,
    set_command,
    stream_command,
)

COLLECTIONS = [hash_command, set_command, list_command, geo_command, hyperloglog_command, stream_command]


def filling(kind: str, key: str, start: int, count: int, size: int) -> list[list[Any]]:
    """Commands that make a collection large; two servers answer them alike."""
    texts = [f"{number}:{'x' * size}" for number in range(start, start + count)]
    if kind == "stream":
        entries: list[list[Any]] = [["XADD", key, f"{60 + start}-*", "field", text] for text in texts]
        group = [["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"]]
        return [*group, *entries, ["XREADGROUP", "GROUP", "g", "alice", "COUNT", str(count), "STREAMS", key, ">"]]
    add = {"list": "RPUSH", "set": "SADD", "hash": "HSET", "zset": "ZADD"}[kind]
    if kind in ("hash", "zset"):
        return [[add, key, str(number), text] for number, text in enumerate(texts, start)]
    return [[add, key, *texts]]


class Servers(NamedTuple):
    """The server under test, the oracle, and two that only load dumps."""

    subject: Server
    oracle: Server
    loaders: tuple[Server, Server]


@pytest.fixture
def servers(start_minikv: Callable[..., Server], start_redis: Callable[..., Server]) -> Servers:
    return Servers(start_minikv(), start_redis(), (start_redis(), start_minikv()))


class Machine(RuleBasedStateMachine):
    """One example: a session of commands with snapshots in between."""

    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.servers = servers
        self.saving: Dataset | None = None  # what the oracle held when the running snapshot began
        self.digest = b""  # of the same
        self.pair = ClientPair(servers.subject, servers.oracle)
        self.pair.assert_same("FLUSHALL")

    def configure(self, name: str, value: str) -> None:
        assert self.servers.subject.call(("CONFIG", "SET", name, value)) == b"+OK\r\n"

    @rule(commands=st.lists(command, min_size=1, max_size=20))
    def run_commands(self, commands: list[list[Any]]) -> None:
        self.pair.assert_same(*commands)

    @rule(commands=st.sampled_from(COLLECTIONS).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=20)))
    def change_collections(self, commands: list[list[Any]]) -> None:
        self.pair.assert_same(*commands)

    @rule(
        kind=st.sampled_from(["list", "hash", "set", "zset", "stream"]),
        key=st.sampled_from(["a", "b", "c", "large"]),
        start=st.integers(0, 400),
        count=st.integers(1, 400),
        size=st.sampled_from([0, 1, 50, 2000]),
    )
    def fill_a_collection(self, kind: str, key: str, start: int, count: int, size: int) -> None:
        self.pair.assert_same_pipeline(*filling(kind, key, start, count, size))

    @rule(start=st.integers(0, 400), count=st.integers(1, 200))
    def read_on(self, start: int, count: int) -> None:
        ids = [f"{60 + start}-{number}" for number in range(count)]
        self.pair.assert_same_pipeline(
            ["XACK", "large", "g", *ids],
            ["XREADGROUP", "GROUP", "g", "bob", "COUNT", str(count), "STREAMS", "large", ">"],
            ["XDEL", "large", *ids[::3]],
            ["LTRIM", "large", str(count), "-1"],
        )

    @rule(count=st.integers(1, 300), size=st.integers(0, 3000), number=st.integers(0, 15))
    def fill(self, count: int, size: int, number: int) -> None:
        self.pair.assert_same(f"SELECT {number}")
        self.pair.assert_same_pipeline(*[("SET", f"fill:{index}", f"{index % 10}" * size) for index in range(count)])

    @rule(start=st.integers(0, 200), count=st.integers(1, 200))
    def delete_some(self, start: int, count: int) -> None:
        self.pair.assert_same(["UNLINK", *(f"fill:{index}" for index in range(start, start + count))])

    @precondition(lambda self: self.saving is None)
    @rule(compressed=st.booleans(), relocate=st.booleans())
    def begin_snapshot(self, compressed: bool, relocate: bool) -> None:
        self.configure("rdbcompression", "yes" if compressed else "no")
        self.configure("rdb-key-save-delay", "2000")
        if self.servers.subject.name == "minikv":
            self.configure("snapshot-writes", "relocate" if relocate else "in-place")
        assert self.pair.subject.call("BGSAVE") == b"+Background saving started\r\n"
        self.saving = contents(self.servers.oracle)
        self.digest = self.servers.oracle.call("DEBUG DIGEST")

    @precondition(lambda self: self.saving is not None)
    @rule()
    def end_snapshot(self) -> None:
        wait_for_save(self.servers.subject)
        self.configure("rdb-key-save-delay", "0")
        assert self.saving is not None
        for loader in self.servers.loaders:
            assert differences(load_dump(loader, self.servers.subject), self.saving, slack_ms=2000) == []
            assert loader.call("DEBUG DIGEST") == self.digest
        self.saving = None

    @precondition(lambda self: self.saving is None)
    @rule()
    def reload(self) -> None:
        assert self.pair.subject.call("DEBUG RELOAD") == b"+OK\r\n"

    @precondition(lambda self: self.saving is None)
    @rule()
    def load_what_redis_has_saved(self) -> None:
        background_save(self.servers.oracle)
        expected = contents(self.servers.oracle)
        assert differences(load_dump(self.servers.subject, self.servers.oracle), expected) == []

    @precondition(lambda self: self.saving is None)
    @rule(orderly=st.booleans())
    def save_and_restart(self, orderly: bool) -> None:
        assert self.servers.subject.call("SAVE") == b"+OK\r\n"
        self.pair.close()
        if orderly:
            assert self.servers.subject.stop() == 0
        else:
            self.servers.subject.kill()
        self.servers.subject.start()
        self.pair = ClientPair(self.servers.subject, self.servers.oracle)

    def teardown(self) -> None:
        try:
            if self.saving is not None:
                self.end_snapshot()
            assert differences(contents(self.servers.subject), contents(self.servers.oracle), slack_ms=2000) == []
        finally:
            self.pair.close()


def test_the_servers_stay_the_same_through_snapshots_reloads_and_crashes(servers: Servers) -> None:
    chosen = settings()
    run_state_machine_as_test(
        lambda: Machine(servers),
        settings=settings(
            max_examples=max(chosen.max_examples // 10, 1),
            stateful_step_count=15,
            suppress_health_check=list(HealthCheck),
        ),
    )

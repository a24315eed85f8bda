"""A machine of random commands on a minikv whose saves are layers, with failed saves, restarts and crashes in between.

Of each point the digest is noted at the moment of the fork. In the end every point is loaded into a keyspace, and must
have it. What a restarted server holds is what it had at its newest point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from minikv.commands.digest import as_hex, keyspace_digest
from minikv.history.chain import History
from minikv.history.loading import load_history
from minikv.keyspace.database import Keyspace
from tests.harness import Server, wait_until
from tests.harness.strategies import command
from tests.harness.wire import Word, encode
from tests.stateful.test_server import COLLECTIONS, filling

KEYS = ["a", "b", "c", "large"]
DATABASES = 16
ARENA_BYTES = 1 << 30
key = st.sampled_from(KEYS)
number = st.integers(0, 3).map(str)
field = st.integers(0, 500).map(str)
whole_value = st.one_of(
    st.tuples(st.just("RENAME"), key, key),
    st.tuples(st.just("COPY"), key, key, st.just("DB"), number, st.just("REPLACE")),
    st.tuples(st.just("MOVE"), key, number),
    st.tuples(st.just("SWAPDB"), number, number),
    st.tuples(st.just("SELECT"), number),
    st.tuples(st.just("UNLINK"), key, key),
    st.tuples(st.just("PEXPIRE"), key, st.sampled_from(["1", "100000"])),
    st.tuples(st.just("PERSIST"), key),
    st.sampled_from([("FLUSHDB",), ("FLUSHALL", "ASYNC")]),
)
element = st.one_of(
    st.tuples(st.just("HSET"), key, field, st.sampled_from(["v", "value", "v" * 300])),
    st.tuples(st.just("HDEL"), key, field, field, field),
    st.tuples(st.just("HPEXPIRE"), key, st.sampled_from(["1", "100000"]), st.just("FIELDS"), st.just("1"), field),
    st.tuples(st.just("ZADD"), key, field, field),
    st.tuples(st.just("ZPOPMIN"), key, st.sampled_from(["1", "30"])),
    st.tuples(st.just("SPOP"), key, st.sampled_from(["1", "30"])),
    st.tuples(st.just("LSET"), key, field, st.sampled_from(["v", "v" * 70])),
    st.tuples(st.just("RPOP"), key, st.sampled_from(["1", "30"])),
    st.tuples(st.just("XTRIM"), key, st.just("MAXLEN"), field),
)


class Machine(RuleBasedStateMachine):
    """One example: a server with a history of its own."""

    def __init__(self, start: Callable[..., Server]) -> None:
        super().__init__()
        self.server = start(snapshot_mode="layers", history_base_percentage=300, arena_size=ARENA_BYTES, hz=100)
        self.client = self.server.connect()
        self.digests: dict[int, bytes] = {}  # by point
        self.saving: tuple[int, bytes] | None = None  # the newest point and the digest when the save began
        self.may_fail = False  # FLUSHALL kills the child

    @property
    def directory(self) -> str:
        return str(self.server.directory / "history")

    @property
    def newest(self) -> int:
        if not (self.server.directory / "history" / "manifest").exists():
            return 0
        point = History.open(self.directory).newest
        return point.id if point is not None else 0

    @property
    def now_ms(self) -> int:
        seconds, microseconds = self.server.control.value("TIME")
        return int(seconds.payload) * 1000 + int(microseconds.payload) // 1000

    def run(self, commands: list[Any]) -> None:
        self.client.send_raw(b"".join(encode(list(words)) for words in commands))
        self.may_fail |= any(words[0] == "FLUSHALL" for words in commands)
        for _ in commands:
            self.client.read()

    def digest_and(self, *words: Word) -> bytes:
        """The digest at the moment of a command that saves."""
        self.client.send_raw(encode(["DEBUG", "DIGEST"]) + encode(list(words)))
        digest = self.client.read()
        reply = self.client.read()
        assert reply.startswith(b"+"), reply
        return digest.strip()[1:]

    @rule(commands=st.lists(command, min_size=1, max_size=20))
    def run_commands(self, commands: list[list[Any]]) -> None:
        self.run(commands)

    @rule(commands=st.sampled_from(COLLECTIONS).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=20)))
    def change_collections(self, commands: list[list[Any]]) -> None:
        self.run(commands)

    @rule(commands=st.lists(st.one_of(whole_value, element, element, element), min_size=1, max_size=30))
    def change_values(self, commands: list[tuple[str, ...]]) -> None:
        self.run(commands)
        # What was given a millisecond has expired before anybody looks: a digest is a moment earlier than its save.
        until_ms = self.now_ms + 2
        wait_until(lambda: self.now_ms > until_ms, "two milliseconds pass")

    @rule(
        kind=st.sampled_from(["list", "hash", "set", "zset", "stream"]),
        name=key,
        start=st.integers(0, 400),
        count=st.integers(1, 400),
        size=st.sampled_from([0, 1, 50, 2000]),
    )
    def fill_a_collection(self, kind: str, name: str, start: int, count: int, size: int) -> None:
        self.run(filling(kind, name, start, count, size))

    @precondition(lambda self: self.saving is None)
    @rule()
    def save(self) -> None:
        digest = self.digest_and("SAVE")
        self.digests[self.newest] = digest

    @precondition(lambda self: self.saving is None)
    @rule(slow=st.booleans(), relocate=st.booleans())
    def begin_save(self, slow: bool, relocate: bool) -> None:
        self.server.call(("CONFIG", "SET", "rdb-key-save-delay", "500" if slow else "0"))
        self.server.call(("CONFIG", "SET", "snapshot-writes", "relocate" if relocate else "in-place"))
        newest = self.newest
        self.may_fail = False
        self.saving = newest, self.digest_and("BGSAVE")

    @precondition(lambda self: self.saving is not None)
    @rule(fails=st.booleans())
    def end_save(self, fails: bool) -> None:
        assert self.saving is not None
        if fails:
            self.server.call("BGSAVE CANCEL")
        self.server.call("CONFIG SET rdb-key-save-delay 0")
        wait_until(lambda: self.server.info("persistence")["rdb_bgsave_in_progress"] == "0", "the save ends")
        point = History.open(self.directory).newest
        # What a child that was killed had left may have become a point when this save began: that has no db_keys.
        if point is not None and point.id != self.saving[0] and point.db_keys is not None:
            self.digests[point.id] = self.saving[1]
        else:
            assert fails or self.may_fail
        self.saving = None

    @precondition(lambda self: self.saving is None)
    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        digest = self.digest_and("SAVE")
        self.digests[self.newest] = digest
        self.client.close()
        if orderly:
            assert self.server.stop() == 0
        else:
            self.server.kill()
        self.server.start()
        self.client = self.server.connect()
        assert int(self.server.info("persistence")["minikv_history_follows"]) == 1

    def teardown(self) -> None:
        if self.saving is not None:
            self.end_save(fails=False)
        self.server.call("DEBUG ENGINE-CHECK")
        self.client.close()
        self.server.kill()
        if not self.digests:
            return
        for point in History.open(self.directory).points:
            found = Keyspace(DATABASES, ARENA_BYTES)
            found.set_clock(lambda time_ms=point.time_ms: time_ms)
            load_history(self.directory, found, point.id)
            found.check()
            if point.id in self.digests:
                assert as_hex(keyspace_digest(found.databases)) == self.digests[point.id], f"point {point.id}"


def test_each_point_holds_what_the_server_held(start_minikv: Callable[..., Server]) -> None:
    chosen = settings()
    run_state_machine_as_test(
        lambda: Machine(start_minikv),
        settings=settings(
            max_examples=max(chosen.max_examples // 20, 1),
            stateful_step_count=15,
            suppress_health_check=list(HealthCheck),
        ),
    )

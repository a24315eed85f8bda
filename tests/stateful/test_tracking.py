"""Caches that are kept up to date by invalidation messages alone never hold a stale value.

Several clients track keys in different ways and keep what they read. They and others change keys by commands,
transactions and scripts. Whenever all messages have arrived, each cached value is that of the server.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.harness import Server
from tests.harness.wire import Value, WireClient, Words, encode, parse, split

KEYS = ["a", "ab", "b", "c"]
MODES = ["", "NOLOOP", "BCAST", "BCAST NOLOOP PREFIX a PREFIX b", "OPTIN", "OPTOUT"]
keys = st.sampled_from(KEYS)
fresh = itertools.count()


class CachingClient:
    """A client with a cache: key -> the reply to GET."""

    def __init__(self, server: Server, mode: str) -> None:
        self.wire: WireClient = server.connect()
        self.mode = mode
        self.wire.call("HELLO 3")
        assert self.wire.call(f"CLIENT TRACKING ON {mode}") == b"+OK\r\n"
        self.cache: dict[str, bytes] = {}
        self.asked = ""  # the key whose value comes next

    def may_keep(self, key: str) -> bool:
        return "PREFIX" not in self.mode or key.startswith(("a", "b"))

    def requests_to_read(self, key: str) -> list[Words]:
        return ["CLIENT CACHING YES", f"GET {key}"] if self.mode == "OPTIN" else [f"GET {key}"]

    def take(self, data: bytes) -> list[bytes]:
        """Obey the messages among what has arrived; returns the replies."""
        replies = []
        for item in split(data):
            if item.startswith(b">"):
                self.invalidate(parse(item))
            else:
                replies.append(item)
                if self.asked and item != b"+OK\r\n":
                    self.cache[self.asked] = item
                    self.asked = ""
        return replies

    def invalidate(self, message: Value) -> None:
        kind, names = message.payload
        assert kind.payload == b"invalidate"
        if names.payload is None:
            self.cache.clear()
        else:
            for name in names.payload:
                self.cache.pop(name.payload.decode(), None)


class Machine(RuleBasedStateMachine):
    """One example: a session of clients that cache and of one that does not."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        server.call("FLUSHALL")
        self.clients = [CachingClient(server, mode) for mode in MODES]
        self.stranger = server.connect()

    def teardown(self) -> None:
        for client in self.clients:
            client.wire.close()
        self.stranger.close()

    def do(self, number: int, requests: list[Words]) -> list[bytes]:
        """Let a client (the last: one without a cache) send requests, and all take what has come."""
        data = b"".join(map(encode, requests))
        (self.stranger if number == len(self.clients) else self.clients[number].wire).send_raw(data)
        self.server.barrier()
        self.stranger.read_available()
        replies = [client.take(client.wire.read_available()[0]) for client in self.clients]
        return replies[number] if number < len(replies) else []

    @rule(number=st.integers(0, len(MODES) - 1), key=keys)
    def read(self, number: int, key: str) -> None:
        """What a client keeps is what it gets; the message that makes it invalid may come in the same moment."""
        client = self.clients[number]
        if client.may_keep(key) and key not in client.cache:
            client.asked = key
            self.do(number, client.requests_to_read(key))
            assert not client.asked

    @rule(number=st.integers(0, len(MODES)), key=keys, other=keys, kind=st.integers(0, 9), how=st.integers(0, 2))
    def write(self, number: int, key: str, other: str, kind: int, how: int) -> None:
        value = next(fresh)
        requests: list[Words] = [
            f"SET {key} {value}",
            f"MSET {key} {value} {other} {value}x",
            f"DEL {key} {other}",
            f"APPEND {key} x",
            f"RENAME {key} {other}",
            f"COPY {key} {other} REPLACE",
            f"EXPIRE {key} -1",
            f"GETDEL {key}",
            f"SET {key} {value} GET",
            "FLUSHALL",
        ][kind : kind + 1]
        if how == 1:
            requests = ["MULTI", f"GET {other}", *requests, f"GET {key}", "EXEC"]
        elif how == 2:
            name, *words = str(requests[0]).split()
            names = [word for word in words if word in KEYS]
            script = f"redis.call('get', '{key}'); return redis.pcall(unpack(ARGV))"
            requests = [("EVAL", script, len(names), *names, name, *words)]
        self.do(number, requests)
        if number < len(self.clients) and "NOLOOP" in self.clients[number].mode:
            for written in (key, other) if kind != 9 else KEYS:  # it knows what it has written itself
                self.clients[number].cache.pop(written, None)

    @rule(key=keys)
    def expire(self, key: str) -> None:
        """A key that has expired is found by somebody's command."""
        self.do(len(self.clients), [f"PEXPIREAT {key} 1", f"EXISTS {key}"])

    @rule(number=st.integers(0, len(MODES) - 1))
    def reconnect(self, number: int) -> None:
        self.clients[number].wire.close()
        self.clients[number] = CachingClient(self.server, MODES[number])

    @rule()
    def compare(self) -> None:
        truth = {key: self.server.call(f"GET {key}") for key in KEYS}
        for client in self.clients:
            for key, kept in client.cache.items():
                held = b"_\r\n" if truth[key] == b"$-1\r\n" else truth[key]
                assert kept == held, f"a stale {key} with TRACKING ON {client.mode}"


@pytest.mark.parametrize("table_max", [0, 2])
def test_no_cache_is_ever_stale(start_minikv, table_max: int) -> None:  # type: ignore[no-untyped-def]
    server = start_minikv(tracking_table_max_keys=table_max)
    run_state_machine_as_test(
        lambda: Machine(server),
        settings=settings(
            max_examples=12, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

"""A key whose time has passed but which nobody has looked at yet: every command must find it gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import ClientPair, Server, Words, wait_until


def now_ms(server: Server) -> int:
    seconds, microseconds = (int(part.payload) for part in server.control.value("TIME"))
    return seconds * 1000 + microseconds // 1000


@pytest.fixture
def expired(resp2_pair: ClientPair) -> Iterator[ClientPair]:
    """`old` is past its time, `old2` too; active expiry is off, so that only commands can find out."""
    resp2_pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 0", "SET young 1", "SET old 5 PX 1", "SET old2 text PX 1")
    for server in resp2_pair.servers:
        started = now_ms(server)
        wait_until(lambda server=server, started=started: now_ms(server) > started + 1, "the time passes")
    yield resp2_pair
    resp2_pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 1")


COMMANDS: list[Words] = [
    "GET old",
    "MGET old young old2",
    "GETDEL old",
    "GETEX old PERSIST",
    "GETSET old new",
    "GETRANGE old 0 -1",
    "STRLEN old",
    "SET old new NX",
    "SET old new XX",
    "SET old new KEEPTTL",
    "SET old new GET",
    "SETNX old new",
    "MSETNX old new other 1",
    "APPEND old more",
    "SETRANGE old 2 x",
    "INCR old",
    "INCRBYFLOAT old 1.5",
    "SETBIT old 1 1",
    "GETBIT old 1",
    "BITCOUNT old",
    "BITPOS old 0",
    "BITOP NOT young old",
    "BITFIELD old GET u8 0",
    "LCS old old2",
    "EXISTS old old2 young",
    "TYPE old",
    "TTL old",
    "PTTL old",
    "EXPIRETIME old",
    "EXPIRE old 100",
    "EXPIRE old 100 XX",
    "PEXPIREAT old 33177117420000 GT",
    "PERSIST old",
    "TOUCH old young",
    "DEL old old2 young",
    "UNLINK old old2",
    "RENAME old other",
    "RENAME young old",
    "RENAMENX young old",
    "COPY old other",
    "COPY young old",
    "MOVE old 1",
    "OBJECT ENCODING old",
    "OBJECT FREQ old",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "WATCH old",
    "DBSIZE",
    "SWAPDB 0 1",
    "FLUSHDB",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_expired_key_is_gone_for_every_command(expired: ClientPair, command: Words) -> None:
    expired.assert_same(
        command, "MGET old old2 young other", "TTL old", "TTL other", "TYPE old", "EXISTS old old2", "DBSIZE"
    )


def test_an_expired_key_is_gone_inside_a_transaction(expired: ClientPair) -> None:
    expired.assert_same("MULTI", "GET old", "SET old2 1 NX", "EXISTS old", "KEYS *", "EXEC", "DBSIZE")


def test_active_expiry_deletes_what_nobody_asks_for(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same(
        *[("SET", f"key:{index}", "x", "PX", 1 + index % 50) for index in range(1000)], "SET stays 1"
    )
    for server in resp2_pair.servers:
        wait_until(lambda server=server: server.call("DBSIZE") == b":1\r\n", "the expired keys are deleted")
        assert int(server.info("stats")["expired_keys"]) >= 1000

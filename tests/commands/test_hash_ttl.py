"""Fields that expire: replies and errors of Redis 7.4 and 8.0, from their documentation; redis-server 7.0 has none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Server, WireClient, Words, parse, plain, split

FAR_MS = 4_000_000_000_000
FAR_S = FAR_MS // 1000
LATEST_MS = (1 << 46) - 1

WRONGTYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
NOT_AN_INTEGER = b"-ERR value is not an integer or out of range\r\n"
NEGATIVE = b"-ERR invalid expire time, must be >= 0\r\n"
NO_FIELDS = b"-ERR Mandatory argument FIELDS is missing or not at the right position\r\n"
TOO_FEW = b"-ERR Parameter `numFields` should be greater than 0\r\n"
NO_COUNT = b"-ERR Number of fields must be a positive integer\r\n"
WRONG_COUNT = b"-ERR The `numfields` parameter must match the number of arguments\r\n"
ONE_EXPIRY = b"-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified\r\n"


def numbers(*wanted: int) -> bytes:
    return b"*%d\r\n" % len(wanted) + b"".join(b":%d\r\n" % number for number in wanted)


def values(*wanted: bytes | None) -> bytes:
    """In RESP2."""
    return b"*%d\r\n" % len(wanted) + b"".join(
        b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value) for value in wanted
    )


def invalid(name: str) -> bytes:
    return b"-ERR invalid expire time in '%s' command\r\n" % name.encode()


def arity(name: str) -> bytes:
    return b"-ERR wrong number of arguments for '%s' command\r\n" % name.encode()


@pytest.fixture
def client(minikv: Server) -> Iterator[WireClient]:
    with minikv.connect() as client:
        client.value("HSET h a 1 b 2 c 3")
        yield client


def first(client: WireClient, command: str) -> int:
    """The first element of a reply."""
    return plain(parse(client.call(command)))[0]


def expect(client: WireClient, *pairs: tuple[Words, bytes]) -> None:
    for command, wanted in pairs:
        assert (command, client.call(command)) == (command, wanted)


def test_expiries_are_set_shown_and_cleared(client: WireClient) -> None:
    expect(
        client,
        (f"HPEXPIREAT h {FAR_MS + 1} FIELDS 2 a none", numbers(1, -2)),
        (f"HEXPIREAT h {FAR_S} fields 1 b", numbers(1)),
        ("HPEXPIRETIME h FIELDS 4 a b c none", numbers(FAR_MS + 1, FAR_MS, -1, -2)),
        ("HEXPIRETIME h FIELDS 4 a b c none", numbers(FAR_S + 1, FAR_S, -1, -2)),
        ("HTTL h FIELDS 2 c none", numbers(-1, -2)),
        ("HPTTL h FIELDS 2 c none", numbers(-1, -2)),
        ("HPERSIST h FIELDS 4 a a c none", numbers(1, -1, -1, -2)),
        ("HPEXPIRETIME h FIELDS 2 a b", numbers(-1, FAR_MS)),
        ("HEXPIRE h 1000 FIELDS 1 c", numbers(1)),
        ("HPEXPIRE h 1000000 FIELDS 2 c c", numbers(1, 1)),
        ("TTL h", b":-1\r\n"),
    )
    assert 990 <= first(client, "HTTL h FIELDS 1 c") <= 1000
    assert 990_000 <= first(client, "HPTTL h FIELDS 1 c") <= 1_000_000


def test_conditions(client: WireClient) -> None:
    expect(
        client,
        (f"HPEXPIREAT h {FAR_MS} XX FIELDS 1 a", numbers(0)),
        (f"HPEXPIREAT h {FAR_MS} GT FIELDS 1 a", numbers(0)),
        (f"HPEXPIREAT h {FAR_MS} NX FIELDS 2 a a", numbers(1, 0)),
        (f"HPEXPIREAT h {FAR_MS} lt FIELDS 2 b b", numbers(1, 0)),
        (f"HPEXPIREAT h {FAR_MS} GT FIELDS 1 a", numbers(0)),
        (f"HPEXPIREAT h {FAR_MS + 5} GT FIELDS 3 a b c", numbers(1, 1, 0)),
        (f"HPEXPIREAT h {FAR_MS + 3} LT FIELDS 2 a none", numbers(1, -2)),
        (f"HPEXPIREAT h {FAR_MS + 4} XX FIELDS 2 b c", numbers(1, 0)),
        ("HPEXPIRETIME h FIELDS 3 a b c", numbers(FAR_MS + 3, FAR_MS + 4, -1)),
        ("HEXPIRE h 0 XX FIELDS 2 a c", numbers(2, 0)),
        ("HGETALL h", values(b"b", b"2", b"c", b"3")),
    )


@pytest.mark.parametrize("name", ["HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT"])
def test_a_time_that_has_passed_deletes(client: WireClient, name: str) -> None:
    when = {"HEXPIRE": 0, "HPEXPIRE": 0, "HEXPIREAT": 1, "HPEXPIREAT": 1}[name]
    expect(
        client,
        (f"{name} h {when} FIELDS 3 a none b", numbers(2, -2, 2)),
        ("HGETALL h", values(b"c", b"3")),
        (f"{name} h {when} FIELDS 2 c c", numbers(2, -2)),
        ("EXISTS h", b":0\r\n"),
    )


@pytest.mark.parametrize(
    ("name", "most"),
    [("HEXPIRE", None), ("HPEXPIRE", None), ("HEXPIREAT", LATEST_MS // 1000), ("HPEXPIREAT", LATEST_MS)],
)
def test_errors_of_hexpire(client: WireClient, name: str, most: int | None) -> None:
    client.value("SET string v")
    lower = name.lower()
    expect(
        client,
        (f"{name} string x FIELDS 1 a", WRONGTYPE),
        (f"{name} h x FIELDS 1 a", NOT_AN_INTEGER),
        (f"{name} h 9223372036854775808 FIELDS 1 a", NOT_AN_INTEGER),
        (f"{name} h -1 FIELDS 1 a", NEGATIVE),
        (f"{name} h 9223372036854775807 FIELDS 1 a", invalid(lower)),
        (f"{name} h {LATEST_MS + 1} FIELDS 1 a", invalid(lower)),
        (f"{name} h 1 FIELD 1 a", NO_FIELDS),
        (f"{name} h 1 NY FIELDS 1 a", NO_FIELDS),
        (f"{name} h 1 NX XX FIELDS 1 a", NO_FIELDS),
        (f"{name} h 1 FIELDS 0 a", TOO_FEW),
        (f"{name} h 1 FIELDS -1 a", TOO_FEW),
        (f"{name} h 1 FIELDS x a", TOO_FEW),
        (f"{name} h 1 FIELDS 2 a", WRONG_COUNT),
        (f"{name} h 1 FIELDS 1 a b", WRONG_COUNT),
        (f"{name} h 1 FIELDS 1 a NX", WRONG_COUNT),
        (f"{name} none 1 FIELDS 2 a", WRONG_COUNT),
        (f"{name} h 1 NX FIELDS 1", WRONG_COUNT),
        (f"{name} none 1 FIELDS 2 a b", numbers(-2, -2)),
        (f"{name} h 1 FIELDS 1", arity(lower)),
        ("HGETALL h", values(b"a", b"1", b"b", b"2", b"c", b"3")),
    )
    if most is not None:
        expect(client, (f"{name} h {most + 1} FIELDS 1 a", invalid(lower)), (f"{name} h {most} FIELDS 1 a", numbers(1)))


@pytest.mark.parametrize("name", ["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME", "HPERSIST"])
def test_errors_of_the_others(client: WireClient, name: str) -> None:
    client.value("SET string v")
    expect(
        client,
        (f"{name} string FIELDS x a", WRONGTYPE),
        (f"{name} h FIELD 1 a", NO_FIELDS),
        (f"{name} h 1 FIELDS a", NO_FIELDS),
        (f"{name} h FIELDS 0 a", NO_COUNT),
        (f"{name} h FIELDS x a", NO_COUNT),
        (f"{name} h FIELDS 2 a", WRONG_COUNT),
        (f"{name} h FIELDS 1 a b", WRONG_COUNT),
        (f"{name} none FIELDS 2 a b", numbers(-2, -2)),
        (f"{name} h FIELDS 1", arity(name.lower())),
    )


def test_writes_and_what_they_do_to_an_expiry(client: WireClient) -> None:
    expect(
        client,
        (f"HPEXPIREAT h {FAR_MS} FIELDS 3 a b c", numbers(1, 1, 1)),
        ("HSET h a 5", b":0\r\n"),
        ("HINCRBY h b 5", b":7\r\n"),
        ("HINCRBYFLOAT h c 0.5", b"$3\r\n3.5\r\n"),
        ("HSETNX h b 9", b":0\r\n"),
        ("HPEXPIRETIME h FIELDS 3 a b c", numbers(-1, FAR_MS, FAR_MS)),
        ("HMSET h b 1", b"+OK\r\n"),
        ("HDEL h c", b":1\r\n"),
        ("HSET h c 1", b":1\r\n"),
        ("HPEXPIRETIME h FIELDS 3 a b c", numbers(-1, -1, -1)),
    )


def test_expiries_go_with_the_key(client: WireClient) -> None:
    expect(
        client,
        (f"HPEXPIREAT h {FAR_MS} FIELDS 1 a", numbers(1)),
        ("COPY h copy", b":1\r\n"),
        ("RENAME h renamed", b"+OK\r\n"),
        ("MOVE renamed 3", b":1\r\n"),
        ("HPEXPIRETIME copy FIELDS 2 a b", numbers(FAR_MS, -1)),
        ("SELECT 3", b"+OK\r\n"),
        ("HPEXPIRETIME renamed FIELDS 2 a b", numbers(FAR_MS, -1)),
    )
    dumped = client.value("DUMP renamed")
    assert dumped[:9] == b"\x18" + bytes(8)
    assert dumped[-10:-8] == (12).to_bytes(2, "little")
    expect(
        client,
        (["RESTORE", "restored", "0", dumped], b"+OK\r\n"),
        ("HPEXPIRETIME restored FIELDS 2 a b", numbers(FAR_MS, -1)),
        ("SAVE", b"+OK\r\n"),
        ("DEBUG RELOAD", b"+OK\r\n"),
        ("HPEXPIRETIME restored FIELDS 2 a b", numbers(FAR_MS, -1)),
        ("HPERSIST restored FIELDS 1 a", numbers(1)),
    )
    assert client.value("DUMP restored")[-10:-8] == (10).to_bytes(2, "little")


def test_encodings(client: WireClient) -> None:
    expect(
        client,
        (f"HPEXPIREAT h {FAR_MS} FIELDS 1 a", numbers(1)),
        ("OBJECT ENCODING h", b"$10\r\nlistpackex\r\n"),
        ("TYPE h", b"+hash\r\n"),
        ("SCAN 0 TYPE hash", b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nh\r\n"),
        ("HSET h long " + "v" * 65, b":1\r\n"),
        ("OBJECT ENCODING h", b"$9\r\nhashtable\r\n"),
        ("HDEL h long", b":1\r\n"),
        ("HPERSIST h FIELDS 1 a", numbers(1)),
        ("OBJECT ENCODING h", b"$8\r\nlistpack\r\n"),
    )


def test_hgetdel(client: WireClient) -> None:
    client.value("SET string v")
    expect(
        client,
        ("HGETDEL string FIELDS 1 a", WRONGTYPE),
        ("HGETDEL h FIELDS 3 a none a", values(b"1", None, None)),
        ("HGETDEL none FIELDS 2 a b", values(None, None)),
        ("HGETDEL h FIELDS 2 b c", values(b"2", b"3")),
        ("EXISTS h", b":0\r\n"),
        ("HGETDEL h FIELD 1 a", NO_FIELDS),
        ("HGETDEL h FIELDS 0 a", NO_COUNT),
        ("HGETDEL h FIELDS 2 a", WRONG_COUNT),
        ("HGETDEL h FIELDS 1", arity("hgetdel")),
    )


def test_hgetex(client: WireClient) -> None:
    client.value("SET string v")
    expect(
        client,
        (f"HGETEX h PXAT {FAR_MS} FIELDS 2 a none", values(b"1", None)),
        (f"HGETEX h exat {FAR_S + 1} FIELDS 1 b", values(b"2")),
        ("HGETEX h FIELDS 2 a c", values(b"1", b"3")),
        ("HPEXPIRETIME h FIELDS 3 a b c", numbers(FAR_MS, FAR_MS + 1000, -1)),
        ("HGETEX h PERSIST FIELDS 3 a c none", values(b"1", b"3", None)),
        ("HGETEX h EX 0 FIELDS 1 b", values(b"2")),
        ("HPEXPIRETIME h FIELDS 3 a b c", numbers(-1, -2, -1)),
        ("HGETEX none EX 10 FIELDS 2 a b", values(None, None)),
        ("HGETEX string EX x FIELDS 1 a", WRONGTYPE),
        ("HGETEX h EX x FIELDS 1 a", NOT_AN_INTEGER),
        ("HGETEX h EX -1 FIELDS 1 a", NEGATIVE),
        ("HGETEX h PX 9223372036854775807 FIELDS 1 a", invalid("hgetex")),
        ("HGETEX h EX 1 FIELD 1 a", NO_FIELDS),
        ("HGETEX h KEEPTTL FIELDS 1 a", NO_FIELDS),
        ("HGETEX h EX 10 PX 10 FIELDS 1 a", NO_FIELDS),
        ("HGETEX h PERSIST FIELDS x a", NO_COUNT),
        ("HGETEX h FIELDS 2 a", WRONG_COUNT),
        ("HGETEX h EX 100 FIELDS 1 a", values(b"1")),
        ("HGETEX h PX 1000000 FIELDS 1 c", values(b"3")),
    )
    assert first(client, "HTTL h FIELDS 1 a") in range(98, 101)
    assert first(client, "HTTL h FIELDS 1 c") in range(998, 1001)


def test_hsetex(client: WireClient) -> None:
    client.value("SET string v")
    expect(
        client,
        (f"HSETEX h PXAT {FAR_MS} FIELDS 2 a x new y", b":1\r\n"),
        ("HPEXPIRETIME h FIELDS 3 a new b", numbers(FAR_MS, FAR_MS, -1)),
        ("HSETEX h KEEPTTL FIELDS 1 a 1", b":1\r\n"),
        ("HSETEX h FIELDS 1 new 1", b":1\r\n"),
        ("HMGET h a new", values(b"1", b"1")),
        ("HPEXPIRETIME h FIELDS 2 a new", numbers(FAR_MS, -1)),
        ("HSETEX h FNX FIELDS 2 other 1 a 1", b":0\r\n"),
        ("HSETEX h FXX FIELDS 2 other 1 a 1", b":0\r\n"),
        ("HEXISTS h other", b":0\r\n"),
        (f"HSETEX h EXAT {FAR_S} FXX FIELDS 2 b x c y", b":1\r\n"),
        (f"HSETEX h fnx exat {FAR_S} fields 1 other x", b":1\r\n"),
        ("HPEXPIRETIME h FIELDS 3 b c other", numbers(FAR_MS, FAR_MS, FAR_MS)),
        ("HSETEX h EX 0 FIELDS 2 b 1 fresh 1", b":1\r\n"),
        ("HMGET h b fresh", values(None, None)),
        ("HSETEX none FXX FIELDS 1 a 1", b":0\r\n"),
        ("HSETEX none PX 0 FIELDS 1 a 1", b":1\r\n"),
        ("EXISTS none", b":0\r\n"),
        ("HSETEX string FIELDS 1 a 1", WRONGTYPE),
        ("HSETEX string EX x FIELDS 1 a 1", NOT_AN_INTEGER),
        ("HSETEX h EX -1 FIELDS 1 a 1", NEGATIVE),
        ("HSETEX h PX 9223372036854775807 FIELDS 1 a 1", invalid("hsetex")),
        ("HSETEX h EX 1 PX 1 FIELDS 1 a 1", ONE_EXPIRY),
        ("HSETEX h EX 1 KEEPTTL FIELDS 1 a 1", ONE_EXPIRY),
        ("HSETEX h FXX FNX FIELDS 1 a 1", b"-ERR Only one of FXX or FNX arguments can be specified\r\n"),
        ("HSETEX h PERSIST FIELDS 1 a 1", b"-ERR unknown argument: PERSIST\r\n"),
        ("HSETEX h FXX FNX1 FIELDS a 1", b"-ERR unknown argument: FNX1\r\n"),
        ("HSETEX h FIELDS x a 1", b"-ERR invalid number of fields\r\n"),
        ("HSETEX h FIELDS 0 a 1", b"-ERR invalid number of fields\r\n"),
        ("HSETEX h FIELDS 2 a 1", arity("hsetex")),
        ("HSETEX h FIELDS 1 a 1 b", arity("hsetex")),
        ("HSETEX h FXX EX 1 FIELDS 1", arity("hsetex")),
        ("HSETEX h FXX FXX EX EX", b"-ERR Only one of FXX or FNX arguments can be specified\r\n"),
        ("HSETEX h FNX KEEPTTL a 1", b"-ERR unknown argument: a\r\n"),
        ("HSETEX h FNX EX 10 EX", ONE_EXPIRY),
        ("HSETEX h FNX FXX1 a EX", b"-ERR unknown argument: FXX1\r\n"),
    )


def test_what_has_expired_is_not_seen(client: WireClient) -> None:
    """The cron is off: what reads see, and what they delete on the way."""
    client.value("DEBUG SET-ACTIVE-EXPIRE 0")
    try:
        client.value("HSET all x 1")
        for key, fields in (("h", "2 a b"), ("all", "1 x")):
            client.value(f"HPEXPIRE {key} 1 FIELDS {fields}")
        while client.call("HGETALL all") != values():
            pass
        expect(
            client,
            ("HGETALL h", values(b"c", b"3")),
            ("HKEYS h", values(b"c")),
            ("HVALS h", values(b"3")),
            ("HSCAN h 0", b"*2\r\n$1\r\n0\r\n" + values(b"c", b"3")),
            ("HRANDFIELD h 5", values(b"c")),
            ("HLEN h", b":3\r\n"),
            ("HMGET h a b c", values(None, None, b"3")),
            ("HLEN h", b":1\r\n"),
            ("HGETALL all", values()),
            ("HRANDFIELD all", b"$-1\r\n"),
            ("HRANDFIELD all -3", values()),
            ("EXISTS all", b":1\r\n"),
            ("HEXISTS all x", b":0\r\n"),
            ("EXISTS all", b":0\r\n"),
            ("HSETNX h a 7", b":1\r\n"),
            ("HPEXPIRETIME h FIELDS 1 a", numbers(-1)),
        )
    finally:
        client.value("DEBUG SET-ACTIVE-EXPIRE 1")


def test_the_last_field_takes_the_key_with_it(client: WireClient, minikv: Server) -> None:
    with minikv.redis() as redis:
        redis.config_resetstat()
        expect(client, ("WATCH h", b"+OK\r\n"))
        redis.execute_command("HPEXPIRE", "h", 1, "FIELDS", 3, "a", "b", "c")
        while redis.exists("h"):
            pass
        stats = redis.info()
        assert stats["expired_subkeys"] == 3
        assert "db0" not in stats
        expect(client, ("MULTI", b"+OK\r\n"), ("PING", b"+QUEUED\r\n"), ("EXEC", b"*-1\r\n"))


def test_info_counts_hashes_with_fields_that_expire(client: WireClient, minikv: Server) -> None:
    client.value(f"HPEXPIREAT h {FAR_MS} FIELDS 1 a")
    client.value("HSET other a 1")
    with minikv.redis() as redis:
        assert redis.info("keyspace")["db0"]["subexpiry"] == 1
        redis.execute_command("HPERSIST", "h", "FIELDS", 1, "a")
        assert "subexpiry" not in redis.info("keyspace")["db0"]


def test_sort_sees_no_expired_field(client: WireClient) -> None:
    client.value("RPUSH l 1 2")
    client.value("HSET w1 f 9 g x")
    client.value("HSET w2 f 3 g y")
    expect(
        client,
        (f"HPEXPIREAT w1 {FAR_MS} FIELDS 2 f g", numbers(1, 1)),
        ("SORT l BY w*->f GET w*->g", values(b"y", b"x")),
        ("HPEXPIRE w2 0 FIELDS 1 f", numbers(2)),
        ("SORT l BY w*->f GET w*->f", values(None, b"9")),
    )


def test_memory_and_digest(client: WireClient) -> None:
    plain, digest = client.value("MEMORY USAGE h"), client.call("DEBUG DIGEST-VALUE h")
    client.value(f"HPEXPIREAT h {FAR_MS} FIELDS 1 a")
    assert client.value("MEMORY USAGE h") > plain
    assert client.call("DEBUG DIGEST-VALUE h") != digest
    client.value("HPERSIST h FIELDS 1 a")
    assert client.call("DEBUG DIGEST-VALUE h") == digest


EVENTS = [
    (f"HEXPIREAT h {FAR_S} FIELDS 2 a b", [b"hexpire"]),
    (f"HEXPIREAT h {FAR_S} FIELDS 1 none", []),
    (f"HEXPIREAT h {FAR_S} XX FIELDS 1 a", []),
    ("HEXPIREAT h 1 FIELDS 2 a b", [b"hdel"]),
    ("HPEXPIREAT h 1 FIELDS 3 a b c", [b"hdel", b"del"]),
    ("HPERSIST h FIELDS 2 a c", []),
    ("HGETEX h FIELDS 1 a", []),
    ("HGETEX h EX 100 FIELDS 2 a none", [b"hexpire"]),
    ("HGETEX h PXAT 1 FIELDS 3 a b c", [b"hdel", b"del"]),
    ("HGETDEL h FIELDS 2 a none", [b"hdel"]),
    ("HGETDEL h FIELDS 1 none", []),
    ("HGETDEL h FIELDS 3 a b c", [b"hdel", b"del"]),
    ("HSETEX h FIELDS 1 a 2", [b"hset"]),
    ("HSETEX h EX 100 FIELDS 1 a 2", [b"hset", b"hexpire"]),
    ("HSETEX new PXAT 1 FIELDS 1 a 2", [b"new", b"hset", b"hdel", b"del"]),
    ("HSETEX h FNX EX 100 FIELDS 1 a 2", []),
    (f"HSETEX h PXAT {FAR_MS} FIELDS 1 a 2 ; HPERSIST h FIELDS 1 a", [b"hset", b"hexpire", b"hpersist"]),
    (f"HSETEX h PXAT {FAR_MS} FIELDS 1 a 2 ; HGETEX h PERSIST FIELDS 1 a", [b"hset", b"hexpire", b"hpersist"]),
    ("HPEXPIRE h 1 FIELDS 1 a ; DEBUG SLEEP 0.002 ; HGET h a", [b"hexpire", b"hexpired"]),
    ("HPEXPIRE h 1 FIELDS 3 a b c ; DEBUG SLEEP 0.002 ; HMGET h a b c", [b"hexpire", *[b"hexpired"] * 3, b"del"]),
]


@pytest.mark.parametrize(("commands", "wanted"), EVENTS)
def test_events(minikv: Server, client: WireClient, commands: str, wanted: list[bytes]) -> None:
    client.call("CONFIG SET notify-keyspace-events KAn")
    client.call("DEBUG SET-ACTIVE-EXPIRE 0")
    try:
        with minikv.connect() as listener:
            listener.call("PSUBSCRIBE __keyspace*__:*")
            for command in commands.split(" ; "):
                client.call(command)
            minikv.barrier()
            heard = [plain(parse(message))[-1] for message in split(listener.read_available()[0])]
        assert heard == wanted
    finally:
        client.call("CONFIG SET notify-keyspace-events ''")
        client.call("DEBUG SET-ACTIVE-EXPIRE 1")

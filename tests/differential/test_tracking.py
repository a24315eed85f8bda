"""Client side caching: which invalidations each client gets, when and in which form, as redis-server sends them."""

from __future__ import annotations

import random

import pytest

from tests.harness import ClientPair, Server, wait_until
from tests.harness.compare import Outcome
from tests.harness.scene import Scene
from tests.harness.wire import Words

WRITES: list[tuple[str, list[Words]]] = [
    ("SET s 0", ["SET s 1", "APPEND s x", "SETRANGE s 2 y", "GETSET s z", "GETDEL s"]),
    ("SET s 0", ["INCR s", "DECRBY s 3", "INCRBYFLOAT s 0.5", "SETEX s 100 x", "GETEX s PERSIST", "GETEX s EX 9"]),
    ("SET s 0", ["EXPIRE s 100", "PERSIST s", "PERSIST s", "EXPIRE s 100 XX", "EXPIRE s -1"]),
    ("SET s 0", ["SET s 1 NX", "SETNX s 1", "MSETNX s 1 t 1", "MSET s 1 t 1 s 2", "SET s 2 XX GET"]),
    ("SET s 0", ["DEL s t", "DEL s"]),
    ("SET s 0", ["SETBIT s 3 1", "BITFIELD s GET u8 0", "BITFIELD s SET u8 0 3", "BITOP NOT t s", "BITOP AND t n"]),
    ("SET s 0", ["RENAME s t", "RENAME t s", "RENAMENX s t", "COPY t s", "COPY t s", "COPY t s REPLACE", "UNLINK s t"]),
    ("SET s 0", ["MOVE s 1", "SELECT 1", "SET s 1", "MOVE s 0", "FLUSHDB", "SELECT 0", "TOUCH s", "FLUSHALL"]),
    ("SET s 0", ["PFADD t a", "PFADD t a", "PFMERGE s t", "PFMERGE p t", "PFCOUNT t p"]),
    ("RPUSH s a b c", ["LPUSH s x", "LPUSHX s y", "LPUSHX n y", "LSET s 0 z", "LTRIM s 0 3", "LINSERT s BEFORE z q"]),
    ("RPUSH s a b c", ["LREM s 0 n", "LREM s 0 a", "LMOVE s t LEFT RIGHT", "RPOPLPUSH s s", "LPOP s", "RPOP s 5"]),
    ("RPUSH s a b c", ["BLPOP s 1", "BLMOVE s t LEFT LEFT 1", "LMPOP 2 s t LEFT COUNT 9", "BRPOPLPUSH t s 1"]),
    ("RPUSH s 2 1", ["SORT s STORE t", "SORT n STORE t"]),
    ("SADD s a b c", ["SADD s a", "SADD s d", "SREM s x", "SREM s a", "SMOVE s t b", "SMOVE s t b"]),
    ("SADD s a", ["SPOP s 9", "SPOP s"]),
    ("SADD s a b c", ["SINTERSTORE t s s", "SUNIONSTORE s s n", "SDIFFSTORE s s s", "SDIFFSTORE s s s"]),
    ("HSET s a 1", ["HSET s a 1", "HSETNX s a 2", "HINCRBY s a 2", "HINCRBYFLOAT s b 2", "HDEL s x", "HDEL s a b"]),
    ("ZADD s 1 a 2 b", ["ZADD s 1 a", "ZADD s XX 3 x", "ZADD s 3 a", "ZINCRBY s 1 a", "ZREM s x", "ZPOPMIN s"]),
    ("ZADD s 1 a", ["ZREM s a"]),
    ("ZADD s 1 a 2 b", ["ZRANGESTORE t s 0 -1", "ZUNIONSTORE s 1 s", "ZREMRANGEBYRANK s 0 0"]),
    ("ZADD s 1 a 2 b", ["ZREMRANGEBYSCORE s 9 9", "ZREMRANGEBYSCORE s 1 1", "ZREMRANGEBYLEX s - +"]),
    ("ZADD s 1 a 2 b", ["ZINTERSTORE t 2 s n", "BZPOPMAX s 1", "ZMPOP 1 s MIN", "ZDIFFSTORE t 1 n", "ZPOPMAX s"]),
    ("GEOADD s 13 38 a", ["GEOADD s 13 38 a", "GEOADD s 15 37 b", "GEOSEARCHSTORE t s FROMMEMBER a BYRADIUS 500 km"]),
    ("XADD s 1-1 a b", ["XADD s 2-1 a b", "XTRIM s MAXLEN 5", "XTRIM s MAXLEN 1", "XDEL s 9-9", "XDEL s 2-1"]),
    ("XADD s 1-1 a b", ["XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >", "XACK s g 1-1", "XSETID s 9-9"]),
]  # fmt: skip
READS: list[Words] = [
    *("GET s", "MGET s t n s", "STRLEN s", "GETRANGE s 0 1", "EXISTS s t", "TTL s", "TYPE s", "DUMP s", "TOUCH s"),
    *("LRANGE s 0 -1", "SMEMBERS s", "HGETALL s", "ZRANGE s 0 -1", "ZUNION 2 s t", "SCAN 0"),
    *("XREAD STREAMS s t 0 0", "XREAD COUNT 1 STREAMS s 0", "XRANGE s - +", "LCS s t", "SORT_RO s", "BITCOUNT s"),
    *("MEMORY USAGE s", "PFCOUNT s t", "GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m", "SUBSTR s 0 0", "XINFO STREAM s"),
    *("GEORADIUS_RO s 1 1 1 m", "BITFIELD_RO s GET u8 0", "ZINTER 3 s t", "ZINTER 0 s", "DEBUG OBJECT s", "KEYS *"),
    *("GETEX s", "SORT s", "BITFIELD s GET u8 0", "GEORADIUS s 1 1 1 m", "WATCH s", "SINTERCARD 2 s t LIMIT 1"),
    "OBJECT ENCODING s",
    *(("EVAL", "return 1", "1", "s"), ("EVAL_RO", "return 1", "1", "s")),
    ("EVAL", "return redis.call('dbsize')", "1", "s"),
]  # fmt: skip


def now_ms(server: Server) -> int:
    seconds, microseconds = (int(part.payload) for part in server.control.value("TIME"))
    return seconds * 1000 + microseconds // 1000


class TrackingScene(Scene):
    """A scene in which client numbers, which differ between the servers, are compared by the clients' names."""

    def __init__(self, pair: ClientPair) -> None:
        super().__init__(pair)
        self.ids: dict[str, tuple[int, int]] = {}

    def join(self, name: str, resp: int = 3, *commands: Words) -> None:
        """A client begins, in this protocol version."""
        pair = self.client(name)
        self.ids[name] = pair.subject.value("CLIENT ID"), pair.oracle.value("CLIENT ID")
        for client in (pair.subject, pair.oracle):
            client.call(f"HELLO {resp}")
        for command in commands:
            self.do(name, command)

    def redirect(self, name: str, to: str, *words: str) -> None:
        """CLIENT TRACKING ON REDIRECT."""
        pair = self.client(name)
        for client, number in zip((pair.subject, pair.oracle), self.ids[to], strict=True):
            client.send(("CLIENT", "TRACKING", "ON", "REDIRECT", number, *words))
        self.compare(f"{name}: redirects to {to}")

    def leave(self, name: str) -> None:
        """A client disconnects, and both servers have noticed."""
        ours, theirs = self.ids[name]
        self.clients.pop(name).close()
        for server, number in zip(self.pair.servers, (ours, theirs), strict=True):
            listed = b"id=%d " % number
            wait_until(
                lambda server=server, listed=listed: listed not in server.call("CLIENT LIST"), f"the end of {name}"
            )

    def let_pass(self, milliseconds: int) -> None:
        """Wait until the servers' clocks have moved on by more than this."""
        for server in self.pair.servers:
            started = now_ms(server)
            wait_until(
                lambda server=server, started=started: now_ms(server) > started + milliseconds, "the time passes"
            )

    def named(self, data: bytes, side: int) -> bytes:
        for name, numbers in self.ids.items():
            data = data.replace(b":%d\r\n" % numbers[side], b":<%b>\r\n" % name.encode())
        return data

    def compare(self, step: str) -> dict[str, bytes]:
        __tracebackhide__ = True
        self.steps.append(step)
        for server in self.pair.servers:
            server.barrier()
        got: list[dict[str, Outcome]] = [{}, {}]
        for name, client in self.clients.items():
            for side, wire in enumerate((client.subject, client.oracle)):
                received, closed = wire.read_available()
                got[side][name] = Outcome(self.named(received, side), closed)
        assert got[0] == got[1], "\n".join(["subject and oracle differ after", *self.steps])
        return {name: outcome.received for name, outcome in got[0].items() if outcome.received}


@pytest.fixture
def scene(resp2_pair: ClientPair) -> TrackingScene:
    return TrackingScene(resp2_pair)


INFO_FIELDS = ("tracking_clients", "tracking_total_keys", "tracking_total_items", "tracking_total_prefixes")


def assert_same_figures(scene: TrackingScene) -> None:
    subject, oracle = (
        {name: value for section in ("clients", "stats") for name, value in server.info(section).items()}
        for server in scene.pair.servers
    )
    assert {name: subject[name] for name in INFO_FIELDS} == {name: oracle[name] for name in INFO_FIELDS}


OPTIONS = [
    *("", "BCAST", "OPTIN", "OPTOUT", "NOLOOP", "BCAST PREFIX a PREFIX b", "PREFIX a", "BCAST NOLOOP PREFIX ab"),
    *("OPTIN OPTOUT", "BCAST OPTIN", "BCAST PREFIX a PREFIX ab", "BCAST PREFIX c", "REDIRECT", "REDIRECT x"),
    *("REDIRECT 0", "REDIRECT 99999", "PREFIX", "FOO", "BCAST BCAST NOLOOP NOLOOP", "optin noloop"),
]


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("first", ["", "BCAST", "OPTIN", "OPTOUT", "NOLOOP", "BCAST PREFIX a"])
def test_options_their_errors_and_how_they_are_shown(scene: TrackingScene, first: str, resp: int) -> None:
    scene.join("one", resp)
    shows: list[Words] = ["CLIENT TRACKINGINFO", "CLIENT GETREDIR"]
    scene.do("one", *shows, "CLIENT CACHING YES", f"CLIENT TRACKING ON {first}", *shows)
    for second in OPTIONS:
        scene.do("one", f"CLIENT TRACKING ON {second}", *shows)
        scene.do("one", "CLIENT CACHING YES", "CLIENT CACHING NO", "CLIENT CACHING x", *shows, "PING", *shows)
    assert_same_figures(scene)
    scene.do("one", "CLIENT TRACKING OFF", *shows, "CLIENT TRACKING OFF", "CLIENT TRACKING x", "CLIENT TRACKING")
    scene.do("one", "CLIENT CACHING", "CLIENT TRACKING OFF FOO", "CLIENT GETREDIR x", "CLIENT TRACKINGINFO x")
    assert_same_figures(scene)


@pytest.mark.parametrize("mode", ["", "BCAST", "BCAST NOLOOP", "NOLOOP", "BCAST PREFIX t PREFIX n"])
@pytest.mark.parametrize(("start", "writes"), WRITES)
def test_every_write_invalidates(scene: TrackingScene, start: str, writes: list[Words], mode: str) -> None:
    """Whoever has read a key, or tracks its prefix, is told of each change, the writer after its reply."""
    for name in ("writer", "reader"):
        scene.join(name, 3, f"CLIENT TRACKING ON {mode}")
    scene.do("writer", start)
    for write in writes:
        scene.do("reader", "EXISTS s t n p")
        scene.do("writer", "EXISTS s t n p", write)
    assert_same_figures(scene)


@pytest.mark.parametrize("start", ["SET s 0", "RPUSH s a", "SADD s a", "HSET s a 1", "ZADD s 1 a", "XADD s 1-1 a b"])
def test_every_read_is_remembered(scene: TrackingScene, start: str) -> None:
    scene.join("reader", 3, "CLIENT TRACKING ON")
    scene.do("writer", "DEBUG SET-ACTIVE-EXPIRE 0")
    for read in READS:
        scene.do("writer", "DEL s t n", start)
        for client in (scene.client("reader").subject, scene.client("reader").oracle):
            client.send(read)
        for server in scene.pair.servers:
            server.barrier()
        for client in (scene.client("reader").subject, scene.client("reader").oracle):
            client.read_available()
        assert_same_figures(scene)
        scene.do("writer", "DEL s", "SET t 1", "SET n 1")
    scene.do("writer", "DEBUG SET-ACTIVE-EXPIRE 1")


def test_opt_in_and_opt_out_choose_commands(scene: TrackingScene) -> None:
    scene.join("in", 3, "CLIENT TRACKING ON OPTIN")
    scene.join("out", 3, "CLIENT TRACKING ON OPTOUT")
    scene.do("writer", "MSET a 1 b 1 c 1 d 1")
    for name, word in (("in", "YES"), ("out", "NO")):
        caching = f"CLIENT CACHING {word}"
        for requests in (
            ["GET a"],
            [caching, "GET a", "GET b"],
            [caching, "CLIENT ID", "GET a", "GET b"],
            [caching, "PING", "GET a"],
            [caching, "NONESUCH", "GET a"],
            [caching, "GET", "GET a"],
            [caching, "MULTI", "GET a", "GET b", "EXEC", "GET c"],
            ["MULTI", "GET a", caching, "GET b", "EXEC", "GET c"],
            ["MULTI", caching, "GET b", "EXEC", "CLIENT TRACKINGINFO", "GET c"],
            [caching, "MULTI", "GET a", "DISCARD", "GET c"],
            [caching, "CLIENT TRACKING OFF", f"CLIENT TRACKING ON OPT{name.upper()}", "GET a"],
            [caching, ("EVAL", "return redis.call('get', KEYS[1])", "2", "a", "b"), "GET c"],
        ):
            for request in requests:
                if request != "CLIENT ID":
                    scene.do(name, request)
                else:
                    scene.do(name, "CLIENT GETNAME")
            scene.do("writer", "MSET a 2 b 2 c 2 d 2")
    assert_same_figures(scene)


@pytest.mark.parametrize("mode", ["", "NOLOOP", "BCAST", "BCAST NOLOOP"])
def test_transactions_and_scripts_write_and_read(scene: TrackingScene, mode: str) -> None:
    for name in ("one", "two"):
        scene.join(name, 3, f"CLIENT TRACKING ON {mode}")
    read_two = "redis.call('get', KEYS[1]); return redis.call('get', 'undeclared')"
    write_two = "redis.call('set', KEYS[1], 1); redis.call('get', KEYS[1]); return redis.call('incr', KEYS[2])"
    for requests in (
        ["MULTI", "GET a", "SET a 1", "GET a", "SET b 1", "SET a 2", "EXEC"],
        ["GET a", "GET b", "MULTI", "SET a 1", "SET b 2", "DEL a b", "EXEC"],
        ["GET a", "MULTI", "FLUSHALL", "SET a 1", "EXEC", "PING"],
        [("EVAL", read_two, "2", "a", "b"), "SET a 1", "SET b 1", "SET undeclared 1"],
        [("EVAL_RO", read_two, "1", "a"), "SET a 1"],
        [("EVAL", "return 1", "1", "a"), "SET a 1"],
        ["GET a", "GET b", ("EVAL", write_two, "2", "a", "b"), "SET a 1"],
        ["GET a", "MULTI", ("EVAL", write_two, "2", "a", "b"), "GET b", "EXEC", "SET b 1"],
        [("EVAL", "return redis.pcall('lpush', KEYS[1], 1)", "1", "a"), "SET a 1"],
        ["GET a", ("EVAL", "return redis.call('flushall')", "0")],
    ):
        for request in requests:
            scene.do("one", request)
        scene.do("two", "GET a", "GET b", "GET undeclared")
        scene.do("one", "MSET a 5 b 5 undeclared 5", "GET a")
    assert_same_figures(scene)


@pytest.mark.parametrize("resp", [2, 3])
def test_pipelines_get_messages_after_the_reply_and_broadcasts_after_all(scene: TrackingScene, resp: int) -> None:
    scene.join("one", resp, "CLIENT TRACKING ON")
    scene.join("two", resp, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b")
    for name in ("one", "two"):
        scene.do(name, "GET a", "SET a 1", "GET a", "SET a 2", "SET b 1", "SET ab 1", "SET aa 1", "SET c 1", "GET b")
        scene.do(name, "FLUSHDB", "SET a 3", "FLUSHALL", "GET a")


@pytest.mark.parametrize("mode", ["", "BCAST", "NOLOOP"])
@pytest.mark.parametrize(("resp", "target_resp"), [(2, 2), (2, 3), (3, 2), (3, 3)])
def test_messages_are_redirected(scene: TrackingScene, resp: int, target_resp: int, mode: str) -> None:
    scene.join("target", target_resp)
    scene.join("one", resp)
    scene.redirect("one", "target", *mode.split())
    scene.do("one", "CLIENT TRACKINGINFO", "CLIENT GETREDIR")
    for subscribed in (
        "PING",
        "SUBSCRIBE x",
        "UNSUBSCRIBE",
        "SUBSCRIBE __redis__:invalidate",
        "UNSUBSCRIBE",
        "PSUBSCRIBE x",
    ):
        scene.do("target", subscribed)
        scene.do("one", "GET a", "GET b")
        scene.do("writer", "SET a 1", "SET c 1")
        scene.do("one", "SET b 1")
        scene.do("writer", "FLUSHALL")
        scene.do("one", "FLUSHALL", "MULTI", "GET a", "SET a 1", "EXEC")
    scene.leave("target")
    scene.do("one", "GET a", "GET b", "CLIENT TRACKINGINFO")
    scene.do("writer", "SET a 1")
    scene.do("one", "SET b 1", "CLIENT TRACKINGINFO", "CLIENT TRACKING ON", "CLIENT TRACKINGINFO", "SET b 2")
    assert_same_figures(scene)


def test_keys_that_expire_are_invalid(scene: TrackingScene) -> None:
    scene.join("one", 3, "CLIENT TRACKING ON")
    scene.join("two", 3, "CLIENT TRACKING ON BCAST")
    scene.join("three", 3, "CLIENT TRACKING ON NOLOOP")
    scene.do("writer", "DEBUG SET-ACTIVE-EXPIRE 0")
    for lookup in ("GET a", "EXISTS a b", "INCR a", ("EVAL", "return redis.call('get', KEYS[1])", "1", "a")):
        scene.do("writer", "SET a 1 PX 100", "SET b 1 PX 100")
        scene.do("one", "GET a")
        scene.do("three", "GET a")
        scene.let_pass(100)
        scene.do("one", lookup)
        scene.do("three", "GET b", "GET a")
        scene.do("writer", "DEL a b")
    scene.do("writer", "DEBUG SET-ACTIVE-EXPIRE 1")


def test_blocked_clients_write_when_they_are_served(scene: TrackingScene) -> None:
    for name, mode in (("one", ""), ("two", "NOLOOP"), ("three", "BCAST")):
        scene.join(name, 3, f"CLIENT TRACKING ON {mode}")
        for serve in ("RPUSH l x", "RPUSH l x y"):
            scene.do(name, "EXISTS l m z")
            scene.do("writer", "EXISTS l m z")
            scene.do(name, "BLMOVE l m LEFT LEFT 0")
            scene.do("writer", serve)
            scene.do(name, "EXISTS l m z", "BZPOPMIN z 0")
            scene.do("writer", "ZADD z 1 a", "DEL l m z")
            scene.do(name, "EXISTS x", "XREAD BLOCK 0 STREAMS x $")
            scene.do("writer", "XADD x 1-1 a b", "DEL x")


def test_silent_clients_get_messages_all_the_same(scene: TrackingScene) -> None:
    scene.join("one", 3, "CLIENT TRACKING ON")
    scene.do("one", "GET a", "CLIENT REPLY OFF")
    scene.do("writer", "SET a 1")
    scene.do("one", "GET a", "SET a 2", "CLIENT REPLY ON", "GET a", "CLIENT REPLY SKIP", "SET a 3", "GET a")


def test_tracking_ends_with_reset_and_with_the_connection(scene: TrackingScene) -> None:
    for name in ("one", "two", "three"):
        scene.join(name, 3, "CLIENT TRACKING ON")
        scene.do(name, "GET a", "GET b")
    assert_same_figures(scene)
    scene.do("one", "RESET", "PING", "CLIENT TRACKINGINFO")
    scene.leave("two")
    assert_same_figures(scene)
    scene.do("writer", "SET a 1")
    scene.do("three", "CLIENT TRACKING OFF")
    assert_same_figures(scene)
    scene.do("three", "CLIENT TRACKING ON")
    scene.do("writer", "SET b 1", "SET a 1")
    assert_same_figures(scene)
    scene.do("three", "CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST", "GET a")
    scene.do("writer", "SET b 1", "SET a 1")
    assert_same_figures(scene)


@pytest.mark.parametrize("seed", range(3))
def test_random_scenes(scene: TrackingScene, seed: int) -> None:
    """Random requests of several clients, with pipelines of them."""
    chooser = random.Random(seed)
    names = ["one", "two", "three", "four"]
    for name, mode in zip(names, ["", "NOLOOP", "BCAST PREFIX a PREFIX b", "OPTIN"], strict=True):
        scene.join(name, 3, f"CLIENT TRACKING ON {mode}")
    keys = ["a", "ab", "b", "c"]
    for _ in range(60):
        requests: list[Words] = []
        for _ in range(chooser.randint(1, 4)):
            key, other = chooser.choice(keys), chooser.choice(keys)
            requests.append(
                chooser.choice(
                    [
                        *(f"GET {key}", f"MGET {key} {other}", f"SET {key} 1", f"MSET {key} 1 {other} 2", f"DEL {key}"),
                        *(f"RENAME {key} {other}", "CLIENT CACHING YES", f"COPY {key} {other}", "FLUSHALL"),
                        *(f"EXPIRE {key} 100", "CLIENT TRACKINGINFO", f"APPEND {key} x", f"EXISTS {other}"),
                        ("EVAL", "return redis.call('incr', KEYS[1])", "1", key),
                    ]
                )
            )
        if chooser.random() < 0.3:
            requests = ["MULTI", *requests, "EXEC"]
        scene.do(chooser.choice(names), *requests)
    assert_same_figures(scene)

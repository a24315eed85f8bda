"""Keyspace notifications: which events a listener gets for each command, and in which order, as from redis-server.

Every command that writes has a case below; a command without one fails the test. After each request the client
publishes what it has sent, so that a difference shows the request that it belongs to.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import ClientPair, Server, WireClient, Word, Words, encode, parse, split, words
from tests.harness.compatibility import OWN_COMMANDS
from tests.harness.payloads import SOUND
from tests.harness.strategies import (
    bit_command,
    command,
    geo_command,
    hash_command,
    hyperloglog_command,
    key_command,
    list_command,
    set_command,
    stream_command,
    string_command,
    transaction_command,
)

PAST_MS = "1"
FIELD = "f v"
# The requests of each command that writes, by full name. $NAME: those of a preparation. ?: another client sends it,
# which may wait. PAYLOAD: what DUMP gives.
PREPARATIONS = """
LISTS: RPUSH a 1 2 3 2 ; RPUSH b 9 ; SET s v
SETS: SADD a 1 2 3 ; SADD b 3 4 ; SET s v
SCORED: ZADD a 1 x 2 y 3 z ; ZADD b 5 y ; SADD c x ; SET s v
PLACES: GEOADD a 13 38 palermo 15 37 catania ; SET s v
GROUP: XADD a 1-1 f v ; XADD a 2-1 f v ; XADD a 3-1 f v ; XADD a 4-1 f v ; SET s v ; XGROUP CREATE a g 0
STREAM: XADD a 1-1 f v ; XADD a 2-1 f v ; XADD a 3-1 f v ; XADD a 4-1 f v ; SET s v
"""
WRITES = """
append: APPEND a x ; APPEND a x ; APPEND a '' ; APPEND b '' ; LPUSH l 1 ; APPEND l x
bitfield: BITFIELD a SET u8 0 1 SET u8 8 2 ; BITFIELD a SET u8 0 1 ; BITFIELD a GET u8 0 ; BITFIELD none GET u8
    0 ; BITFIELD a INCRBY u8 0 1 SET u8 800 1 ; BITFIELD a OVERFLOW FAIL INCRBY u8 0 255 ; BITFIELD a SET u8
    9999 0
bitop: SET a x ; SET b yy ; BITOP AND c a b ; BITOP NOT c none ; BITOP NOT c none ; BITOP OR a a b
blmove: $LISTS ; BLMOVE a b LEFT RIGHT 0 ; BLMOVE b b LEFT RIGHT 0 ; BLMOVE b new LEFT RIGHT 0 ; ? BLMOVE x y
    LEFT RIGHT 0 ; ? BLMOVE y z RIGHT LEFT 0 ; RPUSH x 1 ; ? BLMOVE x x LEFT RIGHT 0 ; RPUSH x 1 ; ? BLMOVE q s
    LEFT RIGHT 0 ; RPUSH q 1
blmpop: $LISTS ; BLMPOP 0 2 none a LEFT COUNT 2 ; BLMPOP 0 1 a RIGHT COUNT 9 ; ? BLMPOP 0 2 x y LEFT ; RPUSH y 1
    2
blpop: $LISTS ; BLPOP none a 0 ; ? BLPOP x y 0 ; RPUSH y 1 ; ? BLPOP x 0 ; RPUSH x 1 2 ; ? BLPOP x 0
brpop: $LISTS ; BRPOP b 0 ; ? BRPOP x 0 ; ? BRPOP x 0 ; RPUSH x 1 ; RPUSH x 1 2 ; RPUSH x 1
brpoplpush: $LISTS ; BRPOPLPUSH a b 0 ; BRPOPLPUSH a a 0 ; ? BRPOPLPUSH x a 0 ; RPUSH x 1
bzmpop: $SCORED ; BZMPOP 0 2 n a MIN COUNT 2 ; BZMPOP 0 1 a MAX ; ? BZMPOP 0 1 w MIN ; ZADD w 1 a 2 b
bzpopmax: $SCORED ; BZPOPMAX a 0 ; BZPOPMAX b 0 ; ? BZPOPMAX w x 0 ; ZADD x 1 a 2 b ; ? BZPOPMAX w 0 ; ZADD w 1
    a
bzpopmin: $SCORED ; BZPOPMIN n a 0 ; ? BZPOPMIN w 0 ; ZADD w 1 a ; ? BZPOPMIN w 0 ; ZADD w INCR 1 a
copy: $LISTS ; COPY a b ; COPY a b REPLACE ; COPY a new ; COPY a a DB 1 ; COPY none x ; COPY a a DB 1 REPLACE
decr: DECR a ; DECR a ; SET s v ; DECR s
decrby: DECRBY a 5 ; DECRBY a 5
del: $LISTS ; DEL a none a b ; DEL none
expire: SET a 1 ; EXPIRE a 100 ; EXPIRE a 100 NX ; EXPIRE a 200 GT ; EXPIRE none 100 ; EXPIRE a -1 ; EXPIRE a 1
expireat: SET a 1 ; EXPIREAT a 33177117420 ; EXPIREAT a 1 NX ; EXPIREAT a 1
flushall: SET a 1 ; WATCH a ; FLUSHALL ; FLUSHALL ASYNC ; FLUSHALL
flushdb: SET a 1 ; FLUSHDB ; FLUSHDB ASYNC
function|delete: FUNCTION DELETE none
function|flush: FUNCTION FLUSH
function|load: FUNCTION LOAD '#!lua name=none'
function|restore: FUNCTION RESTORE x
geoadd: GEOADD a 1 2 m ; GEOADD a 1 2 m ; GEOADD a NX 2 2 m ; GEOADD a 2 2 m ; GEOADD b XX 2 2 m ; GEOADD a x 2
    m
georadius: $PLACES ; GEORADIUS a 15 37 200 km ; GEORADIUS a 15 37 200 km STORE b ; GEORADIUS a 15 37 200 km
    STOREDIST b ; GEORADIUS a 15 37 1 m STORE b ; GEORADIUS a 0 0 1 m STORE b ; GEORADIUS a 0 0 1 m STORE b ;
    GEORADIUS none 0 0 1 m STORE a ; GEORADIUS none 0 0 1 m
georadiusbymember: $PLACES ; GEORADIUSBYMEMBER a palermo 200 km STORE s ; GEORADIUSBYMEMBER a palermo 200 km ;
    GEORADIUSBYMEMBER none palermo 200 km STORE s
geosearchstore: $PLACES ; GEOSEARCHSTORE b a FROMMEMBER palermo BYRADIUS 200 km ; GEOSEARCHSTORE b a FROMLONLAT
    0 0 BYBOX 1 1 m STOREDIST ; GEOSEARCHSTORE b none FROMLONLAT 0 0 BYBOX 1 1 m
getdel: GETDEL none ; SET a 1 ; GETDEL a ; LPUSH l 1 ; GETDEL l
getex: GETEX none EX 10 ; SET a 1 ; GETEX a ; GETEX a PERSIST ; GETEX a EX 100 ; GETEX a PXAT 33177117420000 ;
    GETEX a PERSIST ; GETEX a PXAT 1
getset: GETSET a 1 ; GETSET a 2 ; LPUSH l 1 ; GETSET l 2
hdel: HSET a f 1 g 2 h 3 ; HDEL a none ; HDEL a f none ; HDEL a g h g ; HDEL a f
hincrby: HINCRBY a f 1 ; HINCRBY a f 1 ; HSET a g x ; HINCRBY a g 1 ; HINCRBY a f 0
hincrbyfloat: HINCRBYFLOAT a f 1.5 ; HINCRBYFLOAT a f 1 ; HINCRBYFLOAT a f x
hmset: HMSET a f 1 g 2 ; HMSET a f 1 ; SET s v ; HMSET s f 1
hset: HSET a f 1 ; HSET a f 1 ; HSET a f 2 g 3 ; SET s v ; HSET s f 1
hsetnx: HSETNX a f 1 ; HSETNX a f 1 ; HSETNX a g 1
incr: INCR a ; INCR a ; LPUSH l 1 ; INCR l
incrby: INCRBY a 5 ; INCRBY a 0
incrbyfloat: INCRBYFLOAT a 1.5 ; INCRBYFLOAT a 0 ; SET s v ; INCRBYFLOAT s 1
lcs: $LISTS ; LCS a none ; LCS none a
linsert: $LISTS ; LINSERT a BEFORE 2 x ; LINSERT a AFTER none x ; LINSERT none AFTER 1 x
lmove: $LISTS ; LMOVE b c LEFT RIGHT ; LMOVE a a RIGHT LEFT ; LMOVE none a LEFT LEFT ; LMOVE c c LEFT LEFT ;
    LMOVE a s LEFT LEFT
lmpop: $LISTS ; LMPOP 2 none a LEFT ; LMPOP 1 a RIGHT COUNT 10 ; LMPOP 1 none LEFT
lpop: $LISTS ; LPOP a ; LPOP a 2 ; LPOP a 0 ; LPOP a 9 ; LPOP a ; LPOP a 1 ; LPOP b
lpush: LPUSH a 1 ; LPUSH a 2 3 ; SET s v ; LPUSH s 1
lpushx: LPUSHX a 1 ; LPUSH a 1 ; LPUSHX a 2 3
lrem: $LISTS ; LREM a 0 none ; LREM a 0 2 ; LREM a 0 1 ; LREM a 0 3 ; LREM none 0 1
lset: $LISTS ; LSET a 0 x ; LSET a 0 x ; LSET a 99 x ; LSET none 0 x
ltrim: $LISTS ; LTRIM a 0 -1 ; LTRIM a 1 2 ; LTRIM a 5 6 ; LTRIM none 0 0
migrate: MIGRATE 127.0.0.1 1 none 0 100 ; SET a 1 ; MIGRATE 127.0.0.1 1 a 0 100
move: $LISTS ; MOVE a 1 ; MOVE a 1 ; RPUSH a 1 ; MOVE a 1 ; SELECT 1 ; MOVE a 0
mset: MSET a 1 b 2 a 3 ; MSET a 1 ; LPUSH l 1 ; MSET l 1
msetnx: MSETNX a 1 b 2 ; MSETNX a 1 c 2
persist: SET a 1 ; PERSIST a ; EXPIRE a 100 ; PERSIST a ; PERSIST none
pexpire: SET a 1 ; PEXPIRE a 100000 ; PEXPIRE a 0 ; PEXPIRE none 100000
pexpireat: SET a 1 ; PEXPIREAT a 33177117420000 ; PEXPIREAT a 1
pfadd: PFADD a x ; PFADD a x ; PFADD a y ; PFADD b ; PFADD b ; SET s v ; PFADD s x
pfcount: PFADD a x ; PFCOUNT a ; PFCOUNT a ; PFCOUNT none ; PFCOUNT a none
pfdebug: PFADD a x ; PFDEBUG TODENSE a ; PFDEBUG GETREG a ; PFDEBUG ENCODING none
pfmerge: PFADD a x ; PFMERGE b a ; PFMERGE b a ; PFMERGE c none ; PFMERGE a
psetex: PSETEX a 100000 v ; PSETEX a 100000 v ; PSETEX a 0 v
rename: $LISTS ; RENAME a c ; RENAME c b ; RENAME b b ; RENAME none a
renamenx: $LISTS ; RENAMENX a b ; RENAMENX a c ; RENAMENX c c ; RENAMENX none a
restore: RESTORE a 0 PAYLOAD ; RESTORE a 0 PAYLOAD ; RESTORE a 100000 PAYLOAD REPLACE ; RESTORE a 1 PAYLOAD
    REPLACE ABSTTL ; RESTORE a 1 PAYLOAD REPLACE ABSTTL ; RESTORE a 0 x
restore-asking: RESTORE-ASKING a 0 PAYLOAD
rpop: $LISTS ; RPOP a 2 ; RPOP b ; RPOP none
rpoplpush: $LISTS ; RPOPLPUSH a b ; RPOPLPUSH b b ; RPOPLPUSH none b
rpush: RPUSH a 1 ; RPUSH a 2 3
rpushx: RPUSHX a 1 ; RPUSH a 1 ; RPUSHX a 2
sadd: SADD a 1 ; SADD a 1 ; SADD a 1 2 ; SADD a x
sdiffstore: $SETS ; SDIFFSTORE c a b ; SDIFFSTORE c c c ; SDIFFSTORE c c c ; SDIFFSTORE s a none
set: SET a 1 ; SET a 2 ; SET a 3 EX 100 ; SET a 4 KEEPTTL ; SET a 4 NX ; SET none 4 XX ; SET a 5 XX GET ; SET b
    5 GET ; SET b 5 NX GET ; SET c 1 PXAT 1 ; GET c ; GET c ; SET c 1 EX 0 ; LPUSH l 1 ; SET l 1
setbit: SETBIT a 7 0 ; SETBIT a 7 1 ; SETBIT a 7 1 ; SETBIT a 99 0 ; SETBIT b 0 1
setex: SETEX a 100 v ; SETEX a 100 v ; SETEX a 0 v
setnx: SETNX a 1 ; SETNX a 1
setrange: SETRANGE a 0 x ; SETRANGE a 9 x ; SETRANGE a 0 '' ; SETRANGE none 0 '' ; SETRANGE b 5 x
sinterstore: $SETS ; SINTERSTORE c a b ; SINTERSTORE c a none ; SINTERSTORE c a none ; SINTERSTORE a s b
smove: $SETS ; SMOVE a b 1 ; SMOVE a b 1 ; SMOVE a b 3 ; SMOVE a new 2 ; SMOVE new new 2 ; SMOVE none a 1 ;
    SMOVE a s 1
sort: $LISTS ; SORT a STORE c ; SORT a STORE b ; SORT none STORE b ; SORT none STORE b ; SORT a BY w_* GET g_*
    STORE c
spop: $SETS ; SPOP a ; SPOP a 1 ; SPOP a ; SPOP b 9 ; SPOP none ; SPOP none 3 ; SADD a 1 2 3 ; SPOP a 3 ; SADD a
    1 ; SPOP a 0
srem: $SETS ; SREM a none ; SREM a 1 none ; SREM a 2 3 ; SREM a 1
sunionstore: $SETS ; SUNIONSTORE c a b none ; SUNIONSTORE c none ; SUNIONSTORE s a
swapdb: SET a 1 ; SWAPDB 0 1 ; GET a ; SELECT 1 ; APPEND a x
unlink: $LISTS ; UNLINK a none b
xack: $GROUP ; XREADGROUP GROUP g c STREAMS a > ; XACK a g 1-1 9-9 ; XACK none g 1-1
xadd: XADD a 1-1 f v ; XADD a 1-1 f v ; XADD a NOMKSTREAM 2-1 f v ; XADD none NOMKSTREAM 2-1 f v ; XADD a MAXLEN
    5 3-1 f v ; XADD a MAXLEN 2 4-1 f v ; XADD a MAXLEN 0 5-1 f v ; XADD b MAXLEN 0 5-1 f v ; XADD a MINID 7 6-1
    f v ; XADD a MAXLEN ~ 1 8-1 f v
xautoclaim: $GROUP ; XREADGROUP GROUP g c COUNT 3 STREAMS a > ; XDEL a 2-1 ; XAUTOCLAIM a g d 999999999 0 ;
    XAUTOCLAIM a g d 0 0 COUNT 1 ; XAUTOCLAIM a g d 0 0 ; XAUTOCLAIM none g d 0 0 ; XAUTOCLAIM none g d x 0
xclaim: $GROUP ; XREADGROUP GROUP g c COUNT 3 STREAMS a > ; XCLAIM a g d 0 9-9 ; XCLAIM a g d 999999999 1-1 ;
    XCLAIM a g d 0 1-1 ; XCLAIM a g e 0 4-1 FORCE JUSTID ; XCLAIM none g e 0 4-1
xdel: $STREAM ; XDEL a 9-9 ; XDEL a 1-1 1-1 ; XDEL a 2-1 3-1 4-1 ; XDEL a x ; XDEL none 1-1
xgroup|create: $STREAM ; XGROUP CREATE a g $ ; XGROUP CREATE a g $ ; XGROUP CREATE none g $ ; XGROUP CREATE b g
    $ MKSTREAM
xgroup|createconsumer: $GROUP ; XGROUP CREATECONSUMER a g c ; XGROUP CREATECONSUMER a g c ; XGROUP
    CREATECONSUMER a h c
xgroup|delconsumer: $GROUP ; XGROUP DELCONSUMER a g c ; XGROUP CREATECONSUMER a g c ; XGROUP DELCONSUMER a g c
xgroup|destroy: $GROUP ; XGROUP DESTROY a g ; XGROUP DESTROY a g ; XGROUP DESTROY none g
xgroup|setid: $GROUP ; XGROUP SETID a g 0 ; XGROUP SETID a h 0
xreadgroup: $GROUP ; XREADGROUP GROUP g c COUNT 1 STREAMS a > ; XREADGROUP GROUP g c STREAMS a 0 ; XREADGROUP
    GROUP g d STREAMS a 0 ; XREADGROUP GROUP g e NOACK STREAMS a > ; XREADGROUP GROUP g f STREAMS a > ;
    XREADGROUP GROUP g f STREAMS none > ; ? XREADGROUP GROUP g h BLOCK 0 STREAMS a > ; XADD a 7-1 f v ; ?
    XREADGROUP GROUP g h BLOCK 0 STREAMS a > ; DEL a
xsetid: $STREAM ; XSETID a 9-9 ; XSETID a 1-1 ; XSETID none 1-1
xtrim: $STREAM ; XTRIM a MAXLEN 9 ; XTRIM a MAXLEN 2 ; XTRIM a MINID 4 ; XTRIM a MAXLEN 0 ; XTRIM none MAXLEN 0
zadd: ZADD a 1 x ; ZADD a 1 x ; ZADD a 2 x ; ZADD a 1 x 2 y ; ZADD a 1 x 2 y ; ZADD a NX 5 x ; ZADD a XX CH 5 x
    ; ZADD none XX 5 x ; ZADD a GT 1 x ; ZADD a INCR 1 x ; ZADD a INCR 0 x ; ZADD a NX INCR 1 x ; ZADD b INCR 0
    x ; ZADD c GT 0 x
zdiffstore: $SCORED ; ZDIFFSTORE d 2 a b ; ZDIFFSTORE d 2 a a ; ZDIFFSTORE d 1 none ; ZDIFFSTORE s 1 c
zincrby: ZINCRBY a 1 x ; ZINCRBY a 0 x ; ZINCRBY a 1 x
zinterstore: $SCORED ; ZINTERSTORE d 2 a c ; ZINTERSTORE d 2 b c ; ZINTERSTORE d 2 a none ; ZINTERSTORE s 2 a a
zmpop: $SCORED ; ZMPOP 2 none a MIN COUNT 2 ; ZMPOP 1 a MAX ; ZMPOP 1 none MAX
zpopmax: $SCORED ; ZPOPMAX a ; ZPOPMAX a 0 ; ZPOPMAX a 9 ; ZPOPMAX a ; ZPOPMAX b
zpopmin: $SCORED ; ZPOPMIN a 2 ; ZPOPMIN a ; ZPOPMIN none
zrangestore: $SCORED ; ZRANGESTORE d a 0 1 ; ZRANGESTORE d a 9 9 ; ZRANGESTORE d a 9 9 ; ZRANGESTORE s a 0 -1 ;
    ZRANGESTORE a none 0 1
zrem: $SCORED ; ZREM a none ; ZREM a x none ; ZREM a y z ; ZREM a x
zremrangebylex: ZADD a 0 x 0 y ; ZREMRANGEBYLEX a [z + ; ZREMRANGEBYLEX a [y + ; ZREMRANGEBYLEX a - + ;
    ZREMRANGEBYLEX a - +
zremrangebyrank: $SCORED ; ZREMRANGEBYRANK a 9 9 ; ZREMRANGEBYRANK a 0 0 ; ZREMRANGEBYRANK a 0 -1
zremrangebyscore: $SCORED ; ZREMRANGEBYSCORE a 9 9 ; ZREMRANGEBYSCORE a 1 2 ; ZREMRANGEBYSCORE a -inf inf
zunionstore: $SCORED ; ZUNIONSTORE d 2 a c ; ZUNIONSTORE d 1 none ; ZUNIONSTORE d 1 none ; ZUNIONSTORE s 1 a
"""
# Commands that only read: what they miss, and what they find expired.
READS = """
strings: GET a ; MGET a b ; STRLEN a ; GETRANGE a 0 1 ; GETBIT a 0 ; BITCOUNT a ; BITPOS a 0 ; LCS a b
keys: EXISTS a b ; TOUCH a ; TYPE a ; TTL a ; PTTL a ; EXPIRETIME a ; DUMP a ; RANDOMKEY ; SCAN 0 ; KEYS *
looks: OBJECT ENCODING a ; OBJECT IDLETIME a ; OBJECT REFCOUNT a ; MEMORY USAGE a ; DEBUG OBJECT a ; DEBUG
    DIGEST
collections: HGET a f ; HGETALL a ; HSCAN a 0 ; LLEN a ; LRANGE a 0 1 ; LPOS a x ; SCARD a ; SINTER a b ; SSCAN
    a 0 ; SRANDMEMBER a ; SINTERCARD 2 a b ; SUNION a b ; SMISMEMBER a x
sorted sets: ZCARD a ; ZRANGE a 0 1 ; ZUNION 2 a b ; ZDIFF 2 a b ; ZINTERCARD 2 a b ; ZSCAN a 0 ; ZRANDMEMBER a
    ; GEOPOS a x ; GEOSEARCH a FROMLONLAT 0 0 BYRADIUS 1 m
streams: XLEN a ; XRANGE a - + ; XREAD STREAMS a b 0 0 ; XPENDING a g ; XINFO STREAM a ; XINFO GROUPS a
others: SORT a ; SORT_RO a ; BITFIELD_RO a GET u8 0 ; GEORADIUS_RO a 0 0 1 m ; WATCH a ; DBSIZE
"""


def parsed(text: str, preparations: dict[str, list[list[Word]]]) -> dict[str, list[list[Word]]]:
    """Requests by the name before them; a line that begins with a space goes on with the one before."""
    cases: dict[str, list[list[Word]]] = {}
    for line in text.strip().replace("\n ", " ").splitlines():
        name, _, requests = line.partition(": ")
        cases[name] = []
        for request in requests.split(" ; "):
            if request.startswith("$"):
                cases[name] += preparations[request[1:]]
            else:
                cases[name].append([SOUND[0] if word == "PAYLOAD" else word for word in shlex.split(request)])
    return cases


CASES = parsed(WRITES, parsed(PREPARATIONS, {}))
READING = parsed(READS, {})
# minikv removes a key that has expired when it is watched, Redis when something asks for its value.
EARLY = ["WATCH", "a"]  # fmt: skip


class Listening:
    """Sends requests to both servers, a listener of all events beside: `compare` says whether it has got the same."""

    def __init__(self, pair: ClientPair) -> None:
        self.pair = pair
        self.listener = pair.another(2)
        self.sender = pair.another(2)
        for client in (self.listener.subject, self.listener.oracle):
            client.call("PSUBSCRIBE __key*__:*")
            client.call("SUBSCRIBE sent")

    def send(self, request: Words) -> None:
        """Send a request; its reply is left alone. With a leading `?` another client sends it, which may wait."""
        sent = words(request)
        waits = sent[0] == b"?"
        pair = self.pair.another(2) if waits else self.sender
        for server, client, sender in zip(
            self.pair.servers,
            (pair.subject, pair.oracle),
            (self.sender.subject, self.sender.oracle),
            strict=True,
        ):
            if waits:
                client.send(sent[1:])
                server.barrier()
            else:
                client.call(sent)
            sender.call(("PUBLISH", "sent", repr(sent)))

    def compare(self, misses: bool = True) -> list[bytes]:
        """The events of both servers, which must be equal; between them the requests that they follow.

        misses: keymiss as well.
        """
        __tracebackhide__ = True
        for server in self.pair.servers:
            server.barrier()
        ours, theirs = (heard(client) for client in (self.listener.subject, self.listener.oracle))
        if not misses:
            ours, theirs = ([line for line in lines if b"keymiss" not in line] for lines in (ours, theirs))
        assert ours == theirs
        return ours


def heard(client: WireClient) -> list[bytes]:
    """What a listener has got: channel and message of each."""
    messages = [parse(message).payload for message in split(client.read_available()[0])]
    return [b" ".join(part.payload for part in parts[-2:]) for parts in messages]


@pytest.fixture(scope="module")
def noisy_servers(module_servers: Callable[..., tuple[Server, Server]]) -> tuple[Server, Server]:
    servers = module_servers(notify_keyspace_events="AKEmn", enable_debug_command="yes")
    for server in servers:
        server.call("DEBUG SET-ACTIVE-EXPIRE 0")
    return servers


@pytest.fixture
def listening(
    noisy_servers: tuple[Server, Server], connected: Callable[[tuple[Server, Server]], ClientPair]
) -> Iterator[Listening]:
    yield Listening(connected(noisy_servers))


def test_every_command_that_writes_has_a_case(minikv: Server) -> None:
    names = parse(minikv.call("COMMAND LIST")).payload
    described = parse(minikv.call(["COMMAND", "INFO", *(name.payload for name in names)])).payload
    writing = {entry.payload[0].payload.decode() for entry in described if b"write" in flags_of(entry)}
    of_redis = {name for name in writing if name.partition("|")[0] not in OWN_COMMANDS}
    assert of_redis - CASES.keys() == set()


def flags_of(entry: object) -> set[bytes]:
    return {flag.payload for flag in entry.payload[2].payload}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CASES)
def test_events_of_a_command(listening: Listening, name: str) -> None:
    for request in CASES[name]:
        listening.send(request)
    listening.compare()


@pytest.mark.parametrize("name", READING)
def test_what_is_missed(listening: Listening, name: str) -> None:
    for request in READING[name]:
        listening.send(request)
    listening.compare()


@pytest.mark.parametrize("name", [name for name in READING if name != "looks"])
def test_what_is_found_expired(listening: Listening, name: str) -> None:
    for request in [request for request in READING[name] if request != EARLY]:
        listening.send(f"SET a 1 PXAT {PAST_MS}")
        listening.send(request)
        listening.send("EXISTS a")
    listening.compare()


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("bl", "br", "bz"))])
def test_a_command_finds_its_keys_expired(listening: Listening, name: str) -> None:
    """The last requests of each case, which are those about the command itself, on keys whose time has passed."""
    for request in CASES[name][-3:]:
        if request[0] == "?":
            continue
        for key in "abs":
            listening.send(f"SET {key} 1 PXAT {PAST_MS}")
        listening.send(request)
    listening.compare()


LIBRARY = "#!lua name=l\nredis.register_function('f', function() redis.call('set', 'a', 1) end)"


@pytest.mark.parametrize(
    "requests",
    [
        ["MULTI", "SET a 1", "LPUSH l 1", "GET none", "LPOP l", "EXEC"],
        ["MULTI", "SET a 1", "LPUSH a 1", "SET b 1", "EXEC", "MULTI", "SET a 1", "DISCARD"],
        ["SET a 1", "WATCH a", "SET a 2", "MULTI", "SET a 3", "EXEC"],
        [f"SET a 1 PXAT {PAST_MS}", "WATCH b", "MULTI", "APPEND a x", "EXEC"],
        ["? BLPOP a b 0", "MULTI", "RPUSH b 1", "RPUSH a 1", "EXEC"],
        [("EVAL", "redis.call('set', 'a', 1) redis.call('publish', 'sent', 'x') redis.call('incr', 'a')", "1", "a")],
        [("EVAL", "redis.call('get', 'none') redis.pcall('lpush', KEYS[1], 1) redis.pcall('incr', KEYS[1])", "1", "a")],
        [f"SET a 1 PXAT {PAST_MS}", ("EVAL", "return redis.call('append', KEYS[1], 1)", "1", "a")],
        [("FUNCTION", "LOAD", LIBRARY), "FCALL f 0", "FUNCTION FLUSH"],
        ["? BLPOP a 0", ("EVAL", "redis.call('rpush', KEYS[1], 1) redis.call('set', 'b', 1)", "1", "a")],
        ["SELECT 3", "SET a 1", "SWAPDB 3 4", "DEL a", "SELECT 4", "DEL a"],
        ["DEBUG POPULATE 3 k 10", "DEBUG RELOAD", "FLUSHALL"],
    ],
)  # fmt: skip
def test_events_of_transactions_scripts_and_databases(listening: Listening, requests: list[Words]) -> None:
    for request in requests:
        listening.send(request)
    listening.compare()


@pytest.mark.parametrize("classes", [*"g$lshzxetdmn", "A", "mn", "", "gx$"])
@pytest.mark.parametrize("ways", ["K", "E", "KE", ""])
def test_classes_and_ways(listening: Listening, classes: str, ways: str) -> None:
    both = listening.sender
    both.assert_same(["CONFIG", "SET", "notify-keyspace-events", classes + ways])
    try:
        both.assert_same("CONFIG GET notify-keyspace-events")
        for request in [
            *("SET a 1 EX 100", "GET none", "RPUSH l 1", "LPOP l", "SADD s 1", "HSET h f v", "ZADD z 1 x"),
            *(f"XADD x 1-1 {FIELD}", f"SET e 1 PXAT {PAST_MS}", "GET e", "RENAME a b", "PFADD p 1"),
        ]:
            listening.send(request)
        listening.compare()
    finally:
        both.assert_same("CONFIG SET notify-keyspace-events AKEmn")


@pytest.mark.parametrize(
    "classes", ["KEA", "gxeE$", "AnK", "mKxx", "q", "Kq", "", "lshzxetdg$", "dtK", "k", "nE", "EnmAK"]
)
def test_the_normal_form(listening: Listening, classes: str) -> None:
    both = listening.sender
    both.assert_same(["CONFIG", "SET", "notify-keyspace-events", classes], "CONFIG GET notify-keyspace-events")
    both.assert_same("CONFIG SET notify-keyspace-events AKEmn", "CONFIG GET notify-keyspace-events")


def test_events_of_one_s_own_come_before_the_reply(listening: Listening) -> None:
    own = listening.pair.another(3)
    own.assert_same("SUBSCRIBE __keyspace@0__:a")
    requests = [encode(request) for request in ("SET a 1", "MULTI", "INCR a", "PING", "DEL a", "EXEC", "PING")]
    own.assert_same_raw(*requests)


def test_active_expiry(listening: Listening) -> None:
    """Keys that nobody asks for: the events come all the same, if not at the same moment."""
    servers = listening.pair.servers
    for number in range(3):
        listening.send(f"SET {number} v PXAT {PAST_MS}")
    listening.compare()
    try:
        for server, client in zip(servers, (listening.listener.subject, listening.listener.oracle), strict=True):
            server.call("DEBUG SET-ACTIVE-EXPIRE 1")
            messages = sorted(parse(client.read()).payload[-1].payload for _ in range(6))
            assert messages == [b"0", b"1", b"2", b"expired", b"expired", b"expired"]
    finally:
        for server in servers:
            server.call("DEBUG SET-ACTIVE-EXPIRE 0")


def test_eviction(listening: Listening) -> None:
    """Of the only key that may go; when exactly, Redis leaves open, so the order beside requests is not compared."""
    both = listening.sender
    for request in ("SET a 1", "SET v 1 EX 100", "CONFIG SET maxmemory-policy volatile-ttl", "CONFIG SET maxmemory 1"):
        listening.send(request)
    try:
        for request in ("SET a 2", "EXISTS v", "GET v"):
            listening.send(request)
        for server in listening.pair.servers:
            server.barrier()
        ours, theirs = (heard(client) for client in (listening.listener.subject, listening.listener.oracle))
        ours, theirs = ([line for line in lines if not line.startswith(b"sent ")] for lines in (ours, theirs))
        assert ours == theirs
        assert b"__keyevent@0__:evicted v" in ours
    finally:
        both.assert_same("CONFIG SET maxmemory 0 maxmemory-policy noeviction")


any_command = st.one_of(
    command,
    string_command,
    bit_command,
    key_command,
    hash_command,
    set_command,
    list_command,
    stream_command,
    hyperloglog_command,
    geo_command,
    transaction_command,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(commands=st.lists(any_command, max_size=40))
def test_random_commands(listening: Listening, commands: list[list[Word]]) -> None:
    listening.sender.assert_same("FLUSHALL")
    for request in itertools.chain(commands, ["DISCARD", "SELECT 0"]):
        listening.send(request)
    # Which keys a request that fails has asked for before is no promise of Redis's.
    listening.compare(misses=False)

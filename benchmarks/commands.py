"""Does every command cost what it costs in Redis, and grow as it does there?

Each request of the table below, on data of three sizes (elements, keys, pending entries, consumers, groups, clients,
patterns or arguments: see its scene), on each server in turns: CPU time of the server's main thread per request. A
ratio above 2 is marked `>2`; `grows` marks a request whose time grows from one size to the next at least 3 times as
much as on the reference server.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from statistics import median

from benchmarks import processes
from benchmarks.client import Client, ReplyError, encode
from benchmarks.options import Options
from benchmarks.report import Figure, Report, number
from benchmarks.servers import Server, all_running, in_turns

SIZES = (10, 1000, 100_000)
# Each client is a socket here and there: more of them meet the limit of open files.
CLIENT_SIZES = (10, 1000)
# One sample is a batch of equal requests in one pipeline, of about this much CPU time, but no more requests than these.
SAMPLE_S = 0.004
SAMPLE_REQUESTS = 64
PREPARED_REQUESTS = 8
# What prepares a request takes its time, too, on large data.
LARGE = 10_000
LOAD_ARGUMENTS = 500
LOAD_REQUESTS = 100
SLOW = 2.0
GROWING = 3.0
# Below this, what a request costs is the way through the server: its growth says nothing.
SHORTEST_US = 3.0
SETTLE_S = 0.001

# For scenes with scripts: words have no blanks.
LIBRARY = (
    "#!lua name=lib\nredis.register_function{function_name='f', callback=function() return 1 end, flags={'no-writes'}}"
)
SHA = hashlib.sha1(b"return(1)").hexdigest()

Request = tuple[bytes | str | int, ...]
Fill = Callable[[Server, int], None]


def batches(start: Sequence[str | int], words: Iterator[str | int], step: int = 1) -> Iterator[Request]:
    """The same command again and again, each time with the next of the words, `step` of which belong together."""
    batch: list[str | int] = []
    for word in words:
        batch.append(word)
        if len(batch) == LOAD_ARGUMENTS // step * step:
            yield (*start, *batch)
            batch = []
    if batch:
        yield (*start, *batch)


def members(size: int) -> Iterator[str | int]:
    return (f"e:{each}" for each in range(size))


def paired(size: int, member_first: bool = True) -> Iterator[str | int]:
    """Members with a number each."""
    for each in range(size):
        yield from (f"e:{each}", each) if member_first else (each, f"e:{each}")


def load(client: Client, requests: Iterator[Request]) -> None:
    while batch := [encode(*request) for request in islice(requests, LOAD_REQUESTS)]:
        client.pipeline([(b"".join(batch), len(batch))])


def elements(server: Server, size: int) -> None:
    """A value of each type; `i` and `num` hold integers, `str` one byte for each element."""
    client = server.client()
    for key in ("l", "l2"):
        load(client, batches(["RPUSH", key], members(size)))
    load(client, batches(["RPUSH", "num"], (7919 * each % size for each in range(size))))
    load(client, batches(["RPUSH", "big"], ("b" * 100_000 for _ in range(min(size, 100)))))
    for key in ("s", "s2"):
        load(client, batches(["SADD", key], members(size)))
    load(client, batches(["SADD", "i"], iter(range(size))))
    load(client, batches(["HSET", "h"], paired(size), 2))
    for key in ("z", "z2"):
        load(client, batches(["ZADD", key], paired(size, False), 2))
    load(client, batches(["GEOADD", "geo"], (w for e in range(size) for w in (e % 170, e % 80, f"e:{e}")), 3))
    load(client, iter([("SET", "str", "v" * size), ("SET", "str2", "w" * size), ("SET", "n", 1)]))
    load(client, batches(["PFADD", "pf"], members(size)))
    load(client, batches(["MSET"], (word for each in range(size) for word in (f"w:{7919 * each % size}", each)), 2))


def keys(server: Server, size: int) -> None:
    load(server.client(), batches(["MSET"], paired(size), 2))


def timed_fields(server: Server, size: int) -> None:
    """A hash whose fields all expire, each at another time."""
    client = server.client()
    load(client, batches(["HSET", "h"], paired(size), 2))
    load(client, (("HEXPIRE", "h", 100_000 + each, "FIELDS", 1, f"e:{each}") for each in range(size)))


def entries(server: Server, size: int) -> None:
    """Stream x: its entries, all pending in group g for consumer c; group idle has none."""
    client = server.client()
    load(client, (("XADD", "x", f"{each + 1}-1", "field", each) for each in range(size)))
    client.command("XGROUP", "CREATE", "x", "g", 0)
    client.command("XGROUP", "CREATE", "x", "idle", 0)
    for _ in range(0, size, LOAD_ARGUMENTS):
        client.command("XREADGROUP", "GROUP", "g", "c", "COUNT", LOAD_ARGUMENTS, "STREAMS", "x", ">")


def consumers(server: Server, size: int) -> None:
    """Stream x of 1,000 entries, group g of so many consumers, the first of which has ten entries pending."""
    client = server.client()
    load(client, (("XADD", "x", f"{each + 1}-1", "field", each) for each in range(1000)))
    client.command("XGROUP", "CREATE", "x", "g", 0)
    load(client, (("XGROUP", "CREATECONSUMER", "x", "g", f"e:{each}") for each in range(size)))
    client.command("XREADGROUP", "GROUP", "g", "e:0", "COUNT", 10, "STREAMS", "x", ">")


def groups(server: Server, size: int) -> None:
    """Stream x of one entry, with so many groups."""
    client = server.client()
    client.command("XADD", "x", "1-1", "field", 1)
    load(client, (("XGROUP", "CREATE", "x", f"e:{each}", 0) for each in range(size)))


def clients(server: Server, size: int) -> None:
    for _ in range(size):
        server.client()


def workers(server: Server, size: int) -> None:
    """So many clients that wait in group g of stream x, each as its own consumer."""
    server.client().command("XGROUP", "CREATE", "x", "g", "$", "MKSTREAM")
    for each in range(size):
        server.client().send("XREADGROUP", "GROUP", "g", f"e:{each}", "BLOCK", 0, "STREAMS", "x", ">")


def readers(server: Server, size: int) -> None:
    """So many clients that wait for stream x."""
    server.client().command("XADD", "x", "1-1", "field", 1)
    for _ in range(size):
        server.client().send("XREAD", "BLOCK", 0, "STREAMS", "x", "$")


def listeners(server: Server, size: int) -> None:
    """So many clients that have subscribed to channel a and to a shard channel."""
    for _ in range(size):
        client = server.client()
        client.command("SUBSCRIBE", "a")
        client.command("SSUBSCRIBE", "s")


def patterns(server: Server, size: int) -> None:
    """One client with so many patterns, all with other beginnings."""
    client = server.client()
    for start in range(0, size, LOAD_ARGUMENTS):
        names = [f"e:{each}.*" for each in range(start, min(size, start + LOAD_ARGUMENTS))]
        client.send("PSUBSCRIBE", *names)
        for _ in names:
            client.receive()


def scripts(server: Server, size: int) -> None:
    """So many scripts that were loaded, one of them `return(1)`, and a library with the function f."""
    client = server.client()
    load(client, (("SCRIPT", "LOAD", f"return({each})") for each in range(size)))
    client.command("FUNCTION", "LOAD", LIBRARY)


# Scene: how it is filled, its sizes, its requests. {n}: the size, {half}, {last}; {i}: another number each time;
# e*: the elements as arguments, e=*: with a value each, =e*: the value first. Before `;` stands what is not measured.
SCENES: dict[str, tuple[Fill, Sequence[int], str]] = {
    "elements": (elements, SIZES, """
        LLEN l | LINDEX l {half} | LSET l {half} v | LRANGE l 0 9 | LRANGE l {half} {half} | LRANGE l 0 -1 | LPUSH l v
        RPUSH l v | LPUSHX l v | RPUSHX l v | RPUSH l v ; LPOP l | LPUSH l v ; RPOP l | LMOVE l l LEFT RIGHT
        RPOPLPUSH l l | RPUSH l v ; LMPOP 1 l LEFT | LPOS l e:{half} | LINSERT l BEFORE e:1 v
        RPUSH l z ; LREM l -1 z | LPUSH l z ; LREM l 1 z | LREM l -1 none | LREM l 0 none
        COPY l t REPLACE ; LTRIM t {half} -1 | COPY l t REPLACE ; DEL t | COPY l t REPLACE ; UNLINK t
        DEL t ; RPUSH t e* | DEL t ; LPUSH t e* | LPUSH big {big} | RPUSH l v ; BLPOP l 0 | LPUSH l v ; BRPOP l 0
        RPUSH l v ; BLMPOP 0 1 l LEFT | BLMOVE l l LEFT RIGHT 0 | BRPOPLPUSH l l 0 | SCARD s | SISMEMBER s e:1
        SMISMEMBER s e:1 none | SMISMEMBER s e* | SMEMBERS s | SRANDMEMBER s | SRANDMEMBER s 10 | SRANDMEMBER s -10
        SADD s a:{i} | SREM s a:{i} | SADD s a ; SPOP s | SADD s a ; SMOVE s s2 a | SSCAN s 0 | SINTER s s2
        SINTER s none | SINTERCARD 2 s s2 | SINTERCARD 2 s s2 LIMIT 1 | SUNION s s2 | SDIFF s s2 | SINTERSTORE t s s2
        SUNIONSTORE t s s2 | SDIFFSTORE t s s2 | COPY s t REPLACE ; UNLINK t | COPY s t REPLACE ; DEL t
        DEL t ; SADD t e* | HLEN h | HGET h e:1 | HMGET h e:1 none | HMGET h e* | HSET h e:1 v | HMSET h e:1 v
        HSETNX h a:{i} v | HDEL h a:{i} | HINCRBY h n 1 | HINCRBYFLOAT h n 1 | HEXISTS h e:1 | HSTRLEN h e:1
        HGETALL h | HKEYS h | HVALS h | HRANDFIELD h | HRANDFIELD h 10 WITHVALUES | HSCAN h 0
        COPY h t REPLACE ; UNLINK t | DEL t ; HSET t e=* | ZCARD z | ZSCORE z e:1 | ZMSCORE z e:1 none
        ZADD z {i} e:1 | ZINCRBY z 1 e:1 | ZREM z a:{i} | ZRANK z e:{half} | ZREVRANK z e:{half}
        ZRANK z e:{half} WITHSCORE | ZCOUNT z 1 {half}
        ZLEXCOUNT z - + | ZRANGE z 0 9 | ZRANGE z 0 -1 WITHSCORES | ZREVRANGE z 0 9
        ZRANGEBYSCORE z {half} +inf LIMIT 0 10 | ZREVRANGEBYSCORE z {half} 0 LIMIT 0 10 | ZRANGEBYLEX z - + LIMIT 0 10
        ZREVRANGEBYLEX z + - LIMIT 0 10 | ZRANGESTORE t z 0 9 | ZRANDMEMBER z | ZRANDMEMBER z 10 | ZSCAN z 0
        ZADD z 0 a ; ZPOPMIN z | ZADD z +inf a ; ZPOPMAX z | ZADD z 0 a ; ZMPOP 1 z MIN | ZADD z 0 a ; BZPOPMIN z 0
        ZADD z +inf a ; BZPOPMAX z 0 | ZADD z 0 a ; BZMPOP 0 1 z MIN | ZREMRANGEBYSCORE z -2 -1
        ZADD z 0 a ; ZREMRANGEBYRANK z 0 0 | ZREMRANGEBYLEX z [a [b | ZUNION 2 z z2 | ZINTER 2 z z2 | ZDIFF 2 z z2
        ZINTERCARD 2 z z2 | ZINTERCARD 2 z z2 LIMIT 1 | ZUNIONSTORE t 2 z z2 | ZINTERSTORE t 2 z z2
        ZDIFFSTORE t 2 z z2 | COPY z t REPLACE ; UNLINK t | DEL t ; ZADD t =e* | GEOADD geo 1 1 a
        GEODIST geo e:1 e:2 | GEOHASH geo e:1 | GEOPOS geo e:1 | GEOSEARCH geo FROMLONLAT 1 1 BYRADIUS 100 km
        GEOSEARCHSTORE t geo FROMLONLAT 1 1 BYRADIUS 100 km | GEORADIUS geo 1 1 100 km | GEORADIUS_RO geo 1 1 100 km
        GEORADIUSBYMEMBER geo e:1 100 km | GEORADIUSBYMEMBER_RO geo e:1 100 km | GET str | SET t v
        GETRANGE str {half} {half} | SUBSTR str 0 9 | SETRANGE str {half} v | APPEND t v | STRLEN str | GETBIT str {n}
        SETBIT str {n} 1 | BITCOUNT str | BITPOS str 0 | BITOP AND t str str2 | BITFIELD str GET u8 {n}
        BITFIELD_RO str GET u8 {n} | LCS str n | INCR n | DECR n | INCRBY n 2 | DECRBY n 2 | INCRBYFLOAT n 1
        GETSET t v | SET t v ; GETDEL t | GETEX n PERSIST | SETEX t 100 v | PSETEX t 100000 v | SETNX n 1 | MSETNX n 1
        GET none | PFADD pf a:{i} | PFCOUNT pf | PFMERGE t pf | SORT num | SORT num DESC LIMIT 0 10 | SORT l ALPHA
        SORT num BY w:* | SORT num BY nosort GET w:* | SORT_RO num | SORT num STORE t | TYPE l | OBJECT ENCODING l
        OBJECT ENCODING s | OBJECT ENCODING i | OBJECT ENCODING h | OBJECT ENCODING z | OBJECT IDLETIME z
        OBJECT REFCOUNT z | MEMORY USAGE l | MEMORY USAGE h | DUMP l | DUMP s | DUMP h | DUMP z | COPY l t REPLACE
        COPY h t REPLACE | RENAME l l | RENAMENX l l2 | EXPIRE l 1000 | EXPIREAT l 9999999999 | PEXPIRE l 100000
        PEXPIREAT l 9999999999999 | TTL l | PTTL l | EXPIRETIME l | PEXPIRETIME l | PERSIST l | TOUCH l | EXISTS l
    """),
    "keys": (keys, SIZES, """
        PING | ECHO v | TIME | DBSIZE | RANDOMKEY | SCAN 0 | KEYS * | KEYS e:1 | EXISTS e* | TOUCH e* | MGET e*
        MSET e=* | PFADD pf e* | PFCOUNT e:none none | DEL none* | UNLINK none* | SUNION none* | SINTER none* | INFO
        INFO keyspace | CONFIG GET * | CONFIG GET maxmemory | COMMAND COUNT | COMMAND INFO get | COMMAND LIST
        COMMAND DOCS get | COMMAND GETKEYS MSET e=* | LASTSAVE | ROLE | SELECT 0 | SWAPDB 0 1 ; SWAPDB 0 1
        MOVE none 1 | LATENCY LATEST | LATENCY HISTORY command | LATENCY RESET command | LATENCY HISTOGRAM get
        SLOWLOG LEN | SLOWLOG GET | MEMORY STATS | MEMORY DOCTOR | ACL WHOAMI | ACL USERS | ACL LIST | ACL CAT | ACL LOG
        ACL SETUSER u on >p ~e:* &e:* +@read | ACL SETUSER u ; ACL DELUSER u | ACL GETUSER default | ACL GENPASS
        ACL DRYRUN default GET e:1 | ACL LOAD | ACL SAVE
        MODULE LIST | WATCH e:1 | UNWATCH | CLIENT ID | CLIENT GETNAME | CLIENT INFO | CLIENT SETNAME v
        OBJECT FREQ none | READWRITE | MULTI ; DISCARD | MULTI ; EXEC | CONFIG REWRITE
        COMMAND GETKEYSANDFLAGS SET e:1 v | LATENCY DOCTOR | LATENCY GRAPH command | SLOWLOG RESET
        MEMORY MALLOC-STATS | MEMORY PURGE | CLIENT NO-EVICT off | CLIENT NO-TOUCH off | CLIENT TRACKINGINFO
        CLIENT GETREDIR | CLIENT TRACKING on ; GET e:1 ; CLIENT TRACKING off | CLIENT TRACKING on OPTIN ; RESET
        CLIENT TRACKING on OPTIN ; CLIENT CACHING yes ; CLIENT TRACKING off
        CLIENT REPLY ON | CLIENT UNPAUSE | CLIENT PAUSE 0 | CLIENT SETINFO LIB-NAME v | COMMAND
        CONFIG SET maxmemory 0 | CONFIG RESETSTAT | WAIT 0 1 | WAITAOF 0 0 1 | FAILOVER ABORT
        LOLWUT | HELLO | RESET | REPLICAOF NO ONE
        BITFIELD t {fields} | BLPOP e:absent* 0.001
    """),
    "timed fields": (timed_fields, SIZES, """
        HEXPIRE h 100000 FIELDS 1 e:1 | HPEXPIRE h 100000000 GT FIELDS 1 e:1 | HEXPIREAT h 9999999999 FIELDS 1 e:1
        HPEXPIREAT h 9999999999999 FIELDS 1 e:1 | HTTL h FIELDS 1 e:1 | HPTTL h FIELDS 1 e:1
        HEXPIRETIME h FIELDS 1 e:1 | HPEXPIRETIME h FIELDS 1 e:1 | HPERSIST h FIELDS 1 e:{i}
        HGETEX h EX 100000 FIELDS 1 e:1 | HSETEX h EX 100000 FIELDS 1 e:1 v | HSETEX h KEEPTTL FIELDS 1 e:1 v
        HSET h e:1 v ; HGETDEL h FIELDS 1 e:1 | HGET h e:{half} | HSET h e:1 v | HDEL h e:{i}
        HINCRBY h n 1 | HLEN h | HGETALL h | HRANDFIELD h | HSCAN h 0 | DUMP h | MEMORY USAGE h
        COPY h t REPLACE | COPY h t REPLACE ; UNLINK t
    """),
    "entries": (entries, SIZES, """
        XLEN x | XRANGE x - + COUNT 10 | XRANGE x {half} {half} | XREVRANGE x + - COUNT 10 | XRANGE x - +
        XREAD COUNT 10 STREAMS x {half} | XREAD STREAMS x $ | XADD x * f v | XADD x MAXLEN ~ {n} * f v
        XADD x NOMKSTREAM * f v | XTRIM x MAXLEN ~ {n} | XDEL x {i}-7 | XSETID x 9999999999999-0 | XINFO STREAM x
        XINFO STREAM x FULL | XINFO GROUPS x | XINFO CONSUMERS x g | XPENDING x g | XPENDING x g - + 10
        XPENDING x g IDLE 10000000 - + 10 | XPENDING x g - + 10 c | XPENDING x g IDLE 10000000 - + 10 c | XACK x g 0-1
        XCLAIM x g c 0 {half}-1 JUSTID | XCLAIM x g d 0 {i}-1 | XAUTOCLAIM x g c 0 {half} COUNT 10
        XAUTOCLAIM x g c 10000000 0 COUNT 10 | XREADGROUP GROUP g c COUNT 10 STREAMS x 0
        XREADGROUP GROUP idle d COUNT 1 STREAMS x > | XGROUP SETID x g $ | XGROUP CREATECONSUMER x g c:{i}
        XGROUP DELCONSUMER x g c:{i} | DUMP x | OBJECT ENCODING x | COPY x t REPLACE ; XTRIM t MAXLEN {half}
        COPY x t REPLACE ; XTRIM t MINID {half} | COPY x t REPLACE | COPY x t REPLACE ; DEL t
        COPY x t REPLACE ; XGROUP DELCONSUMER t g c | COPY x t REPLACE ; XGROUP DESTROY t g
        COPY x t REPLACE ; UNLINK t | COPY x t REPLACE ; XAUTOCLAIM t g c 0 0 COUNT {n} JUSTID | XACK x g {i}-1
    """),
    "consumers": (consumers, (10, 1000, 10_000), """
        XREADGROUP GROUP g e:1 COUNT 1 STREAMS x > | XREADGROUP GROUP g e:0 COUNT 10 STREAMS x 0 | XACK x g 0-1
        XCLAIM x g e:{last} 0 1-1 | XCLAIM x g e:1 0 1-1 JUSTID | XAUTOCLAIM x g e:{half} 0 0 COUNT 10 | XPENDING x g
        XPENDING x g - + 10 | XPENDING x g - + 10 e:0 | XGROUP CREATECONSUMER x g c:{i} | XGROUP DELCONSUMER x g c:{i}
        XGROUP SETID x g $ | XINFO CONSUMERS x g | XINFO GROUPS x | XINFO STREAM x | XINFO STREAM x FULL
        XADD x * f v | DUMP x | COPY x t REPLACE | XGROUP CREATE x other:{i} 0 | XACK x g {i}-1
    """),
    "groups": (groups, SIZES[:2], """
        XGROUP CREATE x g:{i} 0 | XGROUP DESTROY x g:{i} | XGROUP SETID x e:{half} $
        XGROUP CREATECONSUMER x e:{half} c:{i} | XREADGROUP GROUP e:{half} c COUNT 1 STREAMS x > | XACK x e:{half} 1-1
        XADD x * f v | XINFO GROUPS x | XPENDING x e:1
    """),
    "clients": (clients, CLIENT_SIZES, """
        CLIENT LIST | CLIENT LIST ID 1 | CLIENT KILL ID 999999 | CLIENT UNBLOCK 999999 | CLIENT INFO | INFO clients
        PING | CLIENT KILL ADDR 1.1.1.1:1
    """),
    "listeners": (listeners, CLIENT_SIZES, """
        PUBLISH a v | PUBLISH none v | SPUBLISH s v | PUBSUB CHANNELS | PUBSUB NUMSUB a | PUBSUB SHARDCHANNELS
        PUBSUB SHARDNUMSUB s | UNSUBSCRIBE none | SUNSUBSCRIBE none
    """),
    "patterns": (patterns, SIZES, "PUBLISH e:1.x v | PUBSUB NUMPAT | PUNSUBSCRIBE none"),
    "scripts": (scripts, SIZES[:2], """
        EVAL return(1) 0 | EVAL_RO return(1) 0 | EVAL return(redis.call('get',KEYS[1])) 1 n | EVALSHA {sha} 0
        EVALSHA_RO {sha} 0 | EVAL return({i}) 0 | SCRIPT EXISTS {sha} | SCRIPT LOAD return({i}) | SCRIPT KILL
        SCRIPT DEBUG NO | FCALL f 0 | FCALL_RO f 0 | FUNCTION LIST | FUNCTION STATS | FUNCTION DUMP | FUNCTION KILL
        FUNCTION LOAD REPLACE {library} | FUNCTION DELETE none | FUNCTION RESTORE none
        FUNCTION LOAD REPLACE {library} ; FUNCTION FLUSH | SCRIPT FLUSH
    """),
    "workers": (workers, CLIENT_SIZES, "XADD x * f v"),
    "readers": (readers, CLIENT_SIZES, "XADD x * f v"),
}  # fmt: skip

# Commands that need another protocol state, a file, a peer or the end of the server; DEBUG is a family of its own.
NOT_SWEPT = {
    "asking", "auth", "bgsave", "cluster", "debug", "flushall", "flushdb", "migrate", "module",
    "monitor", "pfdebug", "pfselftest", "psubscribe", "psync", "quit", "readonly", "readwrite", "replconf", "restore",
    "restore-asking", "save", "shutdown", "slaveof", "snapshot", "ssubscribe", "subscribe", "sync",
}  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """One request of a scene, and what is sent before each time it is measured."""

    scene: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.scene}: {self.text}"

    @property
    def prepared(self) -> bool:
        return ";" in self.text

    def requests(self, size: int, number: int) -> list[Request]:
        """The request, behind those that prepare it, for the number-th time."""
        return [expanded(part, size, number) for part in self.text.split(";")]


def expanded(text: str, size: int, number: int) -> Request:
    """The words of a request."""
    words: list[bytes | str | int] = []
    for word in text.split():
        if word == "{fields}":
            words += [part for each in range(size) for part in ("GET", "u8", each)]
        elif word == "{library}":
            words.append(LIBRARY)
        elif word == "{big}":
            words.append("b" * 100_000)
        elif word in ("e=*", "=e*"):
            words += paired(size, word == "e=*")
        elif len(word) > 1 and word.endswith("*") and not word.startswith("w:"):
            words += [f"{word[:-1]}:{each}" for each in range(size)]
        else:
            values = {"n": size, "half": size // 2, "last": size - 1, "i": number, "sha": SHA}
            words.append(word.format(**values))
    return tuple(words)


def workloads() -> list[Workload]:
    return [
        Workload(scene, " ".join(text.split()))
        for scene, (_, _, texts) in SCENES.items()
        for line in texts.strip().splitlines()
        for text in line.split("|")
    ]


@dataclass
class Sweep(Report):
    """Its table has a row for each request and a column for each size."""

    def markdown(self) -> str:
        reference, *others = self.servers
        return "\n\n".join(self.table(other, reference) for other in others)

    def table(self, server: str, reference: str) -> str:
        names = list(dict.fromkeys(figure.name.rpartition(", ")[0] for figure in self.figures))
        columns = ["small", "medium", "large"]
        rows = [
            "| "
            + " | ".join(
                ["", *(f"{name}: us and times {reference}'s" for name in columns), f"growth ({reference}'s)", ""]
            )
            + " |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
        ]
        marked = 0
        for name in names:
            figures = [figure for figure in self.figures if figure.name.rpartition(", ")[0] == name]
            if all(server in figure.samples and reference in figure.samples for figure in figures):
                marks = marks_of(figures, server, reference)
                marked += bool(marks)
                rows.append(row(name, figures, server, reference, len(columns), marks))
        return "\n".join([*rows, "", f"{marked} of {len(names)} requests are marked"])


def row(name: str, figures: list[Figure], server: str, reference: str, columns: int, marks: list[str]) -> str:
    cells = [
        f"{number(median(figure.samples[server]))} ({figure.ratio(server, reference) or 0:.2f})" for figure in figures
    ]
    cells += [""] * (columns - len(cells))
    pairs = zip(growth(figures, server), growth(figures, reference), strict=True)
    grown = ", ".join(f"{mine:.1f} ({theirs:.1f})" for mine, theirs in pairs)
    return "| " + " | ".join([f"`{name}`", *cells, grown, " ".join(marks)]) + " |"


def growth(figures: Sequence[Figure], server: str) -> list[float]:
    """How much longer the request takes, from each size to the next."""
    times = [max(median(figure.samples[server]), SHORTEST_US) for figure in figures]
    return [larger / smaller for smaller, larger in pairwise(times)]


def marks_of(figures: Sequence[Figure], server: str, reference: str) -> list[str]:
    marks = []
    if any((figure.ratio(server, reference) or 0) > SLOW for figure in figures):
        marks.append(">2")
    pairs = zip(growth(figures, server), growth(figures, reference), strict=True)
    if any(mine > GROWING * theirs for mine, theirs in pairs):
        marks.append("grows")
    return marks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="TEXT", default="", help="requests that contain it, such as a command's name")


def run(options: Options, only: str = "") -> Report:
    return sweep(options, [workload for workload in workloads() if only in workload.text])


def sweep(options: Options, chosen: Sequence[Workload]) -> Report:
    report = Sweep(**vars(options.report("commands", __doc__)))
    for scene, (fill, sizes, _) in SCENES.items():
        requests = [workload for workload in chosen if workload.scene == scene]
        for size in dict.fromkeys(options.scaled(size) for size in sizes) if requests else ():
            with all_running(options.servers, options.directory) as servers:
                for server in servers:
                    fill(server, size)
                for workload in requests:
                    measure(servers, workload, size, report, options)
    return report


def measure(servers: Sequence[Server], workload: Workload, size: int, report: Report, options: Options) -> None:
    """Samples of one request; the reference decides how many requests a sample has."""
    clients = {server.name: server.client() for server in servers}
    first = max(1e-6 + sample(server, clients[server.name], workload, size, 0, 1) for server in servers)
    most = SAMPLE_REQUESTS
    if workload.prepared:
        most = PREPARED_REQUESTS if size < LARGE else 1
    count = min(max(int(SAMPLE_S / first), 1), most)
    for turn in range(options.rounds):
        for server in in_turns(servers, turn):
            used = sample(server, clients[server.name], workload, size, 1 + turn * count, count)
            report.add(f"{workload.name}, {size}", "us", server.name, 1e6 * used / count)


def sample(server: Server, client: Client, workload: Workload, size: int, start: int, count: int) -> float:
    """CPU seconds of the server for so many requests."""
    batch = [workload.requests(size, start + each) for each in range(count)]
    if not workload.prepared:
        return spent(server, client, b"".join(encode(*request) for (request,) in batch), count)
    used = 0.0
    for *before, request in batch:
        for preparing in before:
            exchange(client, encode(*preparing), 1)
        used += spent(server, client, encode(*request), 1)
    return used


def spent(server: Server, client: Client, requests: bytes, count: int) -> float:
    time.sleep(SETTLE_S)
    before = processes.thread_run_s(server.pid)
    exchange(client, requests, count)
    time.sleep(SETTLE_S)
    return processes.thread_run_s(server.pid) - before


def exchange(client: Client, requests: bytes, count: int) -> None:
    """Send requests and read their replies, which may be errors: in a sweep some data is used up."""
    client.socket.sendall(requests)
    for _ in range(count):
        with contextlib.suppress(ReplyError):
            client.receive()

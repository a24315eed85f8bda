"""Random commands for hypothesis: valid ones, nearly valid ones, and words that lie at the edges."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from tests.harness.payloads import REFUSED, SOUND
from tests.harness.wire import Word

T = TypeVar("T")

KEYS = [b"a", b"b", b"c", b"{a}", b"", b"long key " * 8]
key = st.sampled_from(KEYS)
database = st.sampled_from(["0", "1", "2", "15", "16", "-1", "x"])
small = st.integers(-20, 40).map(str)
integer = st.one_of(
    small,
    st.sampled_from(["9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615"]),
    st.sampled_from(["4294967296", "536870912", "2147483648", "007", "+1", "1.0", "1e3", " 1", "", "x", "-0", "0x10"]),
)
decimal = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.sampled_from(["3.0e3", "-5.5", "0.1", "inf", "-inf", "nan", "1e400", "1e-5", " 1.5", "1.5 ", "0x1p3", "", "x"]),
    integer,
)
value = st.one_of(
    st.binary(max_size=12),
    integer,
    decimal,
    st.sampled_from([b"x" * 44, b"x" * 45, b"\xff" * 100, b"ab" * 3000, b"hello world"]),
)
offset = st.one_of(
    small, st.sampled_from(["0", "4294967295", "4294967296", "-4294967296", "1000", "x", "9223372036854775807"])
)
# Times are far in the future or in the past, so that the two servers' clocks cannot disagree within a test.
seconds = st.sampled_from(
    ["100", "1000", "-1", "0", "x", "9223372036854775807", "9223372036854776", "-9223372036854775808", "1.5"]
)
# SET keeps a key whose time is past until somebody looks: then DBSIZE would depend on the servers' active expiry.
moment_to_come = st.sampled_from(["0", "-1", "33177117420", "9223372036854775", "9223372036854775807", "x"])
moment_to_come_ms = st.sampled_from(["33177117420000", "9223372036854775807", "-5", "x"])
moment = st.sampled_from(["1", "0", "-1", "33177117420", "9223372036854775", "9223372036854775807", "x"])
moment_ms = st.sampled_from(["1", "33177117420000", "9223372036854775807", "-5", "x"])
condition = st.sampled_from(["NX", "XX", "GT", "LT", "nx", "GET", "KEEPTTL", "nonesuch"])
field_type = st.sampled_from(["u8", "i8", "u1", "i64", "u63", "u64", "i5", "u0", "i65", "x8", "8", "u"])
field_offset = st.sampled_from(["0", "8", "#0", "#1", "#3", "7", "100", "-1", "#-1", "x", "4294967296"])
pattern = st.sampled_from(["*", "a", "?", "[ab]", "{*", "", "\\a", "[^a]", "[a-c]", "*b*", "[", "nonesuch"])
alignment = st.sampled_from(["BYTE", "BIT", "byte", "x"])


def call(*parts: object) -> st.SearchStrategy[list[Word]]:
    """A command of fixed words (str) and strategies; a strategy may give one word or a list of words."""
    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts)).map(flat)


def flat(parts: tuple[object, ...]) -> list[Word]:
    return [word for part in parts for word in (part if isinstance(part, list) else [part])]  # type: ignore[misc]


def some(strategy: st.SearchStrategy[T], most: int = 3, least: int = 0) -> st.SearchStrategy[list[T]]:
    return st.lists(strategy, min_size=least, max_size=most)


def option(*parts: object) -> st.SearchStrategy[list[Word]]:
    """Nothing or these words."""
    return st.one_of(st.just([]), call(*parts))


time_option = st.one_of(
    st.just([]),
    call("EX", seconds),
    call("PX", st.sampled_from(["100000", "0", "-1", "x", "9223372036854775807"])),
    call("EXAT", moment_to_come),
    call("PXAT", moment_to_come_ms),
    st.just(["KEEPTTL"]),
    st.just(["PERSIST"]),
)
bitfield_part = st.one_of(
    call("GET", field_type, field_offset),
    call("SET", field_type, field_offset, integer),
    call("INCRBY", field_type, field_offset, integer),
    call("OVERFLOW", st.sampled_from(["WRAP", "SAT", "FAIL", "x"])),
)

keys_and_values = some(st.tuples(key, value), 3, 1).map(lambda pairs: [word for pair in pairs for word in pair])

string_command = st.one_of(
    call("SET", key, value, some(condition, 2), time_option),
    call("SET", key, value),
    call("GET", key),
    call("GETDEL", key),
    call("GETEX", key, time_option),
    call("GETSET", key, value),
    call("MGET", some(key, 4, 1)),
    call(st.sampled_from(["MSET", "MSETNX"]), keys_and_values),
    call("SETNX", key, value),
    call("SETEX", key, seconds, value),
    call("PSETEX", key, st.sampled_from(["100000", "0", "-1", "x"]), value),
    call("APPEND", key, value),
    call("STRLEN", key),
    call(st.sampled_from(["GETRANGE", "SUBSTR"]), key, integer, integer),
    call(
        "SETRANGE",
        key,
        st.sampled_from(["0", "1", "5", "100", "5000", "-1", "x", "536870912"]),
        st.binary(max_size=8),
    ),
    call(st.sampled_from(["INCR", "DECR"]), key),
    call(st.sampled_from(["INCRBY", "DECRBY"]), key, integer),
    call("INCRBYFLOAT", key, decimal),
    call(
        "LCS",
        key,
        key,
        some(st.sampled_from(["LEN", "IDX", "WITHMATCHLEN", "nonesuch"]), 2),
        option("MINMATCHLEN", small),
    ),
)

bit_command = st.one_of(
    call(
        "SETBIT",
        key,
        st.sampled_from(["0", "1", "7", "8", "100", "9999", "-1", "x", "4294967296"]),
        st.sampled_from(["0", "1", "2", "x"]),
    ),
    call("GETBIT", key, offset),
    call("BITCOUNT", key),
    call("BITCOUNT", key, offset, offset),
    call("BITCOUNT", key, offset, offset, alignment),
    call("BITPOS", key, st.sampled_from(["0", "1", "2", "x"]), some(offset, 2)),
    call("BITPOS", key, st.sampled_from(["0", "1"]), offset, offset, alignment),
    call("BITOP", st.sampled_from(["AND", "OR", "XOR", "NOT", "nonesuch"]), key, some(key, 3, 1)),
    call("BITFIELD", key, some(bitfield_part)),
    call("BITFIELD_RO", key, some(call("GET", field_type, field_offset), 2)),
)

payload = st.sampled_from(SOUND * 3 + REFUSED)
restore_option = st.one_of(
    st.just(["REPLACE"]),
    call(st.sampled_from(["IDLETIME", "FREQ"]), st.sampled_from(["0", "5", "-1", "256", "x"])),
    st.just(["nonesuch"]),
)
key_command = st.one_of(
    call(st.sampled_from(["DEL", "UNLINK", "EXISTS", "TOUCH"]), some(key, 3, 1)),
    call(st.sampled_from(["TYPE", "TTL", "PTTL", "PERSIST", "EXPIRETIME", "PEXPIRETIME", "STRLEN"]), key),
    call("EXPIRE", key, seconds, some(condition, 2)),
    call("PEXPIRE", key, st.sampled_from(["100000", "-1", "x", "9223372036854775807"]), some(condition, 2)),
    call("EXPIREAT", key, moment, some(condition, 2)),
    call("PEXPIREAT", key, moment_ms, some(condition, 2)),
    call(st.sampled_from(["RENAME", "RENAMENX"]), key, key),
    call("COPY", key, key, option("DB", database), option("REPLACE")),
    call("MOVE", key, database),
    call("RESTORE", key, st.sampled_from(["0", "x", "-1", "100000"]), payload, some(restore_option, 2)),
    call("RESTORE", key, moment_ms, payload, "ABSTTL", some(restore_option, 2)),
    call("KEYS", pattern),
    call("OBJECT", st.sampled_from(["FREQ", "IDLETIME"]), key),
    call(
        "SCAN",
        st.sampled_from(["0", "x", "1.0", "18446744073709551616"]),
        call("COUNT", st.sampled_from(["1000", "0", "x"])),
    ),
    call("DBSIZE"),
    call("RANDOMKEY"),
)

# Redis remembers how a value was made (a number set by INCRBYFLOAT is embstr), minikv what it is: the encoding is
# compared only where both agree on it.
encoding_command = st.one_of(
    call("SET", key, value),
    call("APPEND", key, value),
    call("INCRBY", key, small),
    call("RENAME", key, key),
    call("COPY", key, key, option("REPLACE")),
    call("OBJECT", "ENCODING", key),
)

# Few names, so that elements are met again; some are integers, some too long for Redis's compact encodings.
element = st.sampled_from(
    [b"", b"1", b"2", b"-5", b"007", b"x", b"field", b"\x00\xff", b"y" * 64, b"z" * 65, b"w" * 5000]
)
fields_and_values = some(st.tuples(element, value).map(list), 4, 1).map(tuple).map(flat)
scan_options = some(
    st.one_of(call("MATCH", pattern), call("COUNT", st.sampled_from(["1000", "1000", "0", "x"])), st.just(["x"])), 2
)

hash_command = st.one_of(
    call(st.sampled_from(["HSET", "HMSET"]), key, fields_and_values, some(element, 1)),
    call("HSETNX", key, element, value),
    call(st.sampled_from(["HGET", "HEXISTS", "HSTRLEN"]), key, element),
    call(st.sampled_from(["HMGET", "HDEL"]), key, some(element, 4, 1)),
    call(st.sampled_from(["HGETALL", "HKEYS", "HVALS", "HLEN"]), key),
    call("HINCRBY", key, element, integer),
    call("HINCRBYFLOAT", key, element, decimal),
    call("HSCAN", key, st.sampled_from(["0", "x"]), scan_options),
)

set_command = st.one_of(
    call(st.sampled_from(["SADD", "SADD", "SREM", "SMISMEMBER"]), key, some(element, 6, 1)),
    call("SISMEMBER", key, element),
    call(st.sampled_from(["SMEMBERS", "SCARD"]), key),
    call("SPOP", key, st.sampled_from(["0", "1000", "-1", "x"])),
    call("SMOVE", key, key, element),
    call(st.sampled_from(["SINTER", "SUNION", "SDIFF"]), some(key, 3, 1)),
    call(st.sampled_from(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]), key, some(key, 3, 1)),
    call("SINTERCARD", st.sampled_from(["1", "2", "0", "x"]), some(key, 3, 1), option("LIMIT", small)),
    call("SSCAN", key, st.sampled_from(["0", "x"]), scan_options),
)

side = st.sampled_from(["LEFT", "RIGHT", "left", "x"])
index = st.one_of(st.integers(-6, 6).map(str), integer)

list_command = st.one_of(
    call(st.sampled_from(["LPUSH", "RPUSH"]), key, some(element, 5, 1)),
    call(st.sampled_from(["LPUSHX", "RPUSHX"]), key, some(element, 2, 1)),
    call(st.sampled_from(["LPOP", "RPOP"]), key, some(st.sampled_from(["0", "1", "2", "100", "-1", "x"]), 1)),
    call("LLEN", key),
    call("LRANGE", key, index, index),
    call("LRANGE", key, "0", "-1"),
    call("LINDEX", key, index),
    call("LSET", key, index, element),
    call("LINSERT", key, st.sampled_from(["BEFORE", "after", "x"]), element, element),
    call("LREM", key, index, element),
    call("LTRIM", key, index, index),
    call("LPOS", key, element, option("RANK", index), option("COUNT", index), option("MAXLEN", index)),
    call("LMOVE", key, key, side, side),
    call("RPOPLPUSH", key, key),
    call("LMPOP", st.sampled_from(["1", "2", "0", "x"]), some(key, 3, 1), side, option("COUNT", index)),
)

stream_id = st.one_of(
    st.integers(0, 12).map(lambda n: f"{n}-1"),
    st.sampled_from(
        ["0", "5", "3-0", "7-2", "-", "+", "(4-1", "20-1", "18446744073709551615-18446744073709551615", "x"]
    ),
)
# Given in rising order by and by, so that some of them are above the last one of a stream.
new_id = st.integers(1, 60).map(lambda n: f"{n}-1")
group = st.sampled_from(["g", "h", "nonesuch"])
consumer = st.sampled_from(["alice", "bob", "carol"])
trim_option = st.one_of(
    option(),
    st.tuples(st.sampled_from(["MAXLEN", "maxlen"]), st.sampled_from(["=", "~"]), small).map(list),
    st.tuples(st.just("MINID"), stream_id).map(list),
)
stream_command = st.one_of(
    call("XADD", key, trim_option, new_id, fields_and_values),
    call("XADD", key, new_id, "field", element),
    call("XADD", key, st.sampled_from(["5-*", "30-*", "60-*"]), "field", element),
    call("XTRIM", key, trim_option),
    call("XDEL", key, some(stream_id, 3, 1)),
    call("XLEN", key),
    call("XRANGE", key, stream_id, stream_id, option("COUNT", small)),
    call("XREVRANGE", key, stream_id, stream_id, option("COUNT", small)),
    call("XSETID", key, new_id, option("ENTRIESADDED", small), option("MAXDELETEDID", stream_id)),
    call("XREAD", option("COUNT", small), "STREAMS", key, key, stream_id, stream_id),
    call("XGROUP", "CREATE", key, group, st.sampled_from(["0", "$", "5-1"]), st.sampled_from([[], ["MKSTREAM"]])),
    call("XGROUP", "SETID", key, group, stream_id, option("ENTRIESREAD", small)),
    call("XGROUP", "DESTROY", key, group),
    call("XGROUP", st.sampled_from(["CREATECONSUMER", "DELCONSUMER"]), key, group, consumer),
    call("XREADGROUP", "GROUP", group, consumer, option("COUNT", small), "STREAMS", key, ">"),
    call("XREADGROUP", "GROUP", group, consumer, option("COUNT", small), "NOACK", "STREAMS", key, ">"),
    call("XREADGROUP", "GROUP", group, consumer, option("COUNT", small), "STREAMS", key, stream_id),
    call("XACK", key, group, some(stream_id, 3, 1)),
    call("XPENDING", key, group),
    call("XPENDING", key, group, stream_id, stream_id, small, some(consumer, 1)),
    call("XCLAIM", key, group, consumer, "0", some(stream_id, 3, 1), st.sampled_from([[], ["FORCE"], ["JUSTID"]])),
    call("XAUTOCLAIM", key, group, consumer, "0", stream_id, option("COUNT", small)),
    call("XINFO", "STREAM", key, st.sampled_from([[], ["FULL"]])),
    call("XINFO", "GROUPS", key),
)

sketch = st.sampled_from(
    [
        b"HYLL\x01" + bytes(11) + b"\x7f\xff",
        b"HYLL\x01" + bytes(10) + b"\x80\x7f\xfd\x88",
        b"HYLL\x01" + bytes(10) + b"\x80\x40\x40\x90",
        b"HYLL\x00" + bytes(10) + b"\x80" + b"\x21\x84\x10" * 4096,
        b"HYLL\x00" + bytes(11),
    ]
)
hyperloglog_command = st.one_of(
    call("PFADD", key, some(value, 6)),
    call("PFADD", key, some(integer, 40)),
    call("PFCOUNT", some(key, 3, 1)),
    call("PFMERGE", key, some(key, 3)),
    call("PFDEBUG", st.sampled_from(["ENCODING", "DECODE", "TODENSE", "x"]), key),
    call("SET", key, sketch),
    call("GET", key),
    call("OBJECT", "ENCODING", key),
    call("APPEND", key, st.binary(max_size=3)),
)

coordinate = st.one_of(
    st.floats(-90, 90, width=32).map(repr),
    st.sampled_from(["0", "10", "10.0001", "85.05112878", "-85.05112878", "180", "-180", "181", "x", "inf"]),
)
place = st.tuples(coordinate, coordinate).map(list)
length = st.sampled_from(["0", "1", "100", "5000", "1e6", "2.5e7", "-1", "inf", "x"])
unit = st.sampled_from(["m", "km", "MI", "ft", "x"])
search_option = st.one_of(
    st.sampled_from(["ASC", "DESC", "WITHDIST", "WITHHASH", "WITHCOORD", "x"]).map(lambda word: [word]),
    call("COUNT", st.sampled_from(["1", "2", "5", "0", "x"]), option("ANY")),
)
store_option = call(st.sampled_from(["STORE", "STOREDIST"]), key)
shape_option = st.one_of(
    call("FROMMEMBER", element),
    call("FROMLONLAT", place),
    call("BYRADIUS", length, unit),
    call("BYBOX", length, length, unit),
)
shape = st.tuples(
    st.one_of(call("FROMMEMBER", element), call("FROMLONLAT", place)),
    st.one_of(call("BYRADIUS", length, unit), call("BYBOX", length, length, unit)),
    some(st.one_of(search_option, search_option, shape_option), 3).map(tuple).map(flat),
).map(flat)

geo_command = st.one_of(
    call("GEOADD", key, some(condition, 1), some(st.tuples(place, element).map(flat), 4, 1).map(tuple).map(flat)),
    call("GEOADD", key, some(st.tuples(place, element).map(flat), 4, 1).map(tuple).map(flat)),
    call("ZADD", key, integer, element),
    call("ZRANGE", key, "0", "-1", "WITHSCORES"),
    call("ZREM", key, some(element, 3, 1)),
    call(st.sampled_from(["GEOPOS", "GEOHASH"]), key, some(element, 3)),
    call("GEODIST", key, element, element, option(unit)),
    call("GEOSEARCH", key, shape),
    call("GEOSEARCHSTORE", key, key, shape, option("STOREDIST")),
    call(
        st.sampled_from(["GEORADIUS", "GEORADIUS_RO"]),
        key,
        place,
        length,
        unit,
        some(st.one_of(search_option, store_option), 3).map(tuple).map(flat),
    ),
    call(
        st.sampled_from(["GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"]),
        key,
        element,
        length,
        unit,
        some(st.one_of(search_option, store_option), 3).map(tuple).map(flat),
    ),
)

server_command = st.one_of(
    call("SELECT", database),
    call("SWAPDB", database, database),
    call(st.sampled_from(["FLUSHDB", "FLUSHALL"]), some(st.sampled_from(["SYNC", "ASYNC", "x"]), 1)),
    call("PING", some(value, 2)),
    call("ECHO", value),
    call("COMMAND", "GETKEYS", some(value, 4)),
)

transaction_command = st.sampled_from(
    [["MULTI"], ["EXEC"], ["EXEC"], ["DISCARD"], ["WATCH", "a"], ["WATCH", "b", "c"], ["UNWATCH"]]
)

NAMES = [
    "SET",
    "GET",
    "MGET",
    "SETRANGE",
    "GETRANGE",
    "INCRBY",
    "BITFIELD",
    "BITOP",
    "EXPIRE",
    "COPY",
    "RENAME",
    "KEYS",
]
NAMES += ["OBJECT", "TYPE", "DEL", "MSET", "GETEX", "SUBSTR", "set", "Get", "mSET", "nonesuch"]
nearly_a_command = call(st.sampled_from(NAMES), some(st.one_of(value, key, condition), 5))

command = st.one_of(
    string_command, string_command, bit_command, key_command, key_command, server_command, nearly_a_command
)

"""ACL: rules and how they are described, who may do what, in which words it is refused, as in redis-server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import ClientPair, Server
from tests.harness.compatibility import OWN_COMMANDS
from tests.harness.scene import Scene
from tests.harness.wire import Value, parse

HASH = "a" * 64
RULES = [
    *("on", "ON", "off", "nopass", "resetpass", "reset", "sanitize-payload", "skip-sanitize-payload", "clearselectors"),
    *(">p", ">p", ">q", ">", "<p", "<none", f"#{HASH}", f"!{HASH}", "#abc", f"#{HASH[:-1]}G", f"!{HASH[:-1]}", "#"),
    *("~a", "~a*", "~*", "~", "~b:*", "~a b", "~\xe9", "allkeys", "AllKeys", "resetkeys"),
    *("%R~a", "%W~a", "%RW~a", "%WR~*", "%r~x", "%RR~a", "%X~a", "%~a", "%R", "%", "%R~a b", "%RW"),
    *("&a", "&a*", "&*", "&", "&a b", "allchannels", "resetchannels", "ALLCHANNELS"),
    *("+@all", "-@all", "allcommands", "nocommands", "+@ALL", "+@read", "-@write", "+@string", "-@dangerous"),
    *("+@keyspace", "-@slow", "+@fast", "+@admin", "-@admin", "+@connection", "+@pubsub", "+@none", "-@none", "+@"),
    *("+get", "-get", "+GET", "-SET", "+config", "-config", "+config|get", "-config|set", "+client|id", "-client"),
    *("+config|none", "-config|none", "+config|get|x", "+get|a", "+get|b", "+GET|A", "-get|a", "+select|0", "+get|"),
    *("+acl|list", "-acl", "+object", "-object|freq", "+debug|object", "+script|load", "-function", "+xinfo|stream"),
    *("+", "-", "+none", "-none", "+none|x", "+|x", "", "x", "()", "(+get", "(~a +get)", "(", ")", "(~a", "+set)"),
    *("(%R~b* +@read -get)", "(+@none)", "(&x +publish ~*)", '(~"q" +get)', '(~"q +get)', "(allkeys ~a)", "(>p)"),
    *("+psync", "+replconf", "-sync", "+bgrewriteaof", "-failover", "-module|load", "+client|tracking"),
]


OWN = {name.encode() for name in OWN_COMMANDS}
NEWER = {b"client|no-touch", b"client|setinfo", b"waitaof"}  # than redis-server 7.0


def is_of_redis(name: bytes) -> bool:
    return name not in NEWER and name.partition(b"|")[0] not in OWN


def rules_sorted(text: bytes) -> bytes:
    """A description in which single commands are sorted: redis-server has them in the order of a hash table.

    Commands of minikv's own are left out, as far as they are not alone in it.
    """
    sides = text.replace(b"(", b"( ").replace(b")", b" )").split(b" ")
    result: list[bytes] = []
    run: list[bytes] = []
    for word in [*sides, b""]:
        if word[:1] in (b"+", b"-") and word[1:2] != b"@":
            run.append(word)
        else:
            result += [*sorted(each for each in run if is_of_redis(each[1:])), word]
            run = []
    return b" ".join(result)


def normal(value: Value) -> object:
    if isinstance(value.payload, list):
        return value.kind, [normal(item) for item in value.payload]
    return value.kind, rules_sorted(value.payload) if isinstance(value.payload, bytes) else value.payload


def same_rules(subject: bytes, oracle: bytes) -> bool:
    return subject == oracle or normal(parse(subject)) == normal(parse(oracle))


def same_list(subject: bytes, oracle: bytes) -> bool:
    left, right = parse(subject), parse(oracle)
    assert isinstance(left.payload, list) and isinstance(right.payload, list)
    return sorted(map(repr, map(normal, left.payload))) == sorted(map(repr, map(normal, right.payload)))


def same_log(subject: bytes, oracle: bytes) -> bool:
    """ACL LOG without ages and addresses."""
    return log_shape(subject) == log_shape(oracle)


def log_shape(reply: bytes) -> object:
    value = parse(reply)
    if not isinstance(value.payload, list):
        return value
    entries = []
    for entry in value.payload:
        items = [item.payload for item in entry.payload]
        assert items[10] == b"age-seconds" and items[12] == b"client-info"
        info = dict(field.split(b"=", 1) for field in items[13].split(b" "))
        assert 0 <= float(items[11]) < 60
        kinds = [item.kind for item in entry.payload]
        entries.append((entry.kind, kinds, items[:10], {name: info[name] for name in (b"cmd", b"user")}))
    return entries


@pytest.fixture(scope="module")
def servers(module_servers: Callable[..., tuple[Server, Server]]) -> tuple[Server, Server]:
    return module_servers(**{"enable-debug-command": "yes"})


@pytest.fixture
def acl(servers: tuple[Server, Server]) -> Iterator[ClientPair]:
    """A connection of the default user; without other users, with an empty log."""
    pair = clean(servers, 2)
    yield pair
    pair.close()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def acl_both(servers: tuple[Server, Server], request: pytest.FixtureRequest) -> Iterator[ClientPair]:
    """The same over both versions of the protocol."""
    pair = clean(servers, request.param)
    yield pair
    pair.close()


def clean(servers: tuple[Server, Server], resp: int) -> ClientPair:
    pair = ClientPair(*servers, resp=resp)
    pair.assert_same("FLUSHALL", "ACL LOG RESET", "ACL SETUSER default reset on nopass ~* &* +@all")
    for client in (pair.subject, pair.oracle):
        for name in parse(client.call("ACL USERS")).payload:
            if name.payload != b"default":
                client.call(("ACL", "DELUSER", name.payload))
    return pair


def same_hello(subject: bytes, oracle: bytes) -> bool:
    """Equal but for the client's number."""
    return re.sub(rb"\$2\r\nid\r\n:\d+", b"", subject) == re.sub(rb"\$2\r\nid\r\n:\d+", b"", oracle)


def become(pair: ClientPair, *rules: str, resp: int | None = None) -> ClientPair:
    """Another connection, of a user with these rules."""
    pair.assert_same(("ACL", "SETUSER", "u", "reset", "on", "nopass", *rules))
    other = pair.another(resp)
    other.assert_same("AUTH u x")
    return other


# -- rules and descriptions


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_alone_and_after_everything(acl_both: ClientPair, rule: str) -> None:
    for name, first in (
        ("none", []),
        ("all", ["on", "nopass", "allkeys", "allchannels", "+@all"]),
        ("p", [">p", "~a"]),
    ):
        acl_both.assert_same(("ACL", "SETUSER", name, *first, rule))
        acl_both.assert_same(("ACL", "GETUSER", name), compare=same_rules)
    acl_both.assert_same("ACL LIST", compare=same_list)


@given(st.lists(st.lists(st.sampled_from(RULES), min_size=1, max_size=8), min_size=1, max_size=4))
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_random_rules_are_described_as_in_redis(acl: ClientPair, calls: list[list[str]]) -> None:
    acl.assert_same("ACL DELUSER u")
    for rules in calls:
        acl.assert_same(("ACL", "SETUSER", "u", *rules))
        acl.assert_same("ACL GETUSER u", "ACL LIST", compare=same_rules)


@given(
    st.lists(st.sampled_from(sorted({rule for rule in RULES if rule[:2] in ("+@", "-@") and rule[2:]})), max_size=12)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_categories_are_described_as_in_redis(acl: ClientPair, rules: list[str]) -> None:
    acl.assert_same("ACL DELUSER u")
    for rule in rules:
        acl.assert_same(("ACL", "SETUSER", "u", rule))
    acl.assert_same("ACL LIST", compare=same_rules)


def test_a_description_makes_the_same_user(acl: ClientPair) -> None:
    acl.assert_same(
        "ACL SETUSER u on >p ~a %R~b &c +@read -get +config|get +select|0 (~x +@write) (%W~y &z -@all +set)"
    )
    for line in parse(acl.subject.call("ACL LIST")).payload:
        words = line.payload.split(b" ")
        if words[1] == b"u":
            acl.assert_same((b"ACL", b"SETUSER", b"v", *words[2:]))
    acl.assert_same("ACL GETUSER v", compare=same_rules)
    ours = [line.payload.split(b" ", 2) for line in parse(acl.subject.call("ACL LIST")).payload]
    assert {words[2] for words in ours if words[1] in (b"u", b"v")} == {ours[1][2]}


# -- the subcommands


@pytest.mark.parametrize(
    "request_",
    [
        *("ACL", "ACL NONE", "ACL WHOAMI", "ACL WHOAMI x", "ACL USERS", "ACL USERS x", "ACL LIST x", "ACL GETUSER"),
        *("ACL GETUSER none", "ACL GETUSER a b", "ACL SETUSER", "ACL SETUSER u", "ACL DELUSER", "ACL DELUSER none"),
        *("ACL DELUSER default", "ACL DELUSER u default", "ACL DELUSER u u", "ACL CAT none", "ACL CAT a b", "ACL CAT"),
        *("ACL GENPASS 0", "ACL GENPASS -1", "ACL GENPASS 4097", "ACL GENPASS x", "ACL GENPASS 1 2", "ACL LOG x"),
        *("ACL LOG", "ACL LOG 0", "ACL LOG -1", "ACL LOG 5", "ACL LOG RESET", "ACL LOG 1 2", "ACL LOAD", "ACL SAVE"),
        *("ACL LOAD x", "ACL DRYRUN", "ACL DRYRUN u", "ACL DRYRUN none get x", "ACL DRYRUN default none"),
        *("ACL DRYRUN default get", "ACL DRYRUN default config", "ACL DRYRUN default config none"),
        *("ACL DRYRUN default config get x", "ACL DRYRUN default set a", "ACL DRYRUN default set a b c d e"),
        *("AUTH", "AUTH a b c", "AUTH x", "AUTH default x", "AUTH none x", "HELLO 2 AUTH none x", "HELLO 2 AUTH a"),
        *("HELLO 2 AUTH default x SETNAME n", "HELLO 2 SETNAME n AUTH none x", "HELLO 4 AUTH none x"),
        *("CLIENT KILL USER none", "CLIENT KILL USER u"),
    ],
)
def test_subcommands(acl_both: ClientPair, request_: str) -> None:
    acl_both.assert_same("ACL SETUSER u on", request_, "ACL USERS", "CLIENT GETNAME", compare=same_hello)


def test_strange_names(acl: ClientPair) -> None:
    for name in (b"a b", b"a\0b", b"\t", b"", b"\xff\xfe", b'"', b"a\x0bb", b"default"):
        acl.assert_same((b"ACL", b"SETUSER", name, b"on"), (b"ACL", b"DRYRUN", name, b"GET", b"x"), "ACL USERS")
    for rule in (b"on\0x", b"~a\0b", b"&a\0b", b"+get\0x", b"+@read\0x", b">\0", b"(+get\0)", b"no\0"):
        acl.assert_same((b"ACL", b"SETUSER", b"u", b"reset", rule))
        acl.assert_same("ACL GETUSER u", compare=same_rules)


def test_genpass(acl: ClientPair) -> None:
    for bits, length in ((1, 1), (4, 1), (5, 2), (32, 8), (4096, 1024)):
        for client in (acl.subject, acl.oracle):
            assert len(parse(client.call(f"ACL GENPASS {bits}")).payload) == length
    first, second = (parse(acl.subject.call("ACL GENPASS")).payload for _ in range(2))
    assert first != second and len(first) == 64


def test_categories(acl: ClientPair) -> None:
    known = {b"client|setinfo", b"client|no-touch", b"waitaof"}
    for category in parse(acl.oracle.call("ACL CAT")).payload:
        ours, theirs = (
            {name.payload for name in parse(client.call((b"ACL", b"CAT", category.payload))).payload}
            for client in (acl.subject, acl.oracle)
        )
        assert (
            theirs - ours
            <= {
                *(
                    b"bgrewriteaof",
                    b"client|caching",
                    b"client|tracking",
                    b"failover",
                    b"module|load",
                    b"module|loadex",
                ),
                *(b"module|unload", b"psync", b"replconf", b"sync"),
            }
            - known
        )


# -- permissions

REQUESTS = [
    *("GET a", "GET b", "SET a 1", "SET b 1", "SET a 1 GET", "SET b 1 GET", "SETNX a 1", "APPEND b 1", "DEL a b"),
    *("EXISTS a", "EXISTS b", "MGET a b", "MSET a 1 b 2", "RENAME a b", "RENAME b a", "COPY a b", "COPY b a", "TYPE b"),
    *("BITFIELD a GET u8 0", "BITFIELD b GET u8 0", "BITFIELD b SET u8 0 1", "BITFIELD b", "BITFIELD b OVERFLOW WRAP"),
    *("BITFIELD b GET u8", "BITFIELD_RO b GET u8 0", "GETDEL b", "GETEX b", "STRLEN b", "LCS a b", "BITOP NOT a b"),
    *(
        "LMOVE a b LEFT LEFT",
        "SMOVE a b x",
        "SINTERCARD 2 a b",
        "SINTERSTORE a b",
        "SUNIONSTORE b a",
        "ZUNIONSTORE b 1 a",
    ),
    *("ZUNIONSTORE a 1 b", "ZUNION 2 a b", "ZUNION x a", "ZUNION 5 b", "ZRANGESTORE b a 0 -1", "ZINTERCARD 1 b"),
    *("SORT a", "SORT b", "SORT a STORE b", "SORT b STORE a", "SORT a BY w*", "SORT a BY nosort GET *", "SORT_RO b"),
    *("SORT a BY nosort", "SORT a LIMIT 0 1 STORE", "SORT a GET #", "SORT_RO a BY w*", "SORT_RO a STORE b"),
    *(
        "EVAL return 0",
        "EVAL return 1 a",
        "EVAL return 1 b",
        "EVAL return x b",
        "EVAL return 5 b",
        "EVAL_RO return 1 b",
    ),
    *(
        "FCALL f 1 b",
        "FCALL_RO f 1 a",
        "EVALSHA x 1 b",
        "XREAD STREAMS a 0",
        "XREAD STREAMS a b 0 0",
        "XREAD STREAMS b",
    ),
    *("XREAD COUNT 1 STREAMS b 0", "XREADGROUP GROUP STREAMS c STREAMS b 0", "XADD b * f v", "XINFO STREAM b"),
    *("GEORADIUS a 0 0 1 m STORE b", "GEORADIUS b 0 0 1 m STORE a", "GEORADIUS_RO b 0 0 1 m", "GEOSEARCHSTORE a b"),
    *("MIGRATE h 1 a 0 1", "MIGRATE h 1 b 0 1", 'MIGRATE h 1 "" 0 1 KEYS a b', "MIGRATE h 1 a 0 1 AUTH keys b"),
    *("BLPOP a b 0", "BLMPOP 0 2 a b LEFT", "LMPOP 1 b LEFT", "BZMPOP 0 1 b MIN", "OBJECT FREQ b", "OBJECT HELP"),
    *(
        "MEMORY USAGE b",
        "DUMP b",
        "RESTORE b 0 x",
        "OBJECT ENCODING a",
        "WATCH a b",
        "TOUCH b",
        "UNLINK b",
        "PFCOUNT b",
    ),
    *("PUBLISH a x", "PUBLISH b x", "SPUBLISH a x", "SPUBLISH b x", "PSUBSCRIBE a*", "PSUBSCRIBE a b", "SSUBSCRIBE b"),
    *("SUBSCRIBE a b", "UNSUBSCRIBE b", "PUBSUB CHANNELS", "PING", "ECHO x", "SELECT 0", "SELECT 1", "HELLO", "QUIT"),
    *(
        "CONFIG GET x",
        "CONFIG SET x y",
        "CLIENT ID",
        "CLIENT LIST",
        "DEBUG SLEEP 0",
        "DEBUG OBJECT a",
        "FLUSHALL",
        "KEYS *",
    ),
    *("RANDOMKEY", "DBSIZE", "SCAN 0", "COMMAND", "COMMAND COUNT", "ACL LIST", "ACL WHOAMI", "MULTI", "SWAPDB 0 1"),
    *(
        "HSET b f v",
        "HGET b f",
        "SADD b m",
        "SPOP b",
        "LPUSH b v",
        "LINDEX b 0",
        "ZADD b 1 m",
        "ZSCORE b m",
        "PFADD b x",
    ),
    *("PFMERGE a b", "SETRANGE b 0 x", "INCR b", "GETSET b x", "GETRANGE b 0 1", "EXPIRE b 1", "PERSIST b", "TTL b"),
]
USERS = [
    ["~a", "&a", "+@all"],
    ["%R~a", "%W~b", "&a*", "+@all"],
    ["%W~a", "%R~b", "+@all"],
    ["allkeys", "+@read", "-get"],
    ["~*", "&*", "-@all"],
    ["%R~*", "resetchannels", "+@all", "-@dangerous"],
    ["~[ab]", "&?", "+@write", "+config|get", "+select|0", "+debug|OBJECT", "+eval"],
    ["+get", "~b", "(~a +set)", "(%R~* +@read)", "(&b ~c +@all)"],
    ["-@all", "(~a +@all)", "(%R~b &b +@all)"],
    ["nocommands", "+config", "-config|set", "+client|id", "+acl"],
]


@pytest.mark.parametrize("rules", USERS, ids=" ".join)
def test_what_dryrun_says(acl_both: ClientPair, rules: list[str]) -> None:
    acl_both.assert_same(("ACL", "SETUSER", "u", "reset", *rules))
    for request in REQUESTS:
        acl_both.assert_same(f"ACL DRYRUN u {request}")


@pytest.mark.parametrize("rules", USERS, ids=" ".join)
def test_dryrun_says_what_happens(acl: ClientPair, rules: list[str]) -> None:
    """Queued in MULTI, so that nothing is done: allowed is what DRYRUN allows, but for what MULTI forbids."""
    acl.assert_same(("ACL", "SETUSER", "u", "reset", "on", "nopass", *rules, "(+multi)", "(+exec)", "(+discard)"))
    acl.assert_same(("ACL", "SETUSER", "dry", "reset", *rules, "(+multi)", "(+exec)", "(+discard)"))
    other = acl.another()
    other.assert_same("AUTH u x")
    for request in REQUESTS:
        if request in ("QUIT", "MULTI", "WATCH a b", "HELLO"):
            continue
        allowed = acl.assert_same(f"ACL DRYRUN dry {request}")[0] == b"+OK\r\n"
        _, reply, _ = other.assert_same("MULTI", request, "DISCARD")
        assert reply.startswith(b"-NOPERM") != allowed or b"wrong number" in reply, request


def test_every_command_is_allowed_alone_and_refused_alone(acl: ClientPair) -> None:
    """For each command of both: the user who may do nothing else, and the one who may do all else."""
    names = {item.payload for item in parse(acl.oracle.call("COMMAND LIST")).payload}
    ours = {item.payload for item in parse(acl.subject.call("COMMAND LIST")).payload}
    for name in sorted(names & ours - {b"zrank", b"zrevrank"}):  # they have an option more here, of 7.2
        words = name.split(b"|")
        acl.assert_same(
            (b"ACL", b"SETUSER", b"only", b"reset", b"~*", b"&*", b"+" + name),
            (b"ACL", b"SETUSER", b"but", b"reset", b"~*", b"&*", b"+@all", b"-" + name),
        )
        requests = [(*words, *[b"x"] * count) for count in range(4)]
        acl.assert_same_pipeline(
            *[(b"ACL", b"DRYRUN", user, *request) for user in (b"only", b"but") for request in [*requests, (b"PING",)]]
        )


@pytest.mark.parametrize("rules", USERS[:4] + USERS[6:9], ids=" ".join)
def test_refusals(acl_both: ClientPair, rules: list[str]) -> None:
    other = become(acl_both, *rules)
    for request in ("GET a", "GET b", "SET a 1", "SET b 1", "PUBLISH a x", "PUBLISH b x", "CONFIG GET port x", "NONE"):
        if not request.startswith("CONFIG"):
            other.assert_same(request)
    other.assert_same("CONFIG SET x", "CONFIG NONE", "MULTI", "GET b", "SET b 1", "PUBLISH b x", "EXEC", "DISCARD")
    acl_both.assert_same("ACL LOG", compare=same_log)


def test_the_log_groups_equal_refusals(acl_both: ClientPair) -> None:
    other = become(acl_both, "~a", "+get", "+multi")
    other.assert_same(
        "GET b", "SET a 1", "GET b", "get b", "GET c", "AUTH u2 x", "auth u2 y", "AUTH x", "MULTI", "GET b"
    )
    acl_both.assert_same("HELLO 2 AUTH none x")
    acl_both.assert_same("ACL LOG", "ACL LOG 2", "ACL LOG 100", compare=same_log)
    acl_both.assert_same("CONFIG SET acllog-max-len 2")
    other.assert_same("DEL x")
    acl_both.assert_same("ACL LOG", compare=same_log)
    acl_both.assert_same("CONFIG SET acllog-max-len 0")
    other.assert_same("DEL x", "TYPE x")
    acl_both.assert_same("ACL LOG", "CONFIG SET acllog-max-len 128", "ACL LOG RESET", compare=same_log)


def test_auth_in_a_transaction(acl: ClientPair) -> None:
    other = become(acl, "~a", "+get", "+multi", "+exec")
    other.assert_same("MULTI", "AUTH none x", "GET a", "AUTH default x", "EXEC", "ACL WHOAMI", "SET b 1")
    acl.assert_same("ACL LOG", compare=same_log)


def test_rights_are_checked_again_at_exec(acl: ClientPair) -> None:
    other = become(acl, "~*", "&*", "+@all")
    other.assert_same("MULTI", "SET a 1", "GET b", "PUBLISH c x", "SET b 2")
    acl.assert_same("ACL SETUSER u resetkeys ~b resetchannels -get")
    other.assert_same("EXEC", "GET a", "MULTI", "SET b 3")
    acl.assert_same("ACL SETUSER u -exec")
    other.assert_same("EXEC", "MULTI")
    acl.assert_same("ACL LOG", compare=same_log)
    acl.assert_same("INFO errorstats", compare=lambda ours, theirs: True)
    errors = [server.info()["errorstat_NOPERM"] for server in acl.servers]
    assert errors[0] == errors[1]


SCRIPTS = [
    "return redis.call('get', KEYS[1])",
    "return redis.pcall('get', 'b')",
    "return redis.call('get', 'b')",
    "return redis.call('set', 'a', 1)",
    "return redis.call('publish', 'b', 'x')",
    "return redis.pcall('publish', 'b', 'x')['err']",
    "return redis.call('sort', 'a', 'by', 'w*')",
    "return redis.acl_check_cmd('get', 'a')",
    "return redis.acl_check_cmd('get', 'b')",
    "return redis.acl_check_cmd('get')",
    "return redis.acl_check_cmd('publish')",
    "return redis.acl_check_cmd('publish', 'b', 'x')",
    "return redis.acl_check_cmd('config', 'set')",
    "return redis.acl_check_cmd('config', 'none')",
    "return redis.acl_check_cmd('none')",
    "return redis.acl_check_cmd()",
    "return redis.acl_check_cmd('acl|list')",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_have_the_rights_of_who_calls_them(acl: ClientPair, script: str) -> None:
    other = become(acl, "%R~a", "&a", "+@all", "-config")
    other.assert_same(("EVAL", script, "1", "a"), ("EVAL", script, "1", "b"))
    other.assert_same(("EVAL", script, "0"), ("EVAL", script, "1", "a"))
    acl.assert_same("ACL LOG", compare=same_log)
    acl.assert_same(("EVAL", script, "1", "a"))


def test_functions_have_the_rights_of_who_calls_them(acl: ClientPair) -> None:
    code = "#!lua name=lib\nredis.register_function('f', function(keys, args) return redis.call('get', args[1]) end)"
    acl.assert_same(("FUNCTION", "LOAD", "REPLACE", code))
    other = become(acl, "~a", "+fcall", "+get")
    other.assert_same("FCALL f 0 a", "FCALL f 0 b", "FCALL f 1 a b", "FCALL f 1 b a", "FUNCTION LIST")
    acl.assert_same("FUNCTION FLUSH")


def test_sort_by_other_keys_needs_all_keys(acl: ClientPair) -> None:
    acl.assert_same("RPUSH a 2 1", "SET w1 5", "SET w2 3")
    for rules in (
        ["~a", "+@all"],
        ["%R~*", "+@all"],
        ["%W~*", "~a", "+@all"],
        ["~a", "+@all", "(%R~* +sort)"],
        ["~*", "+sort"],
    ):
        other = become(acl, *rules)
        for request in (
            "SORT a BY w*",
            "SORT a BY w* GET w*",
            "SORT a GET #",
            "SORT a BY x",
            "SORT_RO a BY w*",
            "SORT a",
        ):
            other.assert_same(request, f"SORT a LIMIT 0 1 {request.partition('a ')[2]} STORE b")


# -- clients


def test_logging_in(acl: ClientPair) -> None:
    acl.assert_same("ACL SETUSER u >p >q on +@all", "ACL SETUSER off >p +@all", "ACL SETUSER any on nopass +acl|whoami")
    other = acl.another()
    other.assert_same(
        *("AUTH u x", "AUTH u p", "ACL WHOAMI", "AUTH u q", "AUTH off p", "ACL WHOAMI", "AUTH any thing", "ACL WHOAMI"),
        *("PING", "RESET", "ACL WHOAMI", "HELLO 2 AUTH u q", "ACL WHOAMI", "HELLO 2 AUTH any x SETNAME me"),
        compare=same_hello,
    )
    acl.assert_same("ACL SETUSER u <p", "ACL SETUSER any off")
    other.assert_same("ACL WHOAMI", "AUTH u p", "AUTH any x", "ACL WHOAMI")


def test_a_default_user_with_a_password(acl: ClientPair) -> None:
    early = acl.another()
    early.assert_same("PING")  # both servers have accepted it
    acl.assert_same("ACL SETUSER default resetpass >p")
    late = acl.another(resp=2)
    for request in ("PING", "HELLO", "HELLO 3", "AUTH x", "AUTH default p", "PING", "RESET", "PING", "CLIENT LIST x"):
        late.assert_same(request)
        early.assert_same("ACL WHOAMI")
    acl.assert_same("CONFIG GET requirepass", "ACL SETUSER default off")
    late.assert_same("AUTH default p", "AUTH p", "PING")
    acl.assert_same("ACL SETUSER default on nopass", "PING")
    late.assert_same("PING", "HELLO", "AUTH p", "AUTH default y", "HELLO", compare=same_hello)


def test_requirepass_is_the_default_users_password(acl: ClientPair) -> None:
    acl.assert_same("CONFIG SET requirepass p", "ACL LIST", "ACL SETUSER default >q", "CONFIG GET requirepass")
    other = acl.another()
    other.assert_same("PING", "AUTH q", "PING", "AUTH p")
    acl.assert_same("CONFIG SET requirepass r", "ACL LIST", ("CONFIG", "SET", "requirepass", ""), "ACL LIST")
    other.assert_same("PING", "AUTH r")


def test_a_restricted_default_user(acl: ClientPair) -> None:
    acl.assert_same("ACL SETUSER admin on nopass ~* &* +@all", "AUTH admin x", "ACL SETUSER default -@all +ping ~a")
    other = acl.another()
    other.assert_same("PING", "GET a", "ACL WHOAMI", "AUTH admin x", "GET a")
    acl.assert_same("ACL SETUSER default +@all ~*")


def test_removed_users_are_disconnected(acl: ClientPair) -> None:
    acl.assert_same("ACL SETUSER u on nopass +@all", "ACL SETUSER v on nopass +@all ~* &*")
    scene = Scene(acl)
    for name, user in (("one", "u"), ("two", "u"), ("three", "v"), ("blocked", "v"), ("self", "v")):
        scene.do(name, f"AUTH {user} x")
    scene.do("blocked", "BLPOP list 0")
    scene.do("admin", "ACL DELUSER u none")
    scene.do("three", "PING")
    scene.do("self", "ACL DELUSER v", "PING")
    scene.compare("after all")


def test_subscribers_lose_their_connection_with_their_channels(acl: ClientPair) -> None:
    acl.assert_same("ACL SETUSER u on nopass +@all &a* &b* &c &d")
    scene = Scene(acl)
    for name, request in (
        *(("one", "SUBSCRIBE a1"), ("two", "PSUBSCRIBE b*"), ("three", "SSUBSCRIBE c"), ("four", "SUBSCRIBE d")),
        *(("five", "PING"), ("six", "SUBSCRIBE a1 c")),
    ):
        scene.do(name, "AUTH u x", request)
    scene.do("other", "SUBSCRIBE zzz")
    for rules in (
        *(
            "&e",
            "resetchannels &a* &b* &c &d",
            "allchannels",
            "resetchannels &a1 &b* &c &d",
            "+@all",
            "resetchannels &b &c &d",
        ),
        *("off", "resetchannels &c (&d)", "clearselectors", "resetchannels"),
    ):
        scene.do("admin", f"ACL SETUSER u {rules}")
        scene.do("admin", "PUBLISH a1 x", "PUBLISH d x", "PUBLISH b x", "SPUBLISH c x", "CLIENT KILL USER none")


def test_clients_are_killed_by_user(acl: ClientPair) -> None:
    acl.assert_same("ACL SETUSER u on nopass +@all", "ACL SETUSER v on nopass +@all")
    scene = Scene(acl)
    for name in "uv":
        scene.do(name, f"AUTH {name} x")
    scene.do("admin", "CLIENT KILL USER u", "CLIENT KILL USER u", "CLIENT KILL USER x")
    scene.do("v", "CLIENT KILL USER v SKIPME yes", "CLIENT KILL USER v SKIPME no")
    lines = [parse(client.call("CLIENT LIST")).payload for client in (acl.subject, acl.oracle)]
    assert all(b" user=default " in text and b"user=v" not in text for text in lines)


def test_acl_pubsub_default(acl: ClientPair) -> None:
    acl.assert_same("CONFIG SET acl-pubsub-default allchannels", "ACL SETUSER u +@all (~a)", "ACL SETUSER v reset &a")
    acl.assert_same("ACL LIST", compare=same_list)
    acl.assert_same("CONFIG SET acl-pubsub-default resetchannels", "ACL SETUSER u reset (~b)", "ACL SETUSER w &a")
    acl.assert_same("ACL LIST", compare=same_list)
    acl.assert_same("CONFIG SET acl-pubsub-default x", "CONFIG GET acl-pubsub-default")


def test_secrets_are_not_in_the_slow_log(acl: ClientPair) -> None:
    acl.assert_same(
        "CONFIG SET slowlog-log-slower-than 0", "SLOWLOG RESET", "ACL SETUSER u on >secret", "AUTH u secret"
    )
    acl.assert_same("AUTH default x", "HELLO 2 AUTH u secret", "AUTH default x", "ACL SETUSER", compare=same_hello)
    for client in (acl.subject, acl.oracle):
        entries = parse(client.call("SLOWLOG GET")).payload
        requests = [[word.payload for word in entry.payload[3].payload] for entry in entries]
        assert [b"ACL", b"SETUSER", *[b"(redacted)"] * 3] in requests
        assert not any(b"secret" in word for request in requests for word in request)
    acl.assert_same("CONFIG SET slowlog-log-slower-than 10000")


# -- the file

FILE = b"user default on nopass ~* &* +@all\nuser kept on nopass ~a &b -@all +get +acl\n"
BAD_FILES = [
    b"user x on\nuser y +none -@none x\nuser z (~a\n",
    b"user x on\nuser x off\n",
    b"nonsense\n\nuser\n",
    b"user a\tb on\n",
    b"user x on >p <q !abc\n",
    b"user x  on   nopass\n\n   user y on (~a  +get)  \r\nuser z ",
    b"user x on +@all -config ~k (%R~b +@read) +select|0\n",
    b"",
]


def test_the_file_of_users(
    tmp_path: Path, start_minikv: Callable[..., Server], start_redis: Callable[..., Server]
) -> None:
    starts = {"ours": start_minikv, "theirs": start_redis}
    paths = [tmp_path / name / "users.acl" for name in starts]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(FILE)
    ours, theirs = (start(directory=tmp_path / name, aclfile="users.acl") for name, start in starts.items())
    pair = ClientPair(ours, theirs)
    try:
        pair.assert_same("ACL LIST", "CONFIG GET aclfile", "CONFIG SET aclfile x", compare=same_rules)
        for text in BAD_FILES:
            scene = Scene(pair)
            for name, user in (("kept", "kept"), ("gone", "gone"), ("stays", "default")):
                pair.assert_same(f"ACL SETUSER {user} on nopass +ping")
                scene.do(name, f"AUTH {user} x")
            for path in paths:
                path.write_bytes(text)
            scene.do("admin", "ACL LOAD", "ACL USERS")
            scene.do("stays", "PING")
            pair.assert_same("ACL LIST", compare=same_rules)
            pair.assert_same("ACL SAVE")
            left, right = (sorted(map(rules_sorted, path.read_bytes().splitlines())) for path in paths)
            assert left == right
            pair.assert_same("ACL LOAD", "ACL DELUSER kept gone")
        for path in paths:
            path.unlink()
        pair.assert_same("ACL LOAD", "ACL WHOAMI")
        assert [sorted(entry.name for entry in path.parent.iterdir() if "acl" in entry.name) for path in paths] == [
            [],
            [],
        ]
    finally:
        pair.close()

"""EVAL, EVALSHA, their read-only forms and SCRIPT: wire bytes of both servers."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.harness import ClientPair, WireClient, wait_until


def run(body: str, *arguments: str, keys: int = 0, command: str = "EVAL") -> list[str]:
    return [command, body, str(keys), *arguments]


VALUES = [
    "return",
    "return nil",
    "return true",
    "return false",
    "return 3.99",
    "return -3.99",
    "return 1e300",
    "return 0/0",
    "return 2^53",
    "return 'text'",
    "return ''",
    "return {}",
    "return {1, 2, nil, 4}",
    "return {1, {2, {3, 'x', false, true}}}",
    "return {a = 1}",
    "return {ok = 'fine'}",
    "return {ok = 'two\\r\\nlines'}",
    "return {err = 'MY error'}",
    "return {err = 'two\\nlines'}",
    "return {err = 1, ok = 'x'}",
    "return {double = 3.5}",
    "return {double = 1/0}",
    "return {double = 'x'}",
    "return {double = 3}",
    "return {map = {a = 1}}",
    "return {map = {}}",
    "return {map = 'x'}",
    "return {map = {[1] = {map = {x = 'y'}}}}",
    "return {set = {a = true}}",
    "return {set = {}}",
    "return {big_number = '123456789012345678901234567890'}",
    "return {big_number = '12\\r\\n3'}",
    "return {verbatim_string = {format = 'txt', string = 'some text'}}",
    "return {verbatim_string = {format = 'txt'}}",
    "return {verbatim_string = {string = 'x'}}",
    "return {verbatim_string = 'x'}",
    "return function() end",
    "return print == nil",
    "return {1, print1}",
    "return {KEYS, ARGV}",
    "return redis.status_reply('fine')",
    "return redis.status_reply(1)",
    "return redis.status_reply()",
    "return redis.error_reply('MY error')",
    "return redis.error_reply('word')",
    "return redis.error_reply('-CODE error')",
    "return redis.error_reply('-word')",
    "return redis.error_reply({})",
    "return redis.error_reply('a', 'b')",
    "local t = {} for i = 1, 100 do t[i] = {i} end return t",
    "local t = {} local inner = t for i = 1, 200 do inner[1] = {} inner = inner[1] end return t",
    "local t = {} t[1] = t return #t",
]


@pytest.mark.parametrize("body", VALUES)
@pytest.mark.parametrize("version", ["", "redis.setresp(2) ", "redis.setresp(3) "])
def test_what_a_script_returns(pair: ClientPair, body: str, version: str) -> None:
    pair.assert_same(run(version + body))


REPLIES = [
    "'set', 'a', 1",
    "'get', 'a'",
    "'get', 'none'",
    "'incr', 'n'",
    "'hgetall', 'h'",
    "'hget', 'h', 'none'",
    "'smembers', 's'",
    "'zrange', 'z', 0, -1, 'withscores'",
    "'zscore', 'z', 'm'",
    "'zscore', 'z', 'none'",
    "'zmscore', 'z', 'm', 'none'",
    "'lrange', 'l', 0, -1",
    "'blpop', 'none', 0",
    "'lpop', 'none', 2",
    "'lpos', 'l', 'none'",
    "'xadd', 'x', '1-1', 'f', 'v'",
    "'xrange', 'x', '-', '+'",
    "'xread', 'streams', 'x', 0",
    "'exists', 'a'",
    "'type', 'h'",
    "'object', 'encoding', 'l'",
    "'command', 'count', 'x'",
    "'ping'",
    "'echo', 12.5",
    "'echo', 1e20",
    "'echo', 3",
    "'geopos', 'z', 'm'",
    "'lcs', 'a', 'a', 'idx'",
    "'debug', 'sleep', 0",
]


@pytest.mark.parametrize("words", REPLIES)
@pytest.mark.parametrize("call", ["call", "pcall"])
@pytest.mark.parametrize("version", ["", "redis.setresp(3) "])
def test_replies_of_commands(pair: ClientPair, words: str, call: str, version: str) -> None:
    pair.assert_same("SET a 1", "HSET h f v", "SADD s m", "ZADD z 1.5 m", "RPUSH l a b", "XADD x 0-1 f v")
    pair.assert_same(run(f"{version}return redis.{call}({words})"))


SHAPES = """
local function shape(value, depth)
  if type(value) ~= 'table' then return type(value) .. ':' .. tostring(value) end
  local parts = {}
  for key, item in pairs(value) do parts[#parts + 1] = tostring(key) .. '=' .. shape(item) end
  table.sort(parts)
  return '{' .. table.concat(parts, ',') .. '}'
end
return shape(redis.pcall(unpack(ARGV)))
"""


@pytest.mark.parametrize("words", REPLIES)
@pytest.mark.parametrize("version", ["", "redis.setresp(3)"])
def test_what_a_script_sees_of_a_reply(pair: ClientPair, words: str, version: str) -> None:
    pair.assert_same("SET a 1", "HSET h f v", "SADD s m", "ZADD z 1.5 m", "RPUSH l a b", "XADD x 0-1 f v")
    arguments = [word.strip().strip("'") for word in words.split(",")]
    pair.assert_same(run(version + SHAPES, *arguments))


ERRORS = [
    "return foo bar",
    "error('boo')",
    "error({err = 'MY boo'})",
    "error('boo', 0)",
    "error('boo', 2)",
    "local a = nil\n\nreturn a.x",
    "return 1 + {}",
    "return #5",
    "return x",
    "x = 1",
    "function f() end",
    "redis.call = 1",
    "string.x = 1",
    "rawset(redis, 'x', 1)",
    "rawset(_G, 'x', 1)",
    "setmetatable(_G, {})",
    "setmetatable(redis, nil)",
    "table.insert(redis, 1)",
    "getmetatable(_G).__index = nil",
    "getmetatable('').__index = nil",
    "_G.x = 1",
    "_G.redis = 1",
    "return string.nothing",
    "return redis.nothing",
    "print('x')",
    "return os",
    "return io",
    "return require",
    "return dofile",
    "return debug",
    "return setfenv",
    "return newproxy",
    "return package",
    "return type(loadstring('return 1'))",
    "return loadstring('return 1')()",
    "return loadstring('x = 1')()",
    "return type(loadstring('\\27Lua'))",
    "return {loadstring('x x')}",
    "return select(2, loadstring('x x'))",
    "local n = 0 return load(function() n = n + 1 return ({'return ', '7'})[n] end)()",
    "redis.call()",
    "redis.call({})",
    "redis.call(nil)",
    "redis.call('get', true)",
    "redis.call('nosuch')",
    "redis.call('get')",
    "redis.call('get', 'a', 'b')",
    "redis.call('eval', 'return 1', 0)",
    "redis.call('subscribe', 'x')",
    "redis.call('multi')",
    "redis.call('client', 'nosuch')",
    "redis.call('client')",
    "redis.call('lpush', 'text', 'x')",
    "return redis.pcall('lpush', 'text', 'x')",
    "return redis.pcall('lpush', 'text', 'x').err",
    "return redis.pcall('lpush', 'text', 'x').ignore_error_stats_update",
    "return {pcall(redis.call, 'lpush', 'text', 'x')}",
    "return {pcall(redis.call, 'nosuch')}",
    "return {pcall(error, {err = 'x'})}",
    "return {pcall(error, {1, 2})}",
    "return {pcall(error, 'x')}",
    "return {pcall(error)}",
    "return {pcall(function(...) return ... end, 1, 2)}",
    "return pcall()",
    "return {xpcall(function() error('x') end, function(text) return 'handled ' .. text end)}",
    "redis.log()",
    "redis.log(1)",
    "redis.log('x', 'y')",
    "redis.log(-1, 'y')",
    "redis.log(4, 'y')",
    "redis.log(redis.LOG_DEBUG, 'quiet', 1, true)",
    "redis.sha1hex()",
    "redis.sha1hex('a', 'b')",
    "return {redis.sha1hex('abc'), redis.sha1hex(1), redis.sha1hex('')}",
    "redis.setresp()",
    "redis.setresp(1)",
    "redis.setresp('x')",
    "redis.set_repl()",
    "redis.set_repl(8)",
    "return redis.set_repl(redis.REPL_ALL)",
    "return {redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL}",
    "return {redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING}",
    "return redis.replicate_commands()",
    "return redis.breakpoint()",
    "return redis.REDIS_VERSION",
    "return redis.REDIS_VERSION_NUM",
    "redis.acl_check_cmd()",
    "redis.acl_check_cmd({})",
    "redis.acl_check_cmd('nosuch')",
    "return redis.acl_check_cmd('get', 'x')",
    "return redis.register_function('f', function() end)",
    "for name in pairs(5) do end",
    "for name in pairs() do end",
    "table.insert(nil, 1)",
    "table.concat({{}})",
    "return ('x'):rep(3, 'y')",
    "return string.format('%d', 'x')",
    "return tostring(nil) .. tostring(1.5) .. tostring(1e100)",
    "return unpack({}, 1, 1e6)",
    "return {math.random(1, 0)}",
    "local function f() return f() + 1 end return f()",
    "local c = coroutine.wrap(function() redis.call('set', 'a', 1) error('inside') end) c()",
    "local c = coroutine.create(function() coroutine.yield(1) end) local _, one = coroutine.resume(c) return one",
    "return coroutine.yield(1)",
    "return next({}) == nil and rawget(redis, 'call') ~= nil and next(redis) ~= nil",
    "return rawequal(_G, _G._G)",
    "return type(getmetatable(_G).__index) .. tostring(getmetatable(redis))",
    "KEYS.x = 1 ARGV[1] = 2 return ARGV",
]


@pytest.mark.parametrize("body", ERRORS)
def test_what_scripts_may_not_do_and_how_they_hear(pair: ClientPair, body: str) -> None:
    pair.assert_same("SET text x", run(body), "GET a")


def test_the_globals_are_those_of_redis(resp2_pair: ClientPair) -> None:
    body = """
    local found, seen = {}, {}
    local function walk(value, path)
      if seen[value] then return end
      seen[value] = true
      for name, item in pairs(value) do
        found[#found + 1] = path .. tostring(name) .. ':' .. type(item)
        if type(item) == 'table' then walk(item, path .. tostring(name) .. '.') end
      end
    end
    walk(_G, '')
    table.sort(found)
    return found
    """
    resp2_pair.assert_same(run(body))


@pytest.mark.parametrize(
    "command",
    [
        "EVAL",
        "EVAL x",
        ["EVAL", "return 1", "x"],
        ["EVAL", "return 1", "-1"],
        ["EVAL", "return 1", "1"],
        ["EVAL", "return 1", "99999999999999999999"],
        ["EVAL", "return {KEYS, ARGV}", "2", "a", "b", "c", "d"],
        ["EVAL", "return {#KEYS, #ARGV}", "0", "", "\r\n"],
        ["EVALSHA", "x", "0"],
        ["EVALSHA", "a" * 40, "0"],
        ["EVALSHA", "a" * 40, "1"],
        ["EVALSHA", "a" * 40, "x"],
        ["EVAL_RO", "return redis.call('get', KEYS[1])", "1", "text"],
        ["EVAL_RO", "return redis.call('set', KEYS[1], 2)", "1", "text"],
        ["EVAL_RO", "return redis.pcall('publish', 'c', 'm')", "0"],
        ["EVAL_RO", "return redis.pcall('nosuch')", "0"],
        ["EVALSHA_RO", "b" * 40, "0"],
        ["SCRIPT", "LOAD", "return 1"],
        ["SCRIPT", "LOAD", "foo bar"],
        ["SCRIPT", "LOAD", "#!lua\nreturn 1"],
        ["SCRIPT", "LOAD", "#!lua"],
        ["SCRIPT", "EXISTS", "a", "B" * 40],
        ["SCRIPT", "FLUSH", "x"],
        ["SCRIPT", "FLUSH", "SYNC", "x"],
        ["SCRIPT", "KILL"],
        ["COMMAND", "GETKEYS", "EVAL", "x", "2", "a", "b", "c"],
        ["COMMAND", "GETKEYS", "EVAL", "x", "0"],
        ["COMMAND", "GETKEYSANDFLAGS", "EVALSHA_RO", "x", "1", "a"],
    ],
)
def test_commands_and_their_errors(pair: ClientPair, command: str | list[str]) -> None:
    pair.assert_same("SET text x", command)


SHEBANGS = [
    "#!lua\nreturn redis.call('set', 'a', 1)",
    "#!lua \nreturn 1",
    "#!lua flags=\nreturn 1",
    "#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)",
    "#!lua flags=no-writes\nreturn redis.call('get', 'a')",
    "#!lua flags=no-writes,allow-oom,allow-stale,no-cluster,allow-cross-slot-keys\nreturn 1",
    "#!lua flags=no-writes flags=allow-oom\nreturn 1",
    "#!lua flags=no-writes,\nreturn 1",
    "#!lua flags=nosuch\nreturn 1",
    "#!lua name=x\nreturn 1",
    "#!LUA\nreturn 1",
    "#!python\nreturn 1",
    "#!lua",
    "#!\nreturn 1",
    "#!",
    '#!lua "flags=no-writes"\nreturn 1',
    '#!lua "flags\nreturn 1',
    "#!lua\n\nerror('third line')",
    "#!lua\nfoo bar",
    "#! lua\nreturn 1",
]


@pytest.mark.parametrize("body", SHEBANGS)
@pytest.mark.parametrize("command", ["EVAL", "EVAL_RO"])
def test_the_first_line_of_a_script(pair: ClientPair, body: str, command: str) -> None:
    pair.assert_same(run(body, command=command))


def test_a_script_is_found_by_its_sum_in_any_case(pair: ClientPair) -> None:
    body = "return ARGV[1]"
    sha = hashlib.sha1(body.encode()).hexdigest()
    pair.assert_same(
        "SCRIPT FLUSH",
        ["SCRIPT", "EXISTS", sha],
        run(sha, "a", command="EVALSHA"),
        run(body, "b"),
        ["SCRIPT", "EXISTS", sha.upper(), sha],
        run(sha.upper(), "c", command="EVALSHA"),
        run(sha, "c", command="EVALSHA_RO"),
        "SCRIPT FLUSH ASYNC",
        ["SCRIPT", "EXISTS", sha],
    )


def test_scripts_in_transactions(pair: ClientPair) -> None:
    increment = "return redis.call('incr', KEYS[1])"
    pair.assert_same("MULTI", run(increment, "n", keys=1), run("foo bar"), run("return {1, 2}"), "GET n", "EXEC")
    pair.assert_same("WATCH n", run(increment, "n", keys=1), "MULTI", "PING", "EXEC")


def test_a_script_has_the_database_of_its_client_and_does_not_change_it(pair: ClientPair) -> None:
    body = (
        "redis.call('set', 'a', 'x') redis.call('select', 3) redis.call('set', 'a', 'y') return redis.call('get', 'a')"
    )
    pair.assert_same("SELECT 2", run(body), "GET a", "SELECT 3", "GET a", run("return redis.call('get', 'a')"))


def test_a_script_wakes_who_waits(pair: ClientPair) -> None:
    waiting = pair.another()
    for client in (waiting.subject, waiting.oracle):
        client.send("BLPOP list 0")
    for server in pair.servers:
        wait_until(lambda server=server: server.info("clients")["blocked_clients"] == "1", "the client waits")
    pair.assert_same(
        run("redis.call('rpush', 'list', 'a') return redis.call('rpush', 'list', 'b')"), "LRANGE list 0 -1"
    )
    assert waiting.subject.read() == waiting.oracle.read()


def test_monitors_see_a_script_before_what_it_calls(pair: ClientPair) -> None:
    monitor = pair.another()
    monitor.assert_same("MONITOR")
    pair.assert_same(run("redis.call('set', 'a', 1) return redis.call('get', 'a')"), "ECHO last")

    def lines(client: WireClient) -> list[bytes]:
        read = [client.read() for _ in range(4)]
        return [re.sub(rb"^\+[0-9.]+ \[(\d+) (lua)?[^]]*\]", rb"\1 \2", line) for line in read]

    assert lines(monitor.subject) == lines(monitor.oracle)


def test_statistics_count_called_commands(pair: ClientPair) -> None:
    pair.assert_same("SET text x", "CONFIG RESETSTAT")
    for body in (
        "redis.call('get', 'text')",
        "redis.pcall('lpush', 'text', 1)",
        "redis.call('get')",
        "return {err = 'MY x'}",
        "return redis.pcall('lpush', 'text', 1)",
        "return redis.pcall('select', 99)",
    ):
        pair.assert_same(run(body))
    for body in ("error('x')", "redis.call('lpush', 'text', 1)", "redis.call('nosuch')"):
        pair.assert_same(run(body))

    def counts(text: bytes) -> list[bytes]:
        lines = [line for line in text.split(b"\r\n") if line.startswith((b"cmdstat_", b"errorstat_"))]
        return sorted(b",".join(part for part in line.split(b",") if b"usec" not in part) for line in lines)

    for section in ("commandstats", "errorstats"):
        ours, theirs = (side.call(f"INFO {section}") for side in (pair.subject, pair.oracle))
        assert counts(ours) == counts(theirs)

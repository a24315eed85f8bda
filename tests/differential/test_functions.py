"""FUNCTION, FCALL and FCALL_RO: wire bytes of both servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import ClientPair, parse

LIBRARY = """#!lua name=mylib
redis.register_function('put', function(keys, args) return redis.call('set', keys[1], args[1]) end)
redis.register_function{
  function_name = 'look', callback = function(keys, args) return redis.call('get', keys[1]) end,
  flags = {'no-writes'}, description = 'reads'
}
redis.register_function{function_name = 'lie', callback = function(keys) return redis.call('del', keys[1]) end,
  flags = {'no-writes', 'allow-oom', 'allow-stale', 'no-cluster', 'allow-cross-slot-keys'}}
redis.register_function('echo', function(keys, args) return {keys, args} end)
redis.register_function('fail', function() error('boo') end)
redis.register_function('fail_table', function() error({err = 'MY boo'}) end)
redis.register_function('global', function() x = 1 end)
redis.register_function('keys_global', function() return KEYS end)
redis.register_function('again', function() redis.register_function('x', function() end) end)
redis.register_function('wrong', function() return redis.call('nosuch') end)
redis.register_function('api', function()
  local names = {}
  for name in pairs(redis) do names[#names + 1] = name end
  table.sort(names)
  return names
end)
redis.register_function('map', function() redis.setresp(3) return {map = {a = true}} end)
"""


@pytest.fixture(autouse=True)
def without_functions(pair: ClientPair) -> Iterator[None]:
    pair.assert_same("FUNCTION FLUSH")
    yield
    pair.assert_same("FUNCTION FLUSH")


CALLS = [
    "FCALL put 1 k v",
    "FCALL_RO put 1 k v",
    "FCALL look 1 k",
    "FCALL_RO look 1 k",
    "FCALL lie 1 k",
    "FCALL echo 2 a b c d",
    "FCALL echo 0",
    "FCALL echo 3 a",
    "FCALL echo -1 a",
    "FCALL echo x a",
    "FCALL echo",
    "FCALL nosuch 0",
    "FCALL nosuch x",
    "FCALL fail 0",
    "FCALL fail_table 0",
    "FCALL global 0",
    "FCALL keys_global 0",
    "FCALL again 0",
    "FCALL wrong 0",
    "FCALL api 0",
    "FCALL map 0",
    "FUNCTION LIST LIBRARYNAME nosuch",
    "FUNCTION LIST LIBRARYNAME",
    "FUNCTION LIST WITHCODE WITHCODE",
    "FUNCTION LIST x",
    "FUNCTION DELETE nosuch",
    "FUNCTION DELETE mylib",
    "FUNCTION KILL",
    "FUNCTION STATS",
    "FUNCTION FLUSH x",
    "FUNCTION FLUSH ASYNC",
    "FUNCTION FLUSH SYNC x",
    "FUNCTION RESTORE x",
    "FUNCTION RESTORE x y",
    "FUNCTION RESTORE x FLUSH y",
]


@pytest.mark.parametrize("command", CALLS)
def test_calls_and_their_errors(pair: ClientPair, command: str) -> None:
    pair.assert_same(["FUNCTION", "LOAD", LIBRARY], command, "GET k", "FUNCTION STATS")


HEADS = [
    "x",
    "#!lua",
    "#!lua\n",
    "#!lua name=a-b\n",
    "#!lua name=\n",
    "#!lua foo=1 name=x\n",
    "#!lua name=x name=y\n",
    "#!js name=x\n",
    "#!LUA NAME=x\nredis.register_function('f', function() end)",
    '#!lua "name=x"\nredis.register_function("f", function() end)',
    "#!lua name=x\nfoo bar",
    "#!\n",
    "",
]
BODIES = [
    "",
    "return 1",
    "x = 1",
    "return x",
    "redis.call('get', 'x')",
    "redis.setresp(3)",
    "redis.x = 1",
    "redis = {}",
    "error('x')",
    "string.x = 1",
    "redis.log(redis.LOG_DEBUG, 'x')",
    "while",
    "local a a.b = 1",
    "redis.register_function()",
    "redis.register_function('a')",
    "redis.register_function('a', 'b')",
    "redis.register_function(1, function() end)",
    "redis.register_function({}, function() end)",
    "redis.register_function('a', function() end, 1)",
    "redis.register_function('a b', function() end)",
    "redis.register_function('', function() end)",
    "redis.register_function('a', function() end) redis.register_function('a', function() end)",
    "redis.register_function{}",
    "redis.register_function{1}",
    "redis.register_function{function_name = 'a'}",
    "redis.register_function{callback = function() end}",
    "redis.register_function{function_name = 'a', callback = 1}",
    "redis.register_function{function_name = {}, callback = function() end}",
    "redis.register_function{function_name = 'a', callback = function() end, flags = 'x'}",
    "redis.register_function{function_name = 'a', callback = function() end, flags = {'x'}}",
    "redis.register_function{function_name = 'a', callback = function() end, flags = {}}",
    "redis.register_function{FUNCTION_NAME = 'a', callback = function() end, flags = {'NO-WRITES'}}",
    "redis.register_function{function_name = 'a', callback = function() end, description = 1}",
    "redis.register_function{function_name = 'a', callback = function() end, description = {}}",
    "redis.register_function{function_name = 'a', callback = function() end, other = 1}",
]


@pytest.mark.parametrize("code", HEADS + [f"#!lua name=x\n{body}" for body in BODIES])
def test_sources_of_libraries(pair: ClientPair, code: str) -> None:
    pair.assert_same(["FUNCTION", "LOAD", code], ["FUNCTION", "LOAD", "replace", code], "FUNCTION LIST WITHCODE")


def library(name: str, *functions: str) -> str:
    return f"#!lua name={name}\n" + "".join(
        f"redis.register_function('{f}', function() return '{name}' end)\n" for f in functions
    )


def test_names_of_libraries_and_functions_are_unique(pair: ClientPair) -> None:
    pair.assert_same(
        ["FUNCTION", "LOAD", library("one", "f", "g")],
        ["FUNCTION", "LOAD", library("one", "h")],
        ["FUNCTION", "LOAD", library("two", "g")],
        ["FUNCTION", "LOAD", library("two", "h")],
        ["FUNCTION", "LOAD", "REPLACE", library("two", "g")],
        ["FUNCTION", "LOAD", "REPLACE", library("two", "i")],
        "FCALL h 0",
        "FCALL i 0",
        ["FUNCTION", "LOAD", "REPLACE", "#!lua name=one\nfoo bar"],
        "FCALL f 0",
        ["FUNCTION", "LOAD", "x", "y", library("two", "g")],
        "FUNCTION STATS",
    )


@pytest.mark.parametrize("policy", ["", "FLUSH", "APPEND", "REPLACE"])
def test_payloads_go_both_ways(pair: ClientPair, policy: str) -> None:
    pair.assert_same(["FUNCTION", "LOAD", library("one", "f")], ["FUNCTION", "LOAD", library("two", "g")])
    ours, theirs = (parse(side.call("FUNCTION DUMP")).payload for side in (pair.subject, pair.oracle))
    for payload in (ours, theirs):
        restore = ["FUNCTION", "RESTORE", payload, *policy.split()]
        pair.assert_same("FUNCTION FLUSH", restore, "FCALL f 0", "FCALL g 0", "FUNCTION STATS")
        pair.assert_same("FUNCTION FLUSH", ["FUNCTION", "LOAD", library("three", "h")], restore, "FUNCTION STATS")
        pair.assert_same("FUNCTION FLUSH", ["FUNCTION", "LOAD", library("four", "g")], restore, "FUNCTION STATS")
        pair.assert_same("FUNCTION FLUSH", ["FUNCTION", "LOAD", library("two", "x")])
        pair.assert_same(["FUNCTION", "RESTORE", payload, "REPLACE"], "FCALL x 0", "FUNCTION STATS")


@pytest.mark.parametrize("direction", ["minikv to redis", "redis to minikv", "minikv to minikv"])
def test_libraries_are_part_of_a_dump(start_minikv, start_redis, tmp_path, direction: str) -> None:  # type: ignore[no-untyped-def]
    start = {"minikv": start_minikv, "redis": start_redis}
    writer, reader = (start[name] for name in direction.split(" to "))
    first = writer(directory=tmp_path)
    assert first.call(["FUNCTION", "LOAD", LIBRARY]) == b"$5\r\nmylib\r\n"
    assert first.call(["FUNCTION", "LOAD", library("other", "f")]) == b"$5\r\nother\r\n"
    listed = sorted(parse(first.call("FUNCTION LIST WITHCODE")).payload, key=repr)
    assert first.call("SAVE") == b"+OK\r\n"
    first.kill()
    second = reader(directory=tmp_path)
    assert second.call("FCALL put 1 k v") == b"+OK\r\n"
    assert second.call("FCALL f 0") == b"$5\r\nother\r\n"
    assert [
        sorted_library(found) for found in sorted(parse(second.call("FUNCTION LIST WITHCODE")).payload, key=repr)
    ] == [sorted_library(found) for found in listed]


def sorted_library(found):  # type: ignore[no-untyped-def]
    """A library of FUNCTION LIST, its functions in the order of their names."""
    fields = found.payload
    return [sorted(field.payload, key=repr) if isinstance(field.payload, list) else field for field in fields]


def test_libraries_survive_a_reload(start_minikv) -> None:  # type: ignore[no-untyped-def]
    server = start_minikv()
    server.call(["FUNCTION", "LOAD", LIBRARY])
    for _ in range(2):
        assert server.call("DEBUG RELOAD") == b"+OK\r\n"
        assert server.call("FCALL put 1 k v") == b"+OK\r\n"
    assert server.call("FUNCTION DELETE mylib") == b"+OK\r\n"
    assert server.call("DEBUG RELOAD") == b"+OK\r\n"
    assert server.call("FCALL put 1 k v") == b"-ERR Function not found\r\n"


def test_the_libraries_of_a_release_candidate_are_loaded(start_minikv, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Redis 7.0 RC1 to RC3 wrote name, engine and description in fields of their own (opcode 246)."""
    code = b"redis.register_function('f', function() return 'old' end)"

    def string(text: bytes) -> bytes:
        return bytes([len(text)]) + text

    fields = b"\xf6" + string(b"lib") + string(b"LUA") + b"\x01" + string(b"about") + string(code)
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0010" + fields + b"\xff" + bytes(8))
    server = start_minikv(directory=tmp_path)
    assert server.call("FCALL f 0") == b"$3\r\nold\r\n"


def test_a_library_that_cannot_be_loaded_is_kept(start_minikv, tmp_path) -> None:  # type: ignore[no-untyped-def]
    code = b"#!lua name=x\nfoo bar"
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0010\xf5" + bytes([len(code)]) + code + b"\xff" + bytes(8))
    server = start_minikv(directory=tmp_path)
    assert server.call("FUNCTION LIST") == b"*0\r\n"
    assert server.call("SAVE") == b"+OK\r\n"
    assert code in (tmp_path / "dump.rdb").read_bytes()

"""The libraries bit, cjson, cmsgpack and struct: random and hostile arguments, compared with redis-server."""

from __future__ import annotations

import json
import random
import struct

import pytest

from tests.harness import ClientPair

ROUNDS = 60


def evaluate(pair: ClientPair, body: str, *arguments: object) -> None:
    pair.assert_same(["EVAL", body, "0", *arguments])


# -- bit ---------------------------------------------------------------------------------------------------------------

NUMBERS = [0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**40 + 5, -(2**40), 0.5, 1.5, 2.5, -0.5, 1e15]


@pytest.mark.parametrize("name", ["band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror"])
def test_bit_operations_on_two_numbers(resp2_pair: ClientPair, rng: random.Random, name: str) -> None:
    for _ in range(ROUNDS):
        left, right = (rng.choice([*NUMBERS, rng.randrange(-(2**33), 2**33)]) for _ in "ab")
        evaluate(resp2_pair, f"return tostring(bit.{name}({left!r}, {right!r}))")


@pytest.mark.parametrize("name", ["bnot", "bswap", "tobit", "tohex"])
def test_bit_operations_on_one_number(resp2_pair: ClientPair, rng: random.Random, name: str) -> None:
    for number in [*NUMBERS, *(rng.randrange(-(2**33), 2**33) for _ in range(20))]:
        evaluate(resp2_pair, f"return tostring(bit.{name}({number!r}))")


@pytest.mark.parametrize(
    "call",
    [
        "tohex(255, 2)",
        "tohex(255, -4)",
        "tohex(255, 0)",
        "tohex(255, 100)",
        "tohex(-1, -100)",
        "band(1, 2, 3, 7)",
        "bor(1, 2, 4)",
        "bxor(1)",
        "band()",
        "band('x')",
        "band('5', 4)",
        "band({})",
        "band(1, {})",
        "lshift(1)",
        "lshift()",
        "tohex()",
        "tohex(1, 'x')",
        "bnot(nil)",
        "bswap(true)",
    ],
)
def test_arguments_of_bit(resp2_pair: ClientPair, call: str) -> None:
    evaluate(resp2_pair, f"return bit.{call}")


# -- cjson -------------------------------------------------------------------------------------------------------------


def some_value(rng: random.Random, depth: int = 0) -> object:
    kind = rng.randrange(8 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.choice([rng.randrange(-1000, 1000), rng.uniform(-1e6, 1e6), rng.choice([1e15, 1e-9, 2**53, 0.1])])
    if kind in (3, 4, 5):
        return "".join(rng.choice('ab/\\"\n\t\x01\x7f\u00e9\u20ac\U0001f600') for _ in range(rng.randrange(8)))
    if kind == 6:
        return [some_value(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {str(number): some_value(rng, depth + 1) for number in range(rng.randrange(2))}


def test_json_there_and_back(resp2_pair: ClientPair, rng: random.Random) -> None:
    for _ in range(ROUNDS):
        text = json.dumps(some_value(rng), ensure_ascii=rng.random() < 0.5)
        evaluate(resp2_pair, "return cjson.encode(cjson.decode(ARGV[1]))", text)


def test_broken_json(resp2_pair: ClientPair, rng: random.Random) -> None:
    for _ in range(3 * ROUNDS):
        text = bytearray(json.dumps(some_value(rng)).encode())
        for _ in range(rng.randrange(1, 3)):
            place = rng.randrange(len(text) + 1)
            text[place : place + rng.randrange(2)] = rng.choice(
                [b"", b"{", b"]", b'"', b",", b"\\", b"\\u12", b"0", b"-", b"\0", b"n", b"+"]
            )
        evaluate(resp2_pair, "return cjson.encode(cjson.decode(ARGV[1]))", bytes(text))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"[]",
        b"{}",
        b"[1,]",
        b"[1 2]",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b"{1:2}",
        b"[",
        b"{",
        b"nul",
        b"true x",
        b"inf",
        b"-inf",
        b"nan",
        b"Infinity",
        b"0x10",
        b"010",
        b"+1",
        b"-",
        b"1e",
        b"1e999",
        b'"\\ud83d\\ude00"',
        b'"\\ud83d"',
        b'"\\ude00"',
        b'"\\u00zz"',
        b'"\\x"',
        b'"abc',
        b"\0\0",
        b"1\0",
        b'"a\0b"',
        b"[" * 1000 + b"]" * 1000,
        b"[" * 1001 + b"]" * 1001,
        b"[" * 100000,
        b'{"a":' * 1001,
        b"\xff",
        b'"\xff\xfe"',
    ],
)
def test_texts_for_cjson(resp2_pair: ClientPair, text: bytes) -> None:
    evaluate(resp2_pair, "return cjson.encode(cjson.decode(ARGV[1]))", text)


@pytest.mark.parametrize(
    "body",
    [
        "cjson.encode({1, 2, 3})",
        "cjson.encode({[1] = 1, [2] = 2, [4] = 4})",
        "cjson.encode({[1] = 1, [30] = 2})",
        "cjson.encode({[0] = 1})",
        "cjson.encode({[1.5] = 1})",
        "cjson.encode({[-1] = 1})",
        "cjson.encode({[true] = 1})",
        "cjson.encode({[{}] = 1})",
        "cjson.encode({})",
        "cjson.encode({{}, {}})",
        "cjson.encode({a = {b = {c = 'x'}}})",
        "cjson.encode('a/b')",
        "cjson.encode(nil)",
        "cjson.encode(cjson.null)",
        "cjson.encode({cjson.null})",
        "cjson.encode(0/0)",
        "cjson.encode(1/0)",
        "cjson.encode(-1/0)",
        "cjson.encode(2^53)",
        "cjson.encode(1e300)",
        "cjson.encode(0.1)",
        "cjson.encode(function() end)",
        "cjson.encode({function() end})",
        "cjson.encode(coroutine.create(function() end))",
        "cjson.encode()",
        "cjson.encode(1, 2)",
        "cjson.decode()",
        "cjson.decode(1, 2)",
        "cjson.decode(nil)",
        "cjson.decode({})",
        "cjson.decode(12)",
        "tostring(cjson.decode('null') == cjson.null)",
        "tostring(cjson.decode('[null]')[1] == cjson.null)",
        "#cjson.decode('[1,2,3]')",
        "cjson._NAME .. cjson._VERSION",
        "type(cjson.new().encode)",
        "cjson.encode_max_depth()",
        "cjson.decode_max_depth('x')",
        "cjson.encode_number_precision(0)",
        "cjson.encode_number_precision(15)",
        "cjson.encode_number_precision()",
        "{cjson.encode_sparse_array()}",
    ],
)
def test_calls_of_cjson(resp2_pair: ClientPair, body: str) -> None:
    evaluate(resp2_pair, f"return {body}")


def test_a_table_that_holds_itself(resp2_pair: ClientPair) -> None:
    evaluate(resp2_pair, "local t = {} t[1] = t return cjson.encode(t)")
    evaluate(resp2_pair, "local t = {} t.x = t return cjson.encode(t)")
    evaluate(resp2_pair, "local t = {} for i = 1, 1100 do t = {t} end return cjson.encode(t)")


JSON = {
    "settings of its own": "local c = cjson.new() c.encode_max_depth(1) return {pcall(c.encode, {{1}}) and 1 or 0, "
    "pcall(cjson.encode, {{1}}) and 1 or 0}",
    "defaults": "cjson.encode_number_precision(3) local c = cjson.new() local a, b = c.encode(1/3), cjson.encode(1/3) "
    "cjson.encode_number_precision(14) return {a, b}",
    "every setting": "local c = cjson.new() local d = c.new() "
    "c.encode_sparse_array(true, 3, 4) c.decode_max_depth(2) c.encode_keep_buffer(false) "
    "c.encode_invalid_numbers('null') c.decode_invalid_numbers(false) local out = {} "
    "for _, lib in ipairs({c, d, cjson}) do for _, name in ipairs({'encode_sparse_array', 'decode_max_depth', "
    "'encode_keep_buffer', 'encode_invalid_numbers', 'decode_invalid_numbers', 'encode_max_depth'}) do "
    "for _, value in ipairs({lib[name]()}) do out[#out + 1] = tostring(value) end end end return out",
    "functions alone": "local function parts() local c = cjson.new() return c.encode, c.encode_max_depth end "
    "local encode, depth = parts() depth(1) collectgarbage() return {pcall(encode, {{1}}) and 1 or 0, encode({1})}",
    "many": "for i = 1, 10000 do local c = cjson.new() c.encode_max_depth(i) end return cjson.encode({{{1}}})",
    "names": "local c = cjson.new() return {c._NAME, c._VERSION, tostring(c.null == cjson.null)}",
}  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_cjson_new(resp2_pair: ClientPair, name: str) -> None:
    resp2_pair.assert_same(["EVAL", JSON[name], "0"], ["EVAL", JSON[name], "0"])


# -- cmsgpack ----------------------------------------------------------------------------------------------------------

LUA_VALUES = [
    *[
        repr(number)
        for number in (0, 1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32, 2**53, -1, -32, -33, -128, -129)
    ],
    *[repr(number) for number in (-32768, -32769, -(2**31), -(2**31) - 1, -(2**53), 0.5, 0.1, 1e300, 1.5e10)],
    "1/0",
    "-1/0",
    "true",
    "false",
    "nil",
    "''",
    "'abc'",
    "('x'):rep(31)",
    "('x'):rep(32)",
    "('x'):rep(255)",
    "('x'):rep(256)",
    "('x'):rep(70000)",
    "{}",
    "{1, 2, 3}",
    "{a = 1}",
    "{[1] = 1, [3] = 3}",
    "{[1.5] = 1}",
    "{[0] = 1}",
    "{[-1] = 1}",
    "{{}, {a = {}}}",
    "function() end",
    "(function() local t = {} for i = 1, 20 do t[i] = i end return t end)()",
    "(function() local t = {} for i = 1, 70000 do t[i] = 1 end return t end)()",
    "(function() local t = {} for i = 1, 20 do t = {t} end return t end)()",
    "(function() local t = {} t[1] = t return t end)()",
]


@pytest.mark.parametrize("value", LUA_VALUES)
def test_packing(resp2_pair: ClientPair, value: str) -> None:
    evaluate(resp2_pair, f"return cmsgpack.pack({value})")
    evaluate(resp2_pair, f"return cmsgpack.pack(1, {value}, 'x')")
    evaluate(resp2_pair, f"return cmsgpack.pack(cmsgpack.unpack(cmsgpack.pack({value})))")


def test_unpacking_random_bytes(resp2_pair: ClientPair, rng: random.Random) -> None:
    for _ in range(4 * ROUNDS):
        data = bytes(
            rng.choice([rng.randrange(256), rng.randrange(0xC0, 0xE0), rng.randrange(0x80, 0xA4), 1])
            for _ in range(rng.randrange(12))
        )
        body = (
            "local found = {cmsgpack.unpack(ARGV[1])} for i = 1, #found do "
            "found[i] = tostring(type(found[i]) == 'table' or found[i]) end return found"
        )
        evaluate(resp2_pair, body, data)


@pytest.mark.parametrize(
    "call",
    [
        "pack()",
        "unpack()",
        "unpack({})",
        "unpack('')",
        "unpack('\\193')",
        "unpack('\\220')",
        "unpack('\\129\\192\\1')",
        "unpack('\\221\\255\\255\\255\\255')",
        "unpack('\\219\\255\\255\\255\\255')",
        "unpack_one('\\1\\2\\3')",
        "unpack_one('\\1\\2\\3', 1)",
        "unpack_one('\\1\\2\\3', 2)",
        "unpack_one('\\1\\2\\3', 3)",
        "unpack_one('\\1\\2\\3', 4)",
        "unpack_one('\\1\\2\\3', -1)",
        "unpack_one('', 0)",
        "unpack_one('\\1', 'x')",
        "unpack_limit('\\1\\2\\3', 2)",
        "unpack_limit('\\1\\2\\3', 2, 1)",
        "unpack_limit('\\1\\2\\3', 0)",
        "unpack_limit('\\1\\2\\3', -1)",
        "unpack_limit('\\1\\2\\3')",
        "unpack_limit('\\1\\2\\3', 5)",
    ],
)
def test_calls_of_cmsgpack(resp2_pair: ClientPair, call: str) -> None:
    evaluate(resp2_pair, f"return {{cmsgpack.{call}}}")


def test_deep_input_is_bounded(resp2_pair: ClientPair) -> None:
    reply = resp2_pair.subject.call(["EVAL", "return cmsgpack.unpack(ARGV[1])", "0", b"\x91" * 1_000_000])
    assert reply.startswith(b"-ERR")


# -- struct ------------------------------------------------------------------------------------------------------------


def test_packing_numbers(resp2_pair: ClientPair, rng: random.Random) -> None:
    for _ in range(2 * ROUNDS):
        count = rng.randrange(1, 5)
        codes = [
            rng.choice(["b", "B", "h", "H", "l", "L", "i", "I", "i3", "I8", "i16", "f", "d", "T"]) for _ in range(count)
        ]
        layout = rng.choice(["", "<", ">", "!", "!4", "> !2 "]) + "".join(codes)
        numbers = [
            rng.choice([rng.randrange(-200, 200), rng.uniform(-5, 5), 2**31, -(2**31), 2**40]) for _ in range(count)
        ]
        written = ", ".join(map(repr, numbers))
        evaluate(resp2_pair, f"return struct.pack('{layout}', {written})")
        evaluate(
            resp2_pair,
            f"local t = {{struct.unpack('{layout}', struct.pack('{layout}', {written}))}} "
            "for i = 1, #t do t[i] = tostring(t[i]) end return t",
        )
        evaluate(resp2_pair, f"return struct.size('{layout}')")


def test_unpacking_random_bytes_by_layouts(resp2_pair: ClientPair, rng: random.Random) -> None:
    for _ in range(2 * ROUNDS):
        layout = "".join(
            rng.choice(["b", "B", ">", "<", "h", "H", "i", "I5", "l", "f", "d", "s", "c3", "Bc0", "x", "!", " ", "!8"])
            for _ in range(rng.randrange(1, 5))
        )
        data = rng.randbytes(rng.randrange(20))
        body = "local t = {struct.unpack(ARGV[1], ARGV[2])} for i = 1, #t do t[i] = tostring(t[i]) end return t"
        evaluate(resp2_pair, body, layout, data)


@pytest.mark.parametrize(
    "call",
    [
        "pack()",
        "pack('i')",
        "pack('i', 'x')",
        "pack('i', {})",
        "pack('i33', 1)",
        "pack('i99999999999', 1)",
        "pack('z', 1)",
        "pack('!3', 1)",
        "pack('!0i', 1)",
        "pack('c3', 'ab')",
        "pack('c2', 'abc')",
        "pack('c0', 'abc')",
        "pack('s', 'abc')",
        "pack('s', 5)",
        "pack('xxi', 1)",
        "pack('!8bd', 1, 2)",
        "pack('')",
        "pack('i', 1, 2)",
        "pack('c9999999999', 'x')",
        "unpack()",
        "unpack('i')",
        "unpack('i', 'abc')",
        "unpack('i', 'abcd', 2)",
        "unpack('b', 'abcd', 2)",
        "unpack('b', 'abcd', 5)",
        "unpack('b', 'abcd', 0)",
        "unpack('b', 'abcd', -1)",
        "unpack('b', 'abcd', 'x')",
        "unpack('s', 'abc')",
        "unpack('s', 'abc\\0def')",
        "unpack('c0', 'abc')",
        "unpack('Bc0', '\\2abc')",
        "unpack('Bc0', '\\200abc')",
        "unpack('bc0', '\\200abc')",
        "unpack('c3', 'ab')",
        "size('s')",
        "size('c0')",
        "size('c5i')",
        "size('!8bd')",
        "size('z')",
        "size()",
        "size({})",
        "size('c2147483647c2147483647')",
    ],
)
def test_calls_of_struct(resp2_pair: ClientPair, call: str) -> None:
    evaluate(resp2_pair, f"return {{struct.{call}}}")


def test_the_bytes_are_those_of_c(resp2_pair: ClientPair) -> None:
    reply = resp2_pair.subject.call(["EVAL", "return struct.pack('<ihd', 1, 2, 3)", "0"])
    expected = struct.pack("<ihd", 1, 2, 3)
    assert reply == b"$%d\r\n%s\r\n" % (len(expected), expected)

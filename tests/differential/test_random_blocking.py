"""Random steps of several clients that wait for keys and make each other go on: after each step everybody has received
the same from both servers."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import ClientPair, Scene, Word
from tests.harness.strategies import call, some

key = st.sampled_from(["k", "j", "l"])
name = st.sampled_from("abcde")
side = st.sampled_from(["LEFT", "RIGHT"])
member = st.sampled_from("xyz")

wait = st.one_of(
    call(st.sampled_from(["BZPOPMIN", "BZPOPMAX"]), some(key, 3, 1), "0"),
    call(st.sampled_from(["BLPOP", "BRPOP"]), some(key, 3, 1), "0"),
    call("BLMOVE", key, key, side, side, "0"),
    call("BRPOPLPUSH", key, key, "0"),
    call("BLMPOP", "0", "2", key, key, side, "COUNT", st.sampled_from("123")),
    call("BZMPOP", "0", "2", key, key, st.sampled_from(["MIN", "MAX"]), "COUNT", st.sampled_from("123")),
)
add = st.one_of(
    call("ZADD", key, "1", member),
    call("ZADD", key, "1", member, "2", member, "3", member),
    call("RPUSH", key, some(member, 4, 1)),
    call("LPUSH", key, some(member, 2, 1)),
    call("LMOVE", key, key, side, side),
    call("ZINCRBY", key, "2", member),
)
change = st.one_of(
    call("SET", key, "v"),
    call("SADD", key, member),
    call("DEL", some(key, 2, 1)),
    call("RENAME", key, key),
    call("RENAMENX", key, key),
    call("COPY", key, key),
    call("COPY", key, key, "DB", st.sampled_from("01"), "REPLACE"),
    call("MOVE", key, st.sampled_from("01")),
    call("SWAPDB", "0", "1"),
    call("SELECT", st.sampled_from("01")),
    call("PEXPIREAT", key, "1"),
    call("ZPOPMIN", key),
    call("LPOP", key),
    call("FLUSHDB"),
)
look = st.one_of(call("TYPE", key), call("EXISTS", key), call("ZRANGE", key, "0", "-1"), call("LRANGE", key, "0", "-1"))
step = st.one_of(wait, wait, wait, add, add, add, change, look)


@st.composite
def transaction(draw: st.DrawFn) -> list[list[Word]]:
    return [["MULTI"], *draw(st.lists(step, max_size=6)), ["EXEC"]]


steps = st.lists(st.tuples(name, st.one_of(step.map(lambda command: [command]), transaction())), max_size=25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=steps)
def test_random_waiting(pair: ClientPair, steps: list[tuple[str, list[list[Word]]]]) -> None:
    scene = Scene(pair)
    pair.assert_same("SELECT 0", "FLUSHALL", "CONFIG RESETSTAT")
    try:
        for who, commands in steps:
            scene.do(who, *commands)
        scene.figures()
        pair.assert_same("SELECT 0", "DEBUG DIGEST")
    finally:
        scene.close()

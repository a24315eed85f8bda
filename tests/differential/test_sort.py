"""SORT and SORT_RO: what they sort, by what, what they show of it, and where they put it."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import ClientPair, Word, unordered
from tests.harness.strategies import call, option, some

DATA = [
    "RPUSH list 5 30 1.5 4 -2 4 1e3",
    "RPUSH words pear apple fig Apple 10 9",
    ["RPUSH", "odd", b"a\0b", b"a\0a", "a", b"\xff", "", "b"],
    "SADD numbers 30 2 100 -7",
    "SADD names ann bob cyd",
    "ZADD board 3 ann 1 bob 2 cyd 2 dan",
    "MSET weight_ann 2 weight_bob 1 weight_cyd 10 weight_4 100",
    "MSET label_ann zz label_bob aa",
    "HSET person_ann age 30 town X",
    "HSET person_bob age 4",
    "SET text x",
    "HSET hash f v",
    "SADD kind_ann 1",
]
TIES = ("BY label_* ALPHA LIMIT 0 100", "BY person_*-> ALPHA")
KEYS = ["list", "words", "numbers", "names", "board", "odd", "text", "hash", "none"]


@pytest.fixture
def data(pair: ClientPair) -> ClientPair:
    pair.assert_same(*DATA)
    return pair


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "options",
    [
        "",
        "DESC",
        "ASC",
        "desc asc",
        "ALPHA",
        "alpha desc",
        "LIMIT 1 2",
        "LIMIT -5 2",
        "LIMIT 0 0",
        "LIMIT 2 -1",
        "LIMIT 2 -9223372036854775808",
        "LIMIT 100 5",
        "ALPHA LIMIT 0 3",
        "ALPHA DESC LIMIT 1 2",
        "BY weight_*",
        "BY weight_* DESC",
        "BY weight_* DESC LIMIT 1 2",
        "BY weight_* GET #",
        "BY person_*->age GET # GET person_*->age GET person_*->town",
        "BY label_* ALPHA LIMIT 0 100",
        "ALPHA GET label_* GET # GET nonesuch GET kind_* GET person_*",
        "BY person_*-> ALPHA",
        "BY *",
        "ALPHA GET # GET #",
    ],
)
def test_sort(data: ClientPair, key: str, options: str) -> None:
    # What has no weight comes in the order of the list, or in any.
    compare = unordered if options in TIES and key in ("numbers", "names", "board") else None
    data.assert_same(f"SORT {key} {options}", f"SORT_RO {key} {options}", compare=compare)
    data.assert_same(f"SORT {key} {options} STORE target", "TYPE target")
    data.assert_same("LRANGE target 0 -1", compare=compare)


@pytest.mark.parametrize("key", [key for key in KEYS if key != "names"])
@pytest.mark.parametrize(
    "options",
    [
        "BY nosort",
        "BY nosort DESC",
        "BY nosort LIMIT 1 2",
        "BY nosort DESC LIMIT 1 2",
        "BY nosort DESC LIMIT 1 100",
        "BY nosort LIMIT 3 0",
        "BY nosort BY weight_*",
        "BY weight_* BY nosort DESC",
        "BY nosort GET # GET weight_*",
        "BY nosort ALPHA",
    ],
)
def test_without_sorting(data: ClientPair, key: str, options: str) -> None:
    compare = unordered if key == "numbers" and "LIMIT" not in options else None
    if key != "numbers" or compare:
        data.assert_same(f"SORT {key} {options}", f"SORT_RO {key} {options}", compare=compare)
    data.assert_same(f"SORT {key} {options} STORE target", "LRANGE target 0 -1")


@pytest.mark.parametrize(
    "options",
    [
        "BY",
        "GET",
        "LIMIT",
        "LIMIT 1",
        "LIMIT x 1",
        "LIMIT 1 x",
        "LIMIT 1 9223372036854775808",
        "LIMIT 1 2 3",
        "STORE",
        "nonesuch",
        "ASCENDING",
        "LIMIT x y nonesuch",
        "nonesuch LIMIT x y",
    ],
)
@pytest.mark.parametrize("key", ["list", "text", "none"])
def test_bad_options(data: ClientPair, key: str, options: str) -> None:
    data.assert_same(f"SORT {key} {options}", f"SORT_RO {key} {options}")


def test_sort_ro_does_not_store(data: ClientPair) -> None:
    data.assert_same("SORT_RO list STORE target", "EXISTS target", "SORT list STORE a STORE b", "EXISTS a", "EXISTS b")


@pytest.mark.parametrize(
    "weight",
    ["", " 1", "1 ", "1x", "x", "nan", "inf", "-inf", "1e308", "0x10", "1e-5", "+3", "-0", ".5", "5.", "1_0", b"1\0x"],
)
def test_weights(data: ClientPair, weight: Word) -> None:
    data.assert_same(
        ["SET", "weight_bob", weight], "SORT names BY weight_*", ["RPUSH", "mixed", weight, "2", "-1"], "SORT mixed"
    )


@pytest.mark.parametrize("weight", ["1e400", "-1e400", "1e-310", "1e-400"])
def test_weights_beyond_a_double(data: ClientPair, weight: str) -> None:
    """Last, and alone: Redis goes on refusing some weights afterwards until a number has been parsed well."""
    data.assert_same(["SET", "weight_bob", weight], "SORT names BY weight_*", "INCRBYFLOAT f 1", "SORT list")


@pytest.mark.parametrize(
    "pattern",
    ["*", "#", "#*", "**", "*->f", "person_*->age->x", "->*", "*->", b"weight_*\0", b"weight_\0*", "person_*->*", ""],
)
def test_patterns(data: ClientPair, pattern: Word) -> None:
    data.assert_same("SET ann 1", "HSET bob f 2", "HSET person_cyd * star age->x 5", ["SET", b"weight_ann\0", "7"])
    data.assert_same("RPUSH people cyd ann bob dan", ["SORT", "people", "BY", "nosort", "GET", pattern, "GET", "#"])
    data.assert_same(["SORT", "people", "ALPHA", "BY", pattern])


def test_a_stored_result_replaces_whatever_was_there(data: ClientPair) -> None:
    data.assert_same("SORT list STORE text", "TYPE text", "EXPIRE text 1000", "SORT numbers STORE text", "TTL text")
    data.assert_same(
        "SORT list STORE list", "LRANGE list 0 -1", "SORT none STORE list", "EXISTS list", "SORT none STORE x"
    )
    data.assert_same("SORT words ALPHA GET nonesuch STORE names", "LRANGE names 0 -1", "OBJECT ENCODING names")


def test_stored_elements_count_as_changes(data: ClientPair) -> None:
    changes = []
    for server in data.servers:
        before = int(server.info("persistence")["rdb_changes_since_last_save"])
        for command in ("SORT list STORE a", "SORT none STORE a", "SORT none STORE a", "SORT list LIMIT 0 1 STORE a"):
            server.call(command)
        changes.append(int(server.info("persistence")["rdb_changes_since_last_save"]) - before)
    assert changes[0] == changes[1]


def test_lookups_are_counted(data: ClientPair) -> None:
    counts = []
    for server in data.servers:
        server.call("CONFIG RESETSTAT")
        for command in (
            "SORT board BY weight_* GET # GET person_*->age",
            "SORT none",
            "SORT hash",
            "SORT board STORE x",
        ):
            server.call(command)
        fields = server.info("stats")
        counts.append((fields["keyspace_hits"], fields["keyspace_misses"]))
    assert counts[0] == counts[1]


def test_many_elements(pair: ClientPair) -> None:
    elements = [str(number * 7919 % 10007 - 3000) for number in range(3000)]
    for kind in ("RPUSH", "SADD"):
        pair.assert_same(
            [kind, "big", *elements], "SORT big", "SORT big DESC LIMIT 100 50", "SORT big ALPHA", "DEL big"
        )
    pair.assert_same(["ZADD", "big", *(word for pair in zip(elements, elements, strict=True) for word in pair)])
    pair.assert_same("SORT big", "SORT big BY nosort DESC LIMIT 10 1000", "SORT big STORE d", "LRANGE d 0 -1")


@pytest.mark.parametrize(
    "request_",
    [
        "SORT a",
        "SORT a STORE b",
        "SORT a BY store STORE b STORE c",
        "SORT a LIMIT STORE 1 STORE x",
        "SORT a STORE",
        "SORT a GET STORE b",
        "SORT a STORE BY x STORE STORE",
        "SORT a store get",
        "SORT",
        "SORT_RO a STORE b",
        "SORT_RO a",
    ],
)
def test_keys_of_a_request(pair: ClientPair, request_: str) -> None:
    pair.assert_same(f"COMMAND GETKEYS {request_}", f"COMMAND GETKEYSANDFLAGS {request_}")


key = st.sampled_from(["a", "b", "c"])
element = st.sampled_from(["1", "2", "3", "10", "-1", "2.5", "x", "a", "b", "c"])
pattern = st.sampled_from(["*", "w_*", "h_*->f", "h_*->g", "#", "nosort"])
# What sorts without ties: where there are any, the order is the server's.
order = st.one_of(
    call("BY", st.sampled_from(["*", "w_*", "h_*->f", "h_*->g"]), some(st.sampled_from(["ASC", "DESC"]), 2)),
    some(st.sampled_from(["ASC", "DESC", "ALPHA"]), 3),
)
sort = call(
    st.sampled_from(["SORT", "SORT", "SORT", "SORT_RO"]),
    key,
    order,
    some(call("GET", pattern), 2),
    option("LIMIT", st.sampled_from(["0", "1", "-1", "5"]), st.sampled_from(["0", "1", "2", "-1"])),
    option("STORE", st.sampled_from(["a", "b", "c", "w_1"])),
)
command = st.one_of(
    sort,
    sort,
    sort,
    call("RPUSH", key, some(element, 4, 1)),
    call("ZADD", key, "1", element, "1", element, "2", element),
    call("SADD", key, some(st.sampled_from(["1", "2", "3", "10"]), 4, 1)),
    call("SET", call("w_").flatmap(lambda word: element.map(lambda suffix: word[0] + suffix)), element),
    call("HSET", element.map("h_".__add__), st.sampled_from("fg"), element),
    call("DEL", key),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(commands=st.lists(command, max_size=30))
def test_random_sorting(pair: ClientPair, commands: list[list[Word]]) -> None:
    session = pair.another()
    try:
        session.assert_same("FLUSHALL", *commands)
    finally:
        session.close()


@pytest.mark.parametrize("options", ["", "DESC", "ALPHA", "ALPHA DESC", "BY w:*", "BY w:* DESC"])
def test_any_range_of_many_elements(pair: ClientPair, rng: random.Random, options: str) -> None:
    numbers = [str(rng.choice([rng.randrange(50), rng.randrange(-(10**18), 10**18), rng.random()])) for _ in range(700)]
    pair.assert_same(
        ["RPUSH", "l", *numbers], ["MSET", *[word for each in numbers[::3] for word in (f"w:{each}", "7")]]
    )
    pair.assert_same(["MSET", *[word for each in numbers[1::3] for word in (f"w:{each}", each)]])
    for _ in range(15):
        offset = rng.randrange(720)
        pair.assert_same(f"SORT l {options} LIMIT {offset} {rng.choice([1, 10, 200, -1])} GET # GET w:*")
    pair.assert_same(f"SORT l {options}", f"SORT l {options} STORE to", "LRANGE to 0 -1")

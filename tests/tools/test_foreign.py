"""What the dumps of other servers hold beside plain data, as the tools show it."""

from __future__ import annotations

import pytest

from tests.rdb.rdb_files import pair, plain, rdb
from tests.rdb.test_foreign import (
    FIELD_TTL,
    FILES,
    FUNCTION2,
    LATER,
    LIBRARY,
    MODULE,
    MODULE_AUX,
    MODULE_DATA,
    TIMED_FILES,
    module_id,
    timed_fields,
    valkey,
)
from tests.rdb.test_foreign import encode_string as string
from tests.tools.test_check_rdb import assert_same_verdict, check
from tests.tools.test_rdb import from_json, run, table, timed

MODULES = MODULE_AUX + module_id("search000") + b"\x02\x01" + MODULE_DATA
MODULES += timed(7, MODULE + plain(b"k") + module_id("ReJSON-RL") + MODULE_DATA) + pair(b"a", b"1")


@pytest.mark.parametrize("data", TIMED_FILES.values(), ids=TIMED_FILES)
def test_fields_that_expire(data: bytes) -> None:
    (found,) = from_json(data)
    assert found["value"] == {
        "a": "1",
        "b": {"value": "2", "expire_at_ms": LATER},
        "c": {"value": "3", "expire_at_ms": LATER + 499},
    }
    (row,) = table(run("memory", data))
    assert (row["elements"], row["largest_element_bytes"]) == ("3", "1")
    assert row["encoding"].startswith("field-ttl")
    assert check(data)[0] == 0
    assert "[info] 2 fields that expire" in check(data)[1]
    for other in TIMED_FILES.values():
        assert run("diff", data, other) == ""
    sooner = FIELD_TTL + plain(b"k") + timed_fields(LATER, (0, b"a", b"1"), (1, b"b", b"2"), (499, b"c", b"3"))
    assert run("diff", data, rdb(sooner, 12), code=1) == "! 0 k: value\n"


def test_modules() -> None:
    data = rdb(MODULES)
    assert run("json", data).splitlines()[0] == (
        '{"database":0,"key":"k","type":"module","expire_at_ms":7,"module":"ReJSON-RL","value":null}'
    )
    row = table(run("memory", data, options=("--type", "module")))[0]
    assert (row["key"], row["arena_bytes"], row["expire_at_ms"]) == ("k", "0", "7")
    assert int(row["file_bytes"]) == len(MODULES) - MODULES.index(b"\xfc") - len(pair(b"a", b"1"))
    code, lines = check(data)
    assert code == 0
    assert f"[offset {9 + MODULES.index(bytes((0xFC,)))}] MODULE AUX for: search000" in lines
    assert "[info] 1 of module type ReJSON-RL, which minikv-server leaves out" in lines
    assert "[info] 1 of module type search000, which minikv-server leaves out" in lines
    other = rdb(timed(7, MODULE + plain(b"k") + module_id("other0000") + MODULE_DATA) + pair(b"a", b"1"))
    assert run("diff", data, other, code=1) == "! 0 k: value\n"
    assert run("diff", data, data) == ""


def test_functions() -> None:
    data = rdb(FUNCTION2 + string(LIBRARY) + FUNCTION2 + string(b"#!lua name=b\n1") + pair(b"k", b"v"))
    assert [found.get("function") for found in from_json(data)] == [LIBRARY.decode(), "#!lua name=b\n1", None]
    assert len(from_json(data, options=("--match", "*"))) == 1
    other = rdb(FUNCTION2 + string(LIBRARY + b"\n") + FUNCTION2 + string(b"what is this?") + pair(b"k", b"v"))
    assert run("diff", data, other, code=1).splitlines() == [
        "- function b: function",
        "! function mylib: value",
        "+ function what is this?: function",
    ]
    assert run("diff", data, other, options=("--db", "0")) == ""


def test_how_keys_were_used() -> None:
    lines = run("json", rdb(b"\xf8\x05" + pair(b"a", b"1") + b"\xf9\x07\x02" + plain(b"s") + b"\1" + plain(b"m")))
    assert lines.splitlines() == [
        '{"database":0,"key":"a","type":"string","value":"1","idle_s":5}',
        '{"database":0,"key":"s","type":"set","value":["m"],"frequency":7}',
    ]


def test_a_dump_of_valkey() -> None:
    assert run("keys", valkey(pair(b"k", b"v"))) == "k\n"
    assert run("diff", valkey(pair(b"k", b"v")), rdb(pair(b"k", b"v"))) == ""


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_each_byte_changed(data: bytes) -> None:
    """Without a checksum; the loader refuses times of fields, which the tool does not."""
    unchecked = data[:-8] + bytes(8)
    for place in range(9, len(unchecked) - 9):
        for mask in (0x01, 0x80):
            changed = unchecked[:place] + bytes((unchecked[place] ^ mask,)) + unchecked[place + 1 :]
            assert_same_verdict(changed)

"""minikv-history: what its commands write, and what they refuse."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minikv.errors import HistoryError, RdbError
from minikv.history import compaction, manifest
from minikv.history.chain import History, text_of
from minikv.history.head import read_head
from minikv.history.loading import load_history
from minikv.history.manifest import Point
from minikv.keyspace import Keyspace
from minikv.rdb.payload import is_sound, restore
from minikv.tools import history as tool
from tests.harness import Server
from tests.history.history_files import (
    FIRST_MS,
    HOUR_MS,
    SAMPLE_STATES,
    Writer,
    db,
    hash_record,
    list_record,
    sample,
    timed_hash_record,
)
from tests.history.states import state_of, state_of_dump
from tests.rdb.rdb_files import pair, plain, rdb

StartServer = Callable[..., Server]


def run(directory: Path, *words: str, code: int = 0) -> str:
    out = io.StringIO()
    options = tool.parser().parse_args(["--history", str(directory), "--quiet", *words])
    assert tool.run(options, out) == code, out.getvalue()
    return out.getvalue()


def objects(directory: Path, *words: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(directory, *words, "--json", code=code).splitlines()]


@pytest.fixture
def history(tmp_path: Path) -> Path:
    sample(tmp_path / "h")
    return tmp_path / "h"


def test_list_has_a_line_for_each_point_its_id_first(history: Path) -> None:
    lines = run(history, "list").splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert [line.split()[3] for line in lines] == ["base", "layer", "layer", "layer"]
    assert text_of(FIRST_MS + HOUR_MS) in lines[1]
    assert "5 written" in lines[1]
    found = objects(history, "list")
    assert [each["id"] for each in found] == [1, 2, 3, 4]
    assert found[1]["written"] == 5
    assert found[1]["keys"] == 6
    assert found[1]["bytes"] == (history / "layer-0000000002.rdb").stat().st_size


def test_show_tells_what_a_point_does_and_needs(history: Path) -> None:
    (found,) = objects(history, "show", "2")
    assert found["operations"] == {
        "elements removed": 2,
        "hash elements": 1,
        "list": 1,
        "removed": 2,
        "set elements": 1,
        "string": 1,
        "zset elements": 1,
    }
    assert (found["base"], found["layers"], found["functions"]) == (1, 1, 0)
    text = run(history, "show", "2")
    assert "operations     2 elements removed, 1 hash elements" in text


def test_diff_tells_what_layers_did(history: Path) -> None:
    assert run(history, "diff", "1", "2", code=1) == (
        "* 0 a: string\n- 0 b\n* 0 h: hash, elements\n* 0 l: list\n- 0 never\n* 0 s: set, elements\n"
        "* 0 z: zset, elements\n"
    )
    assert run(history, "diff", "1", "4", code=1) == "- 3 *\n* 0 b: string\n* 0 new: hash, elements\n* 1 one: string\n"
    assert run(history, "diff", "2", "3", "--match", "o*", code=1) == "* 1 one: string\n"
    assert run(history, "diff", "2", "3", "--db", "3", code=1) == "* 3 a: string\n"
    assert run(history, "diff", "2", "2") == ""
    assert objects(history, "diff", "3", "4", "--db", "0", "--db", "3", code=1) == [
        {"database": 3, "change": "removed"},
        {"database": 0, "key": "b", "change": "written", "type": "string"},
        {"database": 0, "key": "new", "change": "elements", "type": "hash"},
    ]


def test_an_exact_diff_compares_states(history: Path) -> None:
    assert run(history, "diff", "1", "2", "--exact", code=1) == (
        "- function one: function\n! 0 a: value\n- 0 b: string\n! 0 h: value\n+ 0 l: list\n! 0 s: value\n! 0 z: value\n"
    )


def test_diff_across_a_base_is_exact(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    writer.base(db(0) + pair(b"b", b"back"))
    assert run(tmp_path / "h", "diff", "4", "5", code=1) == "- 0 new: hash\n- 0 three: string\n- 1 one: string\n"
    with pytest.raises(HistoryError, match="point 5 is newer than 4"):
        run(tmp_path / "h", "diff", "5", "4")


def test_get_shows_a_key_as_it_was(history: Path) -> None:
    assert json.loads(run(history, "get", "h", "--at", "1")) == {
        "database": 0,
        "key": "h",
        "type": "hash",
        "value": {"f": "1", "g": "1"},
    }
    assert json.loads(run(history, "get", "h", "--at", "3", "--db", "3"))["value"] == {"g": "2", "i": "2"}
    assert json.loads(run(history, "get", "new"))["expire_at_ms"] == 2 * FIRST_MS
    assert json.loads(run(history, "get", "a", "--at", f"@{FIRST_MS // 1000 + 3700}"))["value"] == "2"


def test_get_of_no_such_key(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(history, "get", "h", code=1) == ""
    assert capsys.readouterr().err == "minikv-history: no such key at point 4\n"


def test_a_payload_can_be_restored(history: Path) -> None:
    command = [sys.executable, "-m", "minikv.tools.history", "--history", str(history), "get", "z", "--at", "2"]
    payload = subprocess.run([*command, "--payload"], stdout=subprocess.PIPE, check=True).stdout
    assert is_sound(payload)
    keyspace = Keyspace(1, 1 << 30)
    restore(keyspace.databases[0], b"copy", payload)
    assert state_of(keyspace) == {(0, b"copy"): {b"n": 3.5, b"o": 4.0}}


def test_fields_that_expire_are_shown(tmp_path: Path) -> None:
    later = 2 * FIRST_MS
    Writer(tmp_path / "h").base(db(2) + timed_hash_record(b"t", {b"f": (b"v", later)}), version=12)
    assert json.loads(run(tmp_path / "h", "get", "t", "--db", "2"))["value"] == {
        "f": {"value": "v", "expire_at_ms": later}
    }


def test_log_shows_the_points_of_a_key(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [(each["id"], each["change"]) for each in objects(history, "log", "b")] == [(4, "string")]
    assert [(each["id"], each["change"]) for each in objects(history, "log", "new")] == [(4, "hash elements")]
    assert f"expires {text_of(2 * FIRST_MS)}" in run(history, "log", "new")
    assert run(history, "log", "nothing", code=1) == ""
    assert "no point has this key" in capsys.readouterr().err


@pytest.mark.parametrize("id", SAMPLE_STATES)
def test_restore_writes_a_plain_dump(history: Path, tmp_path: Path, id: int) -> None:
    assert f"point {id} of" in run(history, "restore", str(id), str(tmp_path / "dump.rdb"))
    assert state_of_dump(tmp_path / "dump.rdb") == SAMPLE_STATES[id]
    assert {path.name for path in tmp_path.iterdir()} == {"h", "dump.rdb"}


def test_redis_loads_what_restore_writes(history: Path, tmp_path: Path, start_redis: StartServer) -> None:
    (tmp_path / "redis").mkdir()
    run(history, "restore", "2", str(tmp_path / "redis/dump.rdb"))
    server = start_redis(directory=tmp_path / "redis")
    with server.redis() as client:
        assert client.hgetall("h") == {b"g": b"2", b"i": b"2"}
        assert client.lrange("l", 0, -1) == [b"e", b"e"]
        assert client.dbsize() == 5


def test_a_restored_dump_is_as_old_as_its_point(history: Path, tmp_path: Path) -> None:
    """So that a history can be made of such dumps."""
    run(history, "restore", "3", str(tmp_path / "3.rdb"))
    assert read_head(str(tmp_path / "3.rdb")).ctime == (FIRST_MS + 2 * HOUR_MS) // 1000


def test_restore_leaves_a_file_alone_unless_told(history: Path, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_text("mine")
    with pytest.raises(FileExistsError):
        run(history, "restore", "2", str(tmp_path / "dump.rdb"))
    assert (tmp_path / "dump.rdb").read_text() == "mine"
    run(history, "restore", "2", str(tmp_path / "dump.rdb"), "--force")
    assert state_of_dump(tmp_path / "dump.rdb") == SAMPLE_STATES[2]


def test_restore_of_more_than_16_databases(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "h")
    writer.base(b"\xfe\x40\xc8" + pair(b"k", b"v"))
    writer.layer(origins={300: 200, 200: None})
    run(tmp_path / "h", "restore", "2", str(tmp_path / "dump.rdb"))
    with open(tmp_path / "dump.rdb", "rb") as file:
        assert b"\xfe\x41\x2c" in file.read()


def test_restore_as_append_only_directory(history: Path, tmp_path: Path) -> None:
    assert "a base and 2 layers" in run(history, "restore", "3", str(tmp_path / "aof"), "--aof")
    assert (tmp_path / "aof/appendonlydir/appendonly.aof.manifest").read_text() == (
        "file appendonly.aof.1.base.rdb seq 1 type b\n"
        "file appendonly.aof.1.incr.aof seq 1 type i\n"
        "file appendonly.aof.2.incr.aof seq 2 type i\n"
    )


def test_verify_names_each_damaged_file(history: Path) -> None:
    assert run(history, "verify").endswith("all sound\n")
    data = (history / "layer-0000000003.rdb").read_bytes()
    (history / "layer-0000000003.rdb").write_bytes(data[:80] + b"?" + data[81:])
    text = run(history, "verify", code=1)
    assert text.startswith("point 3: layer-0000000003.rdb: ")
    assert text.endswith("NOT SOUND\n")
    assert [each["sound"] for each in objects(history, "verify", code=1)] == [True, True, False, True]


def test_verify_repairs_what_a_crash_has_left(history: Path) -> None:
    path = history / "manifest"
    path.write_bytes(path.read_bytes()[:-30])
    assert "bytes at its end are no whole line" in run(history, "verify", code=1)
    assert "point 4 added" in run(history, "verify", "--repair")
    assert run(history, "verify").startswith("4 points")


def test_compact_merges_layers(history: Path) -> None:
    assert run(history, "compact", "1", "3").split()[0] == "3"
    assert [each["id"] for each in objects(history, "list")] == [1, 3, 4]
    assert "base" in run(history, "compact", "--base", "4")
    assert [each["kind"] for each in objects(history, "list")] == ["base", "layer", "base"]
    with pytest.raises(HistoryError, match="compact wants two points"):
        run(history, "compact", "1")
    with pytest.raises(HistoryError, match="no point 2: the history has 1 to 4; it is in the span"):
        run(history, "compact", "1", "2")


def test_prune_by_rules_age_and_size(history: Path) -> None:
    assert [line.split()[:3] for line in run(history, "prune", "--keep", "last 2", "--dry-run").splitlines()] == [
        ["would", "go", "1"],
        ["would", "go", "2"],
    ]
    assert len(objects(history, "list")) == 4
    run(history, "prune", "--before", "2")
    assert [each["id"] for each in objects(history, "list")] == [2, 3, 4]
    run(history, "prune", "--keep", "last 1 hourly 2")
    assert [each["id"] for each in objects(history, "list")] == [3, 4]
    with pytest.raises(HistoryError, match="the newest point alone takes"):
        run(history, "prune", "--max-bytes", "10b")
    assert [each["id"] for each in objects(history, "list")] == [4]
    with pytest.raises(HistoryError, match="prune wants"):
        run(history, "prune")
    keyspace = Keyspace(16, 1 << 30)
    load_history(str(history), keyspace)
    assert state_of(keyspace) == SAMPLE_STATES[4]


def test_sizes_as_in_redis_conf() -> None:
    assert [tool.size(text) for text in ("10", "1k", "2kb", "3MB", "1gb", "1t")] == [
        10,
        1 << 10,
        2 << 10,
        3 << 20,
        1 << 30,
        1 << 40,
    ]
    for text in ("", "x", "1x", "-1", "1.5gb"):
        with pytest.raises((ValueError, KeyError)):
            tool.size(text)


def test_a_history_that_is_compacted_while_it_is_read_is_read_again(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = History.check_file
    calls = []

    def check_file(self: History, point: Point, **more: Any) -> None:
        if not calls:
            calls.append(point)
            compaction.thin(History.open(str(history)), {4})
        original(self, point, **more)

    monkeypatch.setattr(History, "check_file", check_file)
    run(history, "restore", "newest", str(tmp_path / "dump.rdb"))
    assert state_of_dump(tmp_path / "dump.rdb") == SAMPLE_STATES[4]


# import


def dump(directory: Path, name: str, body: bytes, ctime: int) -> str:
    path = directory / name
    path.write_bytes(rdb(b"\xfa" + plain(b"ctime") + plain(b"%d" % ctime) + body))
    return str(path)


def test_dumps_become_a_history(tmp_path: Path) -> None:
    keys = b"".join(pair(b"%d" % n, b"v" * 100) for n in range(50))
    first = dump(tmp_path, "first", db(0) + keys + hash_record(b"h", {b"f": b"1"}) + db(3) + pair(b"k", b"v"), 1000)
    second = dump(tmp_path, "second", db(0) + hash_record(b"h", {b"f": b"2"}) + list_record(b"l", [b"e"]) + keys, 2000)
    third = dump(tmp_path, "third", db(0) + keys[:-106] + b"\xf5" + plain(b"#!lua name=x\n"), 3000)
    text = run(tmp_path / "h", "import", third, first, second)
    assert [line.split()[0] for line in text.splitlines()] == ["1", "2", "3"]
    found = objects(tmp_path / "h", "list")
    assert [(each["kind"], each["written"], each["removed"], each["keys"]) for each in found] == [
        ("base", 52, 0, 52),
        ("layer", 2, 1, 52),
        ("layer", 0, 3, 49),
    ]
    assert [each["time_ms"] for each in found] == [1_000_000, 2_000_000, 3_000_000]
    for id, path in enumerate((first, second, third), 1):
        run(tmp_path / "h", "restore", str(id), str(tmp_path / f"{id}.rdb"))
        assert state_of_dump(tmp_path / f"{id}.rdb") == state_of_dump(path)
    assert objects(tmp_path / "h", "show", "3")[0]["functions"] == 1
    assert run(tmp_path / "h", "verify").endswith("all sound\n")


def test_import_goes_on_with_a_history(tmp_path: Path) -> None:
    run(tmp_path / "h", "import", dump(tmp_path, "a", db(0) + pair(b"k", b"1"), 1000))
    later = dump(tmp_path, "b", db(0) + b"".join(pair(b"%d" % n, b"v") for n in range(9)) + pair(b"k", b"1"), 2000)
    run(tmp_path / "h", "import", later)
    last = dump(tmp_path, "c", db(0) + b"".join(pair(b"%d" % n, b"v") for n in range(9)) + pair(b"k", b"2"), 3000)
    run(tmp_path / "h", "import", last)
    assert [(each["kind"], each["written"]) for each in objects(tmp_path / "h", "list")] == [
        ("base", 1),
        ("base", 10),
        ("layer", 1),
    ]
    with pytest.raises(HistoryError, match="the history goes on after that"):
        run(tmp_path / "h", "import", later)


def test_a_dump_that_cannot_be_read_adds_nothing(tmp_path: Path) -> None:
    good = dump(tmp_path, "good", db(0) + pair(b"k", b"1"), 1000)
    data = Path(good).read_bytes()
    bad = tmp_path / "bad"
    bad.write_bytes(data[:-4])
    with pytest.raises(RdbError, match="bad: "):
        run(tmp_path / "h", "import", str(bad))
    assert objects(tmp_path / "h", "list") == []
    bad.write_bytes(rdb(b"\xfa\x05ctime\x042000" + db(0) + pair(b"k", b"1") * 2))
    with pytest.raises(HistoryError, match="holds a key twice"):
        run(tmp_path / "h", "import", good, str(bad))
    assert [each["id"] for each in objects(tmp_path / "h", "list")] == [1]
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "h", "import", str(tmp_path / "none"))


def test_import_wants_the_history_for_itself(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    good = dump(tmp_path, "good", db(0) + pair(b"k", b"1"), FIRST_MS)
    with manifest.locked(str(tmp_path / "h"), "lock"), pytest.raises(HistoryError, match="a server uses this history"):
        run(tmp_path / "h", "import", good)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("")
    with pytest.raises(HistoryError, match="not empty, and no history"):
        run(tmp_path / "other", "import", good)


# The process


def test_import_and_compaction_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "1.rdb").write_bytes(rdb(db(0) + pair(b"k", b"v")))
    run(tmp_path / "h", "import", str(tmp_path / "1.rdb"))
    with (
        compaction.alone(str(tmp_path / "h")),
        pytest.raises(HistoryError, match="another process compacts this history"),
    ):
        run(tmp_path / "h", "import", str(tmp_path / "1.rdb"))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_keeps_nobody_waiting(history: Path, tmp_path: Path, make: Callable[[Path], object]) -> None:
    run(history, "get", "a", "--at", "2")  # the indexes are there
    path = history / "layer-0000000002.rdb"
    path.unlink()
    make(path)
    expected = r"point 2: layer-0000000002\.rdb: it cannot be read: Not a regular file; point 1 is the newest before it"
    for words in (
        ("get", "a", "--at", "2"),
        ("show", "2"),
        ("diff", "1", "2"),
        ("diff", "1", "4", "--exact"),
        ("restore", "3", str(tmp_path / "d.rdb")),
        ("restore", "3", str(tmp_path / "aof"), "--aof"),
        ("compact", "1", "3"),
        ("compact", "--base", "2"),
        ("prune", "--before", "3"),
        ("push", str(tmp_path / "copy")),
    ):
        with pytest.raises(HistoryError, match=expected):
            run(history, *words)
    assert "Not a regular file" in run(history, "verify", code=1)
    (history / "manifest").unlink()
    make(history / "manifest")
    with pytest.raises(OSError, match="Not a regular file"):
        run(history, "list")


def test_every_command_has_a_json_form(history: Path, tmp_path: Path) -> None:
    assert objects(history, "diff", "1", "2", "--exact", "--match", "[al]", code=1) == [
        {"change": "changed", "database": 0, "key": "a", "type": "string", "type_before": "string",
         "value_differs": True, "expire_at_ms_before": None, "expire_at_ms": None},
        {"change": "added", "database": 0, "key": "l", "type": "list"},
    ]  # fmt: skip
    changes = objects(history, "diff", "1", "3", "--exact", code=1)
    assert {"change": "removed", "function": "one"} in changes
    assert objects(history, "get", "a", "--at", "2") == [{"database": 0, "key": "a", "type": "string", "value": "2"}]
    dump, aof, copy, back = (str(tmp_path / name) for name in ("d.rdb", "aof", "copy", "back"))
    (restored,) = objects(history, "restore", "2", dump)
    assert (restored["file"], restored["id"], restored["keys"]) == (dump, 2, 6)
    assert objects(history, "restore", "2", aof, "--aof")[0]["files"] == 2
    assert [each["id"] for each in objects(tmp_path / "imported", "import", dump)] == [1]
    assert objects(history, "push", copy) == [{"to": copy, "files": 4, "bytes": objects_bytes(history)}]
    assert objects(Path(back), "pull", copy)[0]["files"] == 4
    assert objects(history, "compact", "1", "3")[0]["id"] == 3
    assert [(each["id"], each["gone"]) for each in objects(history, "prune", "--before", "3", "--dry-run")] == [
        (1, False)
    ]
    assert [(each["id"], each["gone"]) for each in objects(history, "prune", "--before", "3")] == [(1, True)]
    assert objects(history, "prune", "--before", "3") == []
    (history / "manifest").write_bytes((history / "manifest").read_bytes() + b"cut")
    assert objects(history, "verify", code=1)[0]["file"] == "manifest"
    assert "cut by a crash" in objects(history, "verify", "--repair")[0]["repaired"]


def objects_bytes(history: Path) -> int:
    return sum(point.nbytes for point in History.open(str(history)).points)


def test_errors_are_one_line_and_exit_code_2(history: Path, tmp_path: Path) -> None:
    for words, reason in (
        (("list", "--history", "x"), None),
        (("show", "99"), "no point 99: the history has 1 to 4"),
        (("get", "k", "--at", "1999-01-01"), "the history begins at"),
        (("restore", "2", "/no/such/dump.rdb"), "No such file or directory"),
        (("prune", "--keep", "hourly"), "is no rule"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "minikv.tools.history", "--history", str(history), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        if reason is not None:
            assert done.stderr.count("\n") == 1
            assert done.stderr.startswith("minikv-history: ")
            assert reason in done.stderr
            assert done.stdout == ""
    assert History.open(str(history)).newest is not None
    assert sorted(os.listdir(tmp_path)) == ["h"]


def test_a_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no history, for it has no manifest"):
        run(tmp_path / "none", "list")

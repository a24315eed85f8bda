"""SNAPSHOT over the wire: the history, the map of the arena, and the advice."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from minikv.commands import snapshot
from minikv.commands.advice import Circumstances, advise
from minikv.commands.snapshot import copied_bytes, reply_of
from minikv.host.system_check import Finding
from minikv.keyspace import Keyspace
from minikv.snapshot.cost import SnapshotCost
from minikv.snapshot.history import Entry
from tests.harness import Server, Value, WireClient, parse, wait_until
from tests.harness.dataset import background_save, pipeline

KB = 1 << 10
MB = 1 << 20
GB = 1 << 30
SEGMENT = 2 * MB


def history(client: WireClient, count: str = "-1") -> list[dict[str, Any]]:
    return [mapping(entry) for entry in client.value(f"SNAPSHOT HISTORY {count}")]


def mapping(reply: Value) -> dict[str, Any]:
    """A map of RESP3, or the flat array of RESP2, with names as text."""
    assert reply.kind in (b"%", b"*")
    return {
        name.payload.decode(): int(value.payload) if value.kind == b":" else value.payload
        for name, value in zip(reply.payload[::2], reply.payload[1::2], strict=True)
    }


def segments(client: WireClient) -> list[dict[str, Any]]:
    """SNAPSHOT MAP, segment by segment."""
    found = mapping(parse(client.call("SNAPSHOT MAP")))
    assert found["segment-bytes"] == SEGMENT
    columns = {
        "kind": [chr(letter) for letter in found["kind"]],
        "state": [chr(letter) for letter in found["state"]],
        **{name: [int(word) for word in found[name].split()] for name in ("database", "store", "live", "copied")},
    }
    assert {len(column) for column in columns.values()} == {found["segments"]}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture
def server(start_minikv: Any) -> Server:
    """16 MB of data in database 0, a large set in database 3, and a value of 9 MB in database 5."""
    started: Server = start_minikv()
    with started.connect() as client:
        pipeline(client, [["SET", f"key:{index}", os.urandom(KB)] for index in range(16_000)])
        client.value("SELECT 3")
        pipeline(
            client, [["SADD", "set", *(f"member:{n}" for n in range(i, i + 1000))] for i in range(0, 20_000, 1000)]
        )
        client.value("SELECT 5")
        client.value(("SET", "large", os.urandom(9 * MB)))
    return started


@pytest.mark.parametrize("resp", [2, 3])
def test_the_history_is_a_map_for_each_snapshot(server: Server, resp: int) -> None:
    background_save(server)
    with server.connect() as client:
        client.value(f"HELLO {resp}")
        reply = client.value("SNAPSHOT HISTORY")
        assert [entry.kind for entry in reply] == [b"%" if resp == 3 else b"*"]
        (entry,) = history(client)
    assert (entry["cause"], entry["outcome"], entry["keys"]) == (b"BGSAVE", b"saved", 16_002)
    assert entry["bytes"] == server.dump_path.stat().st_size
    assert list(entry) == [name.decode() for name in reply_of(Entry(0, "", ""))]
    for name in (
        "started-ms",
        "fork-us",
        "minor-faults-parent",
        "minor-faults-child",
        "child-cpu-us",
        "worst-stall-us",
    ):
        assert entry[name] > 0, name


def test_the_newest_come_first_and_can_be_forgotten(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            background_save(server)
            client.value("SET a b")
        starts = [entry["started-ms"] for entry in history(client)]
        assert len(starts) == 3
        assert starts == sorted(starts, reverse=True)
        assert [entry["started-ms"] for entry in history(client, "2")] == starts[:2]
        assert history(client, "0") == []
        assert client.call("SNAPSHOT RESET") == b"+OK\r\n"
        assert history(client) == []


def test_the_history_as_text(server: Server) -> None:
    background_save(server)
    text = server.control.value("SNAPSHOT HISTORY 1 TEXT").decode()
    assert text.startswith("# Snapshot 1\r\nstarted-ms:")
    assert "\r\noutcome:saved\r\n" in text


@pytest.mark.parametrize("words", ["x", "-2", "1 2", "1 TEXT 2", "TEXT TEXT"])
def test_wrong_counts_are_refused(minikv: Server, words: str) -> None:
    assert minikv.call(f"SNAPSHOT HISTORY {words}").startswith(b"-ERR ")


# -- the map


def test_the_map_shows_what_lies_where(server: Server) -> None:
    with server.connect() as client:
        found = segments(client)
    assert {row["state"] for row in found} == {"-"}
    keys = [row for row in found if row["database"] == 0]
    assert {row["kind"] for row in keys} == {"r"}
    assert 16_000 * KB < sum(row["live"] for row in keys) < 18_000 * KB
    in_set = [row for row in found if row["database"] == 3 and row["store"] != 3]
    assert len({row["store"] for row in in_set}) == 1
    assert sum(row["live"] for row in in_set) > 20_000 * 12
    assert [row["kind"] for row in found if row["database"] == 5] in (["j", *"JJJJ"], ["r", "j", *"JJJJ"])


@pytest.mark.parametrize("way", ["relocate", "in-place"])
def test_the_map_shows_how_far_the_child_is_and_what_was_copied(server: Server, way: str) -> None:
    server.call(f"CONFIG SET snapshot-writes {way}")
    server.call("CONFIG SET rdb-key-save-delay 200")
    assert server.call("BGSAVE") == b"+Background saving started\r\n"
    with server.connect() as client:
        wait_until(lambda: any(row["state"] == "b" for row in segments(client)), "the child has passed a segment")
        os.kill(server.children()[0].pid, signal.SIGSTOP)
        before = segments(client)
        assert {row["state"] for row in before} >= {"b", "f"}
        assert sum(row["copied"] for row in before) == 0
        pipeline(client, [["SETRANGE", f"key:{index}", "10", "changed"] for index in range(15_000, 16_000)])
        after = segments(client)
    copied = sum(row["copied"] for row in after)
    if way == "relocate":
        assert copied == 0
        assert any(row["state"] == "n" for row in after)
    else:
        assert 900 * KB < copied < 3 * MB
    assert all(row["copied"] == 0 for row in after if row["state"] != "f")


def test_a_map_that_would_take_too_long_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    keyspace = Keyspace(16, 64 * MB)
    for index in range(20_000):
        keyspace.databases[0].set(b"%d" % index, bytes(1000))
    keyspace.snapshot_open(True)
    try:
        found = keyspace.segment_map()
        assert set(found.states) == {ord("f")}
        assert set(copied_bytes(found)) != {-1}
        monkeypatch.setattr(snapshot, "LOOK_S", -1.0)
        copied = copied_bytes(found)
        assert len(copied) == len(found.states)
        assert copied[0] >= 0
        assert set(copied[1:]) == {-1}
    finally:
        keyspace.snapshot_close()


# -- the advice

GOOD = Finding("overcommit", "vm.overcommit_memory = 1", "All is well.")
BAD = Finding("overcommit", "vm.overcommit_memory = 2", "A fork may be refused.", "'sysctl vm.overcommit_memory=1'")
SERVER = Circumstances(huge_pages=True, relocates=True, live_bytes=GB)


def entry(outcome: str = "saved", stall_us: int = 0, started_at_ms: int = 0, **cost: Any) -> Entry:
    figures = {"duration_s": 1.0, "bytes_written": GB} | cost
    return Entry(started_at_ms, "BGSAVE", outcome, live_bytes=GB, stall_us=stall_us, cost=SnapshotCost(**figures))


def test_the_advice_of_a_running_server(server: Server) -> None:
    background_save(server)
    text = server.control.value("SNAPSHOT ADVISE").decode()
    assert text.startswith(("What to change:\n\n- ", "Nothing to change"))


def test_where_all_is_well_nothing_is_advised() -> None:
    assert advise([GOOD], [entry()], SERVER).startswith("Nothing to change")
    assert advise([GOOD], [], SERVER).startswith("Nothing to change")


def test_the_hosts_findings_are_advice() -> None:
    assert "sysctl vm.overcommit_memory=1" in advise([GOOD, BAD], [], SERVER)


@pytest.mark.parametrize(
    ("entries", "server", "word"),
    [
        ([entry("failed while walking: No space left on device")], SERVER, "room for both"),
        ([entry("fork refused: Cannot allocate memory")], SERVER, "vm.overcommit_memory 1"),
        ([entry("killed by signal 9 while walking")], SERVER, "dmesg"),
        ([entry("killed: no progress")], SERVER, "network file system"),
        ([entry(fork_us=15_000)], Circumstances(False, True, GB), "transparent_hugepage"),
        ([entry(fork_us=15_000)], SERVER, "core of its own"),
        ([entry(growth_peak=GB)], Circumstances(True, False, GB), "snapshot-writes relocate"),
        ([entry(growth_peak=GB)], SERVER, "clients write much"),
        ([entry(stall_us=90_000)], SERVER, "90 ms"),
        ([entry(duration_s=100.0)], SERVER, "faster one"),
        ([entry(started_at_ms=ms, duration_s=9.0) for ms in (20_000, 10_000, 0)], SERVER, "% of the time"),
    ],
)
def test_the_history_is_advice(entries: list[Entry], server: Circumstances, word: str) -> None:
    assert word in advise([GOOD], entries, server)


def test_a_save_that_was_cancelled_is_no_failure() -> None:
    assert advise([GOOD], [entry("cancelled")], SERVER).startswith("Nothing to change")

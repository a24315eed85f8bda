"""The benchmarks measure what they say and leave nothing behind; no test here looks at a speed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import commands, eviction, load, processes, startup
from benchmarks.datasets import DataSet
from benchmarks.mixed import LARGE, MIXED, Collections, mixed
from benchmarks.options import Options
from benchmarks.report import Figure, Report
from benchmarks.servers import MINIKV, REDIS, ROOT, ServerSpec, in_turns, running
from tests.harness import wait_until

needs_redis = pytest.mark.usefixtures("oracle_command")

OTHER_REDIS = ServerSpec("other", ("redis-server",))


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options((REDIS, OTHER_REDIS), rounds=1, seed=7, scale=0.0005, directory=tmp_path)


def test_table_shows_the_median_its_spread_and_the_ratio_to_the_first_server() -> None:
    report = Report("load", "How long?", {}, {"redis": "7.0.15", "minikv": "0.1"})
    for value in (2.0, 4.0, 3.0):
        report.add("start", "s", "redis", value)
        report.add("start", "s", "minikv", value / 2)
    report.add("keys", "k", "minikv", 123456.7)
    assert report.markdown().splitlines() == [
        "|  | redis 7.0.15 | minikv 0.1 | minikv / redis |",
        "| --- | ---: | ---: | ---: |",
        "| start, s | 3 (2 to 4) | 1.5 (1 to 2) | 0.50 |",
        "| keys, k |  | 123,457 |  |",
    ]


def test_ratio_pairs_the_samples_of_a_round() -> None:
    figure = Figure("save", "s", {"a": [1.0, 100.0, 10.0], "b": [2.0, 200.0, 20.0]})
    assert figure.ratio("b", "a") == 2.0
    assert figure.ratio("b", "missing") is None


def test_saved_result_names_commit_machine_and_seed(tmp_path: Path) -> None:
    path = Report("memory", "?", {"seed": 7}, {"redis": "7.0.15"}).save(tmp_path)
    saved = json.loads(path.read_text())
    assert saved["options"]["seed"] == 7
    assert set(saved) >= {"commit", "machine", "figures", "servers", "started_at"}
    assert saved["machine"]["cores"] == os.cpu_count()


def test_turns_rotate() -> None:
    assert [in_turns("ab", turn) for turn in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_data_set_is_decided_by_its_seed_and_versions_differ() -> None:
    data, same, other = DataSet(10, 100, 1), DataSet(10, 100, 1), DataSet(10, 100, 2)
    assert data.value(3) == same.value(3) != other.value(3)
    assert data.value(3, 1) != data.value(3) and len(data.value(3, 1)) == 100
    assert len(data.key(3)) == 16
    assert sorted(data.sample(10, 0)) == list(range(10))


@needs_redis
def test_verify_finds_a_lost_key_and_a_wrong_value(tmp_path: Path) -> None:
    data = DataSet(1000, 100, 1)
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        data.load(client)
        data.verify(client)
        client.pipeline(data.writes(range(500, 510), version=1))
        data.verify(client, dict.fromkeys(range(500, 510), 1))
        with pytest.raises(RuntimeError, match="wrong value"):
            data.verify(client)
        client.pipeline(data.deletes([0]))
        with pytest.raises(RuntimeError, match="999 keys"):
            data.verify(client)


def test_mixed_data_set_is_of_one_gigabyte_a_tenth_of_it_in_large_collections() -> None:
    small, large = (sum(part.payload_bytes for part in parts) for parts in (MIXED, LARGE))
    assert 0.9e9 < small + large < 1.1e9
    assert 0.1 < large / (small + large) < 0.12


@needs_redis
def test_mixed_data_set_is_what_it_says(tmp_path: Path) -> None:
    data = Collections(mixed(0.001), 1)
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        data.load(client)
        data.verify(client)
        sent = sum(part.payload_bytes for part in data.parts)
        client.command("SAVE")
        assert sent < server.dump.stat().st_size < 1.2 * sent
        for part in data.parts:
            if part.keys == 1 and part.kind != "set":
                elements = data.sample(part, 100, 0)
                client.pipeline(data.changes(part, elements, 1))
                data.verify(client, {(part, element): 1 for element in elements})
                with pytest.raises(RuntimeError, match="wrong element"):
                    data.verify(client)
                client.pipeline(data.changes(part, elements, 0))


@needs_redis
def test_child_is_stopped_and_goes_with_its_server(tmp_path: Path) -> None:
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        DataSet(20_000, 1024, 1).load(client)
        client.send("BGSAVE")
        child = processes.stop_first_child(server.pid)
        assert processes.state(child) == "T"
        assert processes.pss(child) > 0
    assert processes.state(child) in ("", "Z")
    assert list(tmp_path.iterdir()) == []


@needs_redis
def test_each_server_starts_on_its_own_and_on_the_others_dump(options: Options) -> None:
    report = load.run(options)
    for name in ("start until PONG with its own file", "start until PONG with another's file"):
        assert set(report.figure(name, "s").samples) == {"redis-server", "other"}
    assert list(options.directory.iterdir()) == []


@pytest.mark.server
def test_sweep_asks_for_every_command_of_the_table(tmp_path: Path) -> None:
    with running(MINIKV, parent_dir=tmp_path) as server:
        names = {name.decode() for name in server.client().command("COMMAND", "LIST")}
    asked = set()
    for workload in commands.workloads():
        for words in workload.requests(10, 0):
            name = str(words[0]).lower()
            asked |= {name, f"{name}|{str(words[1]).lower()}" if len(words) > 1 else name}
    containers = {name.partition("|")[0] for name in names if "|" in name}
    names = {name for name in names - containers if not name.endswith("|help")}
    assert {name for name in names - asked if name.partition("|")[0] not in commands.NOT_SWEPT} == set()


def test_sweep_marks_what_costs_twice_as_much_or_grows_faster() -> None:
    report = commands.Sweep("commands", "?", {}, {"a": "1", "b": "1"})
    for size, times in ((10, (10.0, 21.0)), (1000, (10.0, 100.0))):
        for server, time in zip("ab", times, strict=True):
            report.add(f"elements: LLEN l, {size}", "us", server, time)
    assert report.markdown().splitlines()[2:] == [
        "| `elements: LLEN l` | 21 (2.10) | 100 (10.00) |  | 4.8 (1.0) | >2 grows |",
        "",
        "1 of 1 requests are marked",
    ]


@needs_redis
def test_sweep_measures_requests_that_need_preparing(options: Options) -> None:
    report = commands.run(options, only="LTRIM")
    assert [figure.name.partition(", ")[0] for figure in report.figures] == [
        "elements: COPY l t REPLACE ; LTRIM t {half} -1"
    ] * len(report.figures)
    assert {name: len(samples) for name, samples in report.figures[0].samples.items()} == {
        "redis-server": 1,
        "other": 1,
    }


@pytest.mark.slow  # with fewer keys the buffers of one client take the memory of all
@needs_redis
def test_eviction_measures_hits_of_every_policy(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "POLICIES", ("allkeys-lru", "volatile-lru"))
    report = eviction.run(dataclasses.replace(options, scale=0.05))
    hits = {figure.name: figure.samples for figure in report.figures if figure.unit == "%"}
    assert len(hits) == len(eviction.POLICIES) + 1
    assert all(20 < sample < 95 for samples in hits.values() for values in samples.values() for sample in values)


@needs_redis
def test_startup_takes_a_sample_of_every_server(options: Options) -> None:
    report = startup.run(options)
    for figure in report.figures:
        assert {name: len(samples) for name, samples in figure.samples.items()} == {"redis-server": 1, "other": 1}


@needs_redis
def test_interrupted_run_stops_its_servers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the command line needs the lab's extra: pip install -e '.[lab]'")
    command = [sys.executable, "-m", "benchmarks", "memory", "--server", "redis-server", "--directory", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as run:
        while not (servers := processes.children(run.pid)):
            assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        assert run.wait(200) == 143
    wait_until(lambda: all(processes.state(server) in ("", "Z") for server in servers), "the servers end")
    assert list(tmp_path.iterdir()) == []

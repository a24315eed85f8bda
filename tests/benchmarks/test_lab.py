"""The lab's own logic: keys, requests, percentiles, ratios, finding the child. No test here looks at a speed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("matplotlib", reason="the lab is an extra: pip install -e '.[lab]'")

import numpy as np

from benchmarks import command_line, mechanisms, picture, processes, snapshot
from benchmarks.client import Client, ReplyError
from benchmarks.compare import commit_of, contender
from benchmarks.copy_on_write import EXPERIMENTS, crossing
from benchmarks.figures import percentiles, ratio, samples_outside
from benchmarks.keys import Distribution
from benchmarks.options import Options
from benchmarks.plan import Curve, Demand, keyspace, rising
from benchmarks.probe import Answer, Probe
from benchmarks.report import Report
from benchmarks.servers import MINIKV, PRESETS, REDIS, ROOT, ServerSpec, running
from benchmarks.traffic import Load, Traffic, fill
from benchmarks.watch import Sample, Watcher

needs_redis = pytest.mark.usefixtures("oracle_command")
REDIS_AS = "redis=redis-server"


def drawn(text: str, count: int, size: int = 20_000) -> np.ndarray:
    return next(Distribution.parse(text, count).batches(size, seed=1))


# -- keys


@pytest.mark.parametrize("text", ["uniform", "zipf", "zipf:1.4", "sequential", "shuffled", "hot", "hot:0.01:0.99"])
@pytest.mark.parametrize("count", [1, 2, 10, 1000])
def test_keys_lie_in_the_data_set_and_the_seed_decides_them(text: str, count: int) -> None:
    if text.startswith("hot") and count == 1:
        pytest.skip("one key has no hot part")
    numbers = drawn(text, count)
    assert numbers.min() >= 0 and numbers.max() < count
    assert (numbers == drawn(text, count)).all()


def test_zipf_touches_keys_as_often_as_their_rank_says() -> None:
    counts = np.sort(np.bincount(drawn("zipf:1", 1000, 200_000), minlength=1000))[::-1]
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.2)


def test_hot_keys_get_their_share() -> None:
    counts = np.sort(np.bincount(drawn("hot:0.1:0.9", 1000, 100_000), minlength=1000))[::-1]
    assert counts[:100].sum() / 100_000 == pytest.approx(0.9, abs=0.01)


def test_shuffled_and_sequential_touch_every_key_once_in_a_round() -> None:
    for text in ("sequential", "shuffled"):
        assert sorted(drawn(text, 997, 997)) == list(range(997))
    assert np.abs(np.diff(drawn("shuffled", 997, 997))).mean() > 250  # a third of the keys, if at random


@pytest.mark.parametrize("text", ["uniform", "zipf", "hot", "sequential", "shuffled"])
def test_expected_number_of_distinct_keys_is_what_comes(text: str) -> None:
    came = len(set(drawn(text, 5000, 4000)))
    assert Distribution.parse(text, 5000).distinct(4000) == pytest.approx(came, rel=0.05)


@pytest.mark.parametrize("text", ["gauss", "zipf:1:2", "hot:0:0.5", "hot:0.5:1", "zipf:x", "uniform:1"])
def test_unknown_distributions_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Distribution.parse(text, 10)


# -- requests


def test_requests_are_those_that_a_client_would_write() -> None:
    load = Load(count=1000, value_lens=(3, 3))
    requests = load.requests("GET")
    expected = b"".join(b"*2\r\n$3\r\nGET\r\n$16\r\nlab:%012d\r\n" % number for number in (7, 123456789012, 0))
    assert bytes(requests.batch(np.array([7, 123456789012, 0]))) == expected


def test_requests_come_round_without_a_gap() -> None:
    requests = Load(count=10, value_lens=(1, 50)).requests("SET")
    for start in range(0, 3 * 4096, 1000):
        batch = bytes(requests.batch(np.arange(start, start + 1000)))
        assert batch.count(b"*3\r\n$3\r\nSET\r\n$16\r\nlab:") == 1000
        assert b"lab:%012d\r\n" % start in batch and batch.endswith(b"\r\n")


@needs_redis
def test_values_have_the_lengths_asked_for_and_every_key_exists(tmp_path: Path) -> None:
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        fill(client, Load(count=1000, value_lens=(10, 20)))
        lens = [client.command("STRLEN", f"lab:{number:012d}") for number in range(1000)]
    assert (min(lens), max(lens), len(set(lens))) == (10, 20, 11)


@needs_redis
@pytest.mark.parametrize("rate", [0, 5000])
def test_traffic_writes_reads_and_ends(tmp_path: Path, rate: float) -> None:
    load = Load(count=100, value_lens=(1, 99), keys="zipf", rate=rate, read_share=0.75)
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        fill(client, load)
        with Traffic(server, load) as traffic:
            while traffic.writes < 1000:
                time.sleep(0.001)
        told = client.info("commandstats")
    assert int(told["cmdstat_set"].split(",")[0].split("=")[1]) >= 1100
    assert int(told["cmdstat_get"].split(",")[0].split("=")[1]) >= 2900


@needs_redis
def test_refused_writes_end_the_run_loudly(tmp_path: Path) -> None:
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        with pytest.raises(RuntimeError, match="broke off"), Traffic(server, Load(count=100)) as traffic:
            client.command("CONFIG", "SET", "maxmemory", "1")
            while traffic.process.poll() is None:
                time.sleep(0.01)


# -- latency


def test_a_pause_counts_for_all_whom_it_would_have_held_up() -> None:
    probe = Probe(0, ("GET",), period_s=0.01)
    probe.answers = [Answer("GET", 0.0, 0.001), Answer("GET", 0.01, 0.035), Answer("SET", 0.05, 0.5)]
    assert probe.latencies_ms("GET", 0, 1) == pytest.approx([1, 35, 25, 15, 5])
    assert probe.latencies_ms("GET", 0.02, 1) == []
    assert probe.worst_ms(0.03, 0.04) == pytest.approx(35)


def test_a_client_reads_replies_that_come_in_pieces() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Client(listener.getsockname()[1]) as client:
        server, _ = listener.accept()

        def answer() -> None:
            with server:
                server.recv(100)
                for piece in (b"$1", b"0\r\n12345", b"67890\r", b"\n*2\r\n$-1\r\n", b":7\r\n-ERR n", b"o\r\n+next\r\n"):
                    server.sendall(piece)
                    time.sleep(0.01)

        thread = threading.Thread(target=answer)
        thread.start()
        assert client.command("GET", "x") == b"1234567890"
        assert client.receive() == [None, 7]
        with pytest.raises(ReplyError, match="ERR no"):
            client.receive()
        assert client.receive() == b"next"
        with pytest.raises(ConnectionError, match="closed"):
            client.receive()
        thread.join()


# -- figures


def test_percentiles_are_values_that_occurred() -> None:
    assert percentiles([float(n) for n in range(1, 1001)]) == [500, 990, 999, 1000]
    assert percentiles([3.0]) == [3.0] * 4
    assert all(np.isnan(percentiles([])))


def test_interval_of_the_median_is_that_of_the_binomial_distribution() -> None:
    assert [samples_outside(count) for count in (1, 5, 6, 8, 9, 15, 20, 100)] == [0, 0, 0, 0, 1, 3, 5, 39]


def test_ratio_tells_a_difference_from_noise() -> None:
    a = [100.0, 103, 97, 101, 99, 104, 98, 100, 102]
    assert ratio(a, a[::-1]).verdict == "no difference shown"
    assert ratio(a, [0.8 * x for x in a]).verdict == "less, by 20.0%"
    assert ratio(a, [x + 20 for x in a[::-1]]).verdict.startswith("more, by 2")
    assert "too few" in ratio(a[:5], a[:5]).verdict
    assert ratio([0.0], [1.0]) is None


def test_growth_is_known_only_where_the_child_was_read() -> None:
    sample = Sample(0.0, 0, parent_rss=100, parent_faults=0, parent_page_tables=5, child_page_tables=4)
    assert sample.held is None
    sample.child_private = 30
    assert sample.held == 139


# -- servers and children


def test_servers_are_told_by_name_command_or_url() -> None:
    assert ServerSpec.parse("minikv") is MINIKV is PRESETS["minikv"]
    assert ServerSpec.parse("a=redis-server --io-threads 2").command == ("redis-server", "--io-threads", "2")
    told = ServerSpec.parse("mine=redis://:secret@127.0.0.1:7000")
    assert (told.name, told.url, told.told) == ("mine", "redis://:secret@127.0.0.1:7000", "redis://127.0.0.1:7000")
    assert ServerSpec.parse("redis://localhost:7000").name == "localhost:7000"


def test_other_machines_are_refused() -> None:
    with pytest.raises(ValueError, match="must run on"), running(ServerSpec.parse("redis://10.0.0.1:6379")):
        pass


@needs_redis
def test_a_server_that_runs_is_found_by_its_port_and_left_running(tmp_path: Path) -> None:
    with running(ServerSpec.parse(REDIS_AS), parent_dir=tmp_path) as server:
        server.client().command("CONFIG", "SET", "requirepass", "pass word")
        url = f"redis://:pass%20word@127.0.0.1:{server.port}"
        with running(ServerSpec.parse(url)) as attached:
            assert attached.pid == server.pid
            assert attached.client().command("PING") == b"PONG"
        assert processes.state(server.pid) in ("S", "R")


def test_first_child_is_one_that_was_not_there_before() -> None:
    others = [child.pid for child in psutil.Process().children()]
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as old:
        with subprocess.Popen(command, stdin=subprocess.PIPE) as new:
            assert processes.first_child(os.getpid(), known=[*others, old.pid]) == new.pid
            assert set(processes.children(os.getpid())) >= {old.pid, new.pid}
            new.communicate()
        with pytest.raises(TimeoutError):
            processes.first_child(os.getpid(), known=[*others, old.pid], timeout_s=0.05)
        old.communicate()


@needs_redis
def test_watcher_sees_the_child_and_its_memory(tmp_path: Path) -> None:
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        load = Load(count=5000, value_lens=(1000, 1000))
        fill(client, load)
        with Watcher(server.pid, period_s=0.001) as watcher:
            client.send("BGSAVE")
            watcher.child = processes.stop_first_child(server.pid)
            client.receive()
            base = next(sample.held for sample in reversed(watcher.samples) if sample.held is not None)
            fill(client, load)
            while not watcher.samples[-1].child_private > 3_000_000:
                time.sleep(0.001)
            grown = watcher.samples[-1].held - base
    assert 3_000_000 < grown < 30_000_000


@needs_redis
@pytest.mark.parametrize("hold", ["0", "0.2"])
def test_snapshot_reports_and_draws_every_server(tmp_path: Path, hold: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "snapshot", "--server", "redis-server", "--server", "minikv"]
    command += ["--keys", "20000", "--before", "0.3", "--after", "0.3", "--hold", hold, "--results", str(tmp_path)]
    subprocess.run([*command, "--directory", str(tmp_path)], cwd=ROOT, check=True, capture_output=True, timeout=200)
    (saved,) = tmp_path.glob("*.json")
    assert saved.with_suffix(".png").stat().st_size > 10_000
    result = json.loads(saved.read_text())
    samples = {figure["name"]: figure["samples"] for figure in result["figures"]}
    for name in ("peak growth", "SET p99 during", "GET worst before", "fork pause as told (latest_fork_usec)"):
        assert set(samples[name]) == {"redis-server", "minikv"}
    assert set(result["series"]) == {"redis-server", "minikv"}
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".png"}


@needs_redis
def test_a_running_server_is_measured_only_if_empty_and_emptied_again(tmp_path: Path) -> None:
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        command = [sys.executable, "-m", "benchmarks", "snapshot", "--server", f"redis://127.0.0.1:{server.port}"]
        command += ["--keys", "10000", "--before", "0.1", "--after", "0.1", "--results", str(tmp_path)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
        assert client.command("DBSIZE") == 0
        client.command("SET", "mine", "1")
        refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
        assert refused.returncode == 1 and "holds 1 keys" in refused.stderr and "Traceback" not in refused.stderr
        assert client.command("GET", "mine") == b"1"


# -- mechanisms


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_in_little_memory_and_is_drawn(tmp_path: Path, name: str) -> None:
    budget = 128 << 20 if name == "fork-time" else 16 << 20  # 128 MB is its smallest mapping
    found = mechanisms.experiment(name, budget)
    assert found["figures"] or found["told"]
    figures = mechanisms.draw({"series": {name: found}})
    assert all(path.stat().st_size > 1000 for path in picture.save(figures, tmp_path / "x.json"))


def test_scattered_writes_copy_more_than_writes_in_order() -> None:
    found = mechanisms.experiment("scattered-writes", 16 << 20)
    copied = {name: samples[0] for name, _, samples in found["figures"]}
    random, in_order = (
        next(v for k, v in copied.items() if k.endswith(f"100 B {how}")) for how in ("at random", "in order")
    )
    assert random > 5 * in_order
    at_random, one_by_one = (sum(row.count("1") for row in rows) for rows in found["maps"].values())
    assert 3000 < at_random < 4100 and 97 <= one_by_one <= 110


def test_reading_python_objects_copies_them() -> None:
    found = mechanisms.experiment("reference-counts", 64 << 20)
    copied = {name: samples[0] for name, unit, samples in found["figures"] if unit == "MB copied"}
    assert copied["the child reads the objects"] > 10 * copied["the child does nothing"]


def test_lines_cross_where_they_reach_the_level() -> None:
    assert crossing([(0, 0), (50, 10), (100, 30)], 20) == 75
    assert crossing([(1, 5), (100, 30)], 2) == 1
    assert crossing([(1, 5), (100, 30)], 50) == 100


# -- plan


def test_curve_is_read_off_between_its_points_and_stays_flat_beyond() -> None:
    curve = Curve(100, 1e6, 0.1, 10.0, 0, rising([(0.5, 0.8), (0.0, 0.0), (0.2, 0.6), (0.2, 0.5), (0.3, 0.55)]))
    assert curve.points == [(0.0, 0.0), (0.2, 0.6), (0.3, 0.6), (0.5, 0.8)]
    assert [curve.growth(share) for share in (0.0, 0.1, 0.4, 0.5, 0.9)] == pytest.approx([0, 0.3, 0.7, 0.8, 0.8])


def test_overwritten_share_follows_from_rate_or_from_idle_times() -> None:
    assert Demand(1000, 100, "sequential").overwritten(5) == pytest.approx(0.5)
    assert Demand(1000, 100, "uniform").overwritten(10) == pytest.approx(0.632, abs=0.001)
    idle = Demand(1000, 100, idle_s=(0, 0, 3, 8, 100, 100, 100, 100, 100, 100))
    assert [idle.overwritten(seconds) for seconds in (0.5, 4, 10)] == pytest.approx(
        [0.05, 0.3 * 4 / 3.5, 0.4 * 10 / 9.5]  # the first: no more than there are writes
    )
    assert Demand(1000, 1, idle_s=(0.0,)).overwritten(4) == pytest.approx(0.004)


def test_keyspace_counts_every_database() -> None:
    assert keyspace({"db0": "keys=5,expires=1,avg_ttl=0", "db11": "keys=7,expires=0"}) == {0: 5, 11: 7}


@needs_redis
@pytest.mark.alone  # its sample is a second of a steady load
def test_plan_samples_a_running_server_and_draws_its_place_on_the_curve(tmp_path: Path) -> None:
    with running(REDIS, parent_dir=tmp_path) as server:
        load = Load(count=2000, value_lens=(100, 100), rate=1000)
        fill(server.client(), load)
        command = [sys.executable, "-m", "benchmarks", "plan", "--server", "redis-server", "--keys", "5000"]
        command += ["--sample", f"redis://127.0.0.1:{server.port}", "--seconds", "1", "--results", str(tmp_path)]
        with Traffic(server, load):
            # A child that lives for some milliseconds may be gone before it is seen.
            for _try in range(5):
                done = subprocess.run([*command, "--save-seconds", "1"], cwd=ROOT, capture_output=True, timeout=200)
                if done.returncode == 0:
                    break
        assert done.returncode == 0, done.stderr.decode()
    (saved,) = tmp_path.glob("plan-*.json")
    told = json.loads(saved.read_text())
    assert told["options"]["demand"]["keys"] == 2000
    assert 100 < told["options"]["demand"]["changes_per_s"] < 10_000  # 1000, but for what else this machine does
    assert 0.1 < told["series"]["marks"]["redis-server"][0] <= 1
    assert saved.with_suffix(".png").exists()


# -- compare


def test_contenders_are_settings_commits_or_servers() -> None:
    assert contender("--hz 20").command == (*MINIKV.command, "--hz", "20")
    assert contender("redis-server") is REDIS
    with pytest.raises(ValueError):
        contender("redis://127.0.0.1:1")
    if not commit_of("HEAD"):
        pytest.skip("not in a checkout")
    assert len(commit_of("HEAD")) == 40 and not commit_of("no-such-branch")


@needs_redis
def test_compare_runs_a_benchmark_in_turns_and_judges(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "compare", "startup", "--a", "redis-server", "--b", "minikv"]
    command += ["--rounds", "2", "--results", str(tmp_path), "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=200)
    assert "| resident memory, empty, MB |" in done.stdout and "too few rounds" in done.stdout
    (saved,) = tmp_path.glob("compare-*.json")
    assert json.loads(saved.read_text())["series"]["ratios"]["resident memory, empty, MB"]["median"] > 1
    assert saved.with_suffix(".png").exists()


# -- the command line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("snapshot --server nosuch", "nosuch: no such program"),
        ("snapshot --server redis://127.0.0.1:1", "no process of this machine that may be looked at listens on port 1"),
        ("snapshot --server redis://192.0.2.1:6379", "it must run on 127.0.0.1"),
        ("snapshot --keys -3", "argument --keys: -3 is negative"),
        ("snapshot --keys 0", "argument --keys: 0 is less than 1"),
        ("snapshot --rate fast", "argument --rate: 'fast' is no number"),
        ("snapshot --read-share 1", "--read-share must be below 1"),
        ("snapshot --value-len 9-3", "--value-len must be N or N-M"),
        ("snapshot --access nowhere", "nowhere"),
        ("bgsave --rounds 0", "argument --rounds: 0 is less than 1"),
        ("plan --save-seconds 0", "argument --save-seconds: must be more than 0"),
        ("plan --curve nowhere.json --server minikv", "nowhere.json: No such file or directory"),
        ("plan --sample redis://127.0.0.1:1", "listens on port 1"),
        ("compare memory --a redis-server --b redis://127.0.0.1:1", "they start their own"),
        ("draw nowhere.json", "nowhere.json: No such file or directory"),
        ("draw pyproject.toml", "pyproject.toml is no result of the lab"),
        ("nosuch", "invalid choice: 'nosuch'"),
        ("", "the following arguments are required: NAME"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words.split()])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(Options, "report", lambda *_: Report("plan", "", {}, {}))  # would start servers
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    text = ended.value.code if isinstance(ended.value.code, str) else capsys.readouterr().err.rstrip("\n")
    assert text.startswith("python -m benchmarks") and said in text and "\n" not in text


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "benchmarks", "--help"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 0


# -- pictures


def snapshot_result() -> dict[str, Any]:
    """What a run of two servers might have saved."""
    run = {
        "ended_s": 0.5, "growth_s": [0.1, 0.4, 0.6], "growth_mb": [1.0, 5.0, 2.0], "latency_s": [], "latency_ms": [],
    }  # fmt: skip
    report = Report("snapshot", "?", {}, {"redis-server": "7", "minikv": "1"})
    for name in report.servers:
        report.add("peak growth", "MB", name, 5.0)
        report.add("left of the growth at the end", "MB", name, 2.0)
        for phase in snapshot.PHASES:
            for rank, value in (("p50", 0.1), ("p99", 1.0), ("worst", 20.0)):
                report.add(f"SET {rank} {phase}", "ms", name, value)
    report.result = snapshot.conclusion(report)
    report.series = {name: [run] for name in report.servers}
    load = asdict(Load(count=1000))
    report.options = {"load": load, "before_s": 1.0, "after_s": 1.0, "hold_s": 0.0}
    return report.as_json()


def test_the_picture_of_a_snapshot_says_what_came_out() -> None:
    result = snapshot_result()
    assert result["result"] == (
        "During the save: redis-server grew by 5 MB (2 left at the end), slowest SET 20 ms;"
        " minikv grew by 5 MB (2 left at the end), slowest SET 20 ms."
    )
    (figure,) = snapshot.draw(result).values()
    assert figure.get_supxlabel().replace("\n", " ").startswith(result["result"])
    assert all(axes.get_legend() is None for axes in figure.axes)  # above the diagrams, not on their lines
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["BGSAVE", "redis-server 7 (its child's end)", "minikv 1 (its child's end)"]
    above, below = figure.axes
    assert {0.0, 0.5} <= {line.get_xdata()[0] for line in above.get_lines()}
    assert [label.get_text() for label in below.get_xticklabels()] == [
        "before the save",
        "during the save",
        "after the save",
    ]
    ticks = [below.yaxis.get_major_formatter()(value, 0) for value in (0.1, 1, 10)]
    assert ticks == ["0.1", "1", "10"]


def test_a_benchmark_without_a_sentence_of_its_own_compares_the_servers() -> None:
    report = Report("load", "?", {}, {"redis": "7", "minikv": "1"})
    for figure, value in (("start", 2.0), ("stop", 4.0), ("size", 1.0)):
        report.add(figure, "s", "redis", 2.0)
        report.add(figure, "s", "minikv", value)
    assert report.sentence() == "start, s: redis 2; minikv 2. minikv / redis: 1.00 in the median of 3 figures."

"""Collections of medium size and under churn: the data is what it says, every part runs. No test looks at a speed."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import access, bounds, churn, growth, medium
from benchmarks.churn import ELEMENTS, KINDS, Crowd
from benchmarks.client import ReplyError
from benchmarks.mixed import Part
from benchmarks.options import Options
from benchmarks.population import ELEMENT_BYTES, FILLERS, Grouped, Population, joined, shaped
from benchmarks.report import Report
from benchmarks.servers import REDIS, Server, ServerSpec, running

needs_redis = pytest.mark.usefixtures("oracle_command")

OTHER_REDIS = ServerSpec("other", ("redis-server",))
# Saves slowly enough for the child to be caught with a handful of keys.
SLOW_SAVER = ServerSpec("slow", ("redis-server", "--rdb-key-save-delay", "20000"))


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options((REDIS, OTHER_REDIS), rounds=1, seed=7, scale=0.001, directory=tmp_path)


@pytest.fixture(autouse=True)
def settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (medium, "SETTLED_S"), (medium, "SETTLE_S"), (growth, "SETTLE_S"),
        (churn, "SETTLE_S"), (churn, "REWRITTEN_SETTLE_S"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 0.0)


def assert_sampled(report: Report, *names: str) -> None:
    """Every figure has a sample of every server, and nothing failed."""
    assert report.notes == [] and report.figures
    assert all(set(figure.samples) == set(names) for figure in report.figures)


# -- the data


@pytest.mark.parametrize("kind", FILLERS)
def test_elements_of_every_type_are_of_32_bytes(kind: str) -> None:
    part = shaped(kind, 20, 64_000)
    assert (part.keys, part.payload_bytes) == (64_000 // 20 // ELEMENT_BYTES, 64_000)
    assert shaped(kind, 5000, 64_000).keys == 1


def test_requests_are_joined_in_order_and_counted() -> None:
    batches = list(joined((b"%05d" % number, 2) for number in range(30_000)))
    assert b"".join(text for text, _ in batches) == b"".join(b"%05d" % number for number in range(30_000))
    assert sum(count for _, count in batches) == 60_000 and len(batches) > 1


@needs_redis
def test_population_is_what_it_says_and_edits_are_found(tmp_path: Path) -> None:
    parts = [replace(shaped(kind, 250, 0), keys=40) for kind in FILLERS]
    data = Population([*parts, Part("string", 3, 1, 100_000)], 1)
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        data.load(client)
        data.verify(client)
        for part, version in itertools.product(parts, (1, 2)):
            picks = data.picks(part, 200, version)
            assert len(set(picks)) == len(picks) == (100 if part.kind == "set" else 200)
            assert sum(count for _, count in data.edits(part, picks, version)) == 200
            with pytest.raises(RuntimeError, match="wrong element"):
                data.verify_edits(client, part, picks, version)
            client.pipeline(data.edits(part, picks, version))
            data.verify_edits(client, part, picks, version)
        assert client.command("SCARD", parts[1].key(0)) == 250


@needs_redis
def test_grouped_streams_have_groups_with_pending_entries(tmp_path: Path) -> None:
    data = Grouped([Part("stream", 2, 1500, 24)], 1)
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        data.load(client)
        data.verify(client)
        for group in range(4):
            assert client.command("XPENDING", data.parts[0].key(1), group)[0] == 1000


# -- the parts of medium


def test_unknown_parts_are_refused() -> None:
    assert medium.part_names("growth,memory") == ["growth", "memory"]
    with pytest.raises(Exception, match="no part of this name: grow"):
        medium.part_names("grow,memory")


def test_a_million_is_no_default_at_small_scale(options: Options) -> None:
    assert medium.default_parts(options) == [name for name in medium.PARTS if name != "million"]


@needs_redis
@pytest.mark.parametrize("part", ["big-fields", "load"])
def test_part_takes_a_sample_of_every_server(options: Options, part: str) -> None:
    (report,) = medium.run(options, [part])
    assert_sampled(report, "redis-server", "other")
    assert list(options.directory.iterdir()) == []


@needs_redis
def test_memory_is_told_for_every_shape(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medium, "SIZES", (20,))
    (report,) = medium.run(replace(options, servers=(REDIS,)), ["memory"])
    assert_sampled(report, "redis-server")
    assert len(report.figures) == len(KINDS) + len(medium.STRING_LENS) + 2


@needs_redis
@pytest.mark.parametrize("part", ["growth", "million"])
def test_growth_is_measured_beside_a_held_child(options: Options, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medium, "GROWING", medium.GROWING[1:3])
    monkeypatch.setattr(medium, "MILLION", 50_000)
    (report,) = medium.run(replace(options, servers=(SLOW_SAVER,)), [part])
    assert_sampled(report, "slow")
    assert any(figure.name.startswith("growth, child held") for figure in report.figures)


@needs_redis
def test_filling_ends_where_resident_memory_comes_near_the_bound(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(medium, "memory_group", lambda nbytes: contextlib.nullcontext(None))
    monkeypatch.setattr(medium, "LEAST_BOUND_BYTES", medium.LEFT_BYTES + 20_000_000)
    report = medium.bound(replace(options, scale=0.02))
    assert report.notes == ["bound: by watching the resident memory, 59 MB"]
    (figure,) = report.figures
    assert all(0 < stored < 4800 for (stored,) in figure.samples.values())


@needs_redis
def test_server_is_bounded_by_its_control_group(tmp_path: Path) -> None:
    with bounds.memory_group(64 << 20) as group:
        if group is None:
            pytest.skip("no control group can be made here")
        data = Population([Part("string", 1000, 1, 200_000)], 1)
        with running(bounds.within(REDIS, group), parent_dir=tmp_path) as server, pytest.raises(ConnectionError):
            data.load(server.client())
    assert not group.exists()


def test_failure_of_a_server_is_noted_under_the_table() -> None:
    report = Report("medium-growth", "?", {}, {"redis-server": "7.0.15"})
    with medium.failures_noted(report, REDIS, "hashes"):
        raise ReplyError("OOM")
    assert report.markdown().endswith("\n\nredis-server, hashes: OOM")
    assert report.as_json()["notes"] == ["redis-server, hashes: OOM"]


# -- commands on elements


@needs_redis
@pytest.mark.parametrize("command", access.COMMANDS, ids=lambda command: command.name)
def test_replies_have_the_lines_that_the_table_says(tmp_path: Path, command: access.Command) -> None:
    part = shaped(command.kind, 20, 20_000)
    data = Population([part], 1)
    with running(REDIS, parent_dir=tmp_path) as server:
        data.load(server.client())
        client = server.client()
        flow = access.Flow(client, access.PIPELINE * command.lines)
        for batch in access.drawn(data, part, command, 500, 0):
            flow.send(batch)
        flow.finish()
        assert flow.owed == 0
        assert client.command("PING") == b"PONG"


@needs_redis
def test_throughput_of_every_command_is_told(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "SIZES", (20, 200))
    (report,) = medium.run(options, ["throughput"])
    assert_sampled(report, "redis-server", "other")
    assert len(report.figures) == 2 * 2 * len(access.COMMANDS)


# -- churn


def filled(crowd: Crowd, server: Server) -> None:
    for batch in crowd.fill():
        server.client().pipeline([batch])


@needs_redis
@pytest.mark.parametrize("kind", KINDS)
def test_crowd_knows_what_the_server_holds(tmp_path: Path, kind: str) -> None:
    crowd = Crowd(kind, 5, 1)
    with running(REDIS, parent_dir=tmp_path) as server:
        client = server.client()
        filled(crowd, server)
        client.pipeline(crowd.edits(200) for _ in range(50))
        crowd.verify(client)
        client.command("DEL", crowd.key(3))
        with pytest.raises(RuntimeError, match="lost elements"):
            crowd.verify(client)
    assert all(ELEMENTS[0] <= len(collection) <= ELEMENTS[1] for collection in crowd.collections)
    held = sum(element.value_len + crowd.overhead for collection in crowd.collections for element in collection)
    assert crowd.payload_bytes == held


@needs_redis
def test_churn_tells_each_tenth_of_the_time(options: Options) -> None:
    changing, rewriting = churn.run(options, seconds=0.1)
    assert len(changing.figures) == len(KINDS) * churn.PERIODS
    assert [note.split(":")[0] for note in changing.notes] == list(KINDS)
    assert all(set(figure.samples) == {"redis-server", "other"} for figure in changing.figures)
    assert_sampled(rewriting, "redis-server", "other")
    assert list(options.directory.iterdir()) == []

"""MEMORY: arguments and shapes as in Redis, figures that hold together."""

from __future__ import annotations

import pytest

from tests.harness import ClientPair, parse, plain, same_kind, within


@pytest.mark.parametrize(
    "arguments",
    [
        "USAGE",
        "USAGE none",
        "USAGE key SAMPLES",
        "USAGE key SAMPLES x",
        "USAGE key SAMPLES -1",
        "USAGE key nonesuch 1",
        "USAGE none SAMPLES 5",
        "PURGE",
        "PURGE x",
        "DOCTOR x",
        "STATS x",
        "MALLOC-STATS x",
        "nonesuch",
    ],
)
def test_arguments(pair: ClientPair, arguments: str) -> None:
    pair.assert_same("SET key value", f"MEMORY {arguments}")


@pytest.mark.parametrize("size", [0, 1, 44, 45, 1000, 100_000])
def test_usage_counts_key_value_and_overhead(pair: ClientPair, size: int) -> None:
    pair.assert_same(("SET", "key", "x" * size))
    used = pair.subject.value("MEMORY USAGE key SAMPLES 0")
    assert size + 3 <= used <= pair.oracle.value("MEMORY USAGE key") + 4096
    assert pair.subject.value("MEMORY USAGE key") == used


def test_usage_is_no_access(pair: ClientPair) -> None:
    pair.assert_same("SET key value")
    before = [client.value("OBJECT IDLETIME key") for client in (pair.subject, pair.oracle)]
    pair.assert_same("MEMORY USAGE key", compare=same_kind)
    pair.assert_same("OBJECT IDLETIME key", compare=within(1))
    assert before[0] <= 1


def test_stats_has_the_fields_of_redis(pair: ClientPair) -> None:
    pair.assert_same("SET a 1", "SELECT 3", "SET b 2")
    ours, theirs = (plain(parse(client.call("MEMORY STATS"))) for client in (pair.subject, pair.oracle))
    assert ours[::2] == theirs[::2]
    figures = dict(zip(ours[::2], ours[1::2], strict=True))
    assert figures[b"keys.count"] == 2
    assert figures[b"peak.allocated"] >= figures[b"total.allocated"] >= figures[b"startup.allocated"] > 0
    assert figures[b"dataset.bytes"] + figures[b"overhead.total"] == figures[b"total.allocated"]
    assert figures[b"allocator.active"] >= figures[b"allocator.allocated"]


@pytest.mark.parametrize("command", ["MEMORY DOCTOR", "MEMORY MALLOC-STATS"])
def test_reports_are_verbatim_text(pair: ClientPair, command: str) -> None:
    pair.assert_same(command, compare=same_kind)
    assert pair.subject.value(command).endswith(b"\n")

"""LATENCY: spikes that were seen, and how long commands take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Server, encode, parse, plain, same_kind, same_shape, wait_until


@pytest.fixture
def watched(fresh_pair: Callable[..., ClientPair]) -> ClientPair:
    """Both servers watch for delays above 20 ms."""
    return fresh_pair(latency_monitor_threshold=20)


def test_a_slow_command_is_an_event(watched: ClientPair) -> None:
    watched.assert_same("DEBUG SLEEP 0.03")
    watched.assert_same("LATENCY LATEST", "LATENCY HISTORY command", compare=same_shape)
    name, time_s, latest_ms, worst_ms = plain(parse(watched.subject.call("LATENCY LATEST")))[0]
    assert name == b"command" and 30 <= latest_ms == worst_ms < 10_000
    assert plain(parse(watched.subject.call("LATENCY HISTORY command"))) == [[time_s, latest_ms]]


def test_removing_many_expired_keys_is_an_event(start_minikv: Callable[..., Server]) -> None:
    keys = 50_000
    with start_minikv(latency_monitor_threshold=1).connect() as client:
        client.value("DEBUG SET-ACTIVE-EXPIRE 0")
        client.send_raw(b"".join(encode(["SET", f"key:{number}", 1, "PX", 1]) for number in range(keys)))
        for _ in range(keys):
            client.read()
        client.value("LATENCY RESET")
        client.value("DEBUG SET-ACTIVE-EXPIRE 1")
        wait_until(lambda: client.value("DBSIZE") == 0, "the keys are gone")
        assert client.value("LATENCY HISTORY expire-cycle")


def test_short_commands_are_no_events(watched: ClientPair) -> None:
    watched.assert_same("PING", "DEBUG SLEEP 0", "LATENCY LATEST", "LATENCY HISTORY command")


def test_reset_tells_how_many_events_it_forgot(watched: ClientPair) -> None:
    watched.assert_same("LATENCY RESET", "DEBUG SLEEP 0.03", "LATENCY RESET nonesuch", "LATENCY RESET command command")
    watched.assert_same("LATENCY LATEST", "DEBUG SLEEP 0.03", "LATENCY RESET", "LATENCY LATEST")


def test_the_graph_of_one_sample_is_that_of_redis(watched: ClientPair) -> None:
    watched.assert_same("DEBUG SLEEP 0.03")
    pictures = [client.value("LATENCY GRAPH command").split(b"\n", 2) for client in (watched.subject, watched.oracle)]
    assert pictures[0][0].startswith(b"command - high ") and pictures[0][0].endswith(b" ms)")
    assert pictures[0][1] == pictures[1][1] == b"-" * 80
    without_age = [picture[2].replace(b"\n0\n", b"\n1\n") for picture in pictures]
    assert without_age[0] == without_age[1]


def test_no_graph_without_samples(pair: ClientPair) -> None:
    pair.assert_same("LATENCY GRAPH nonesuch", "LATENCY HISTORY nonesuch", "LATENCY HISTORY", "LATENCY nonesuch")


def test_the_doctor_speaks_in_every_state(watched: ClientPair) -> None:
    watched.assert_same("LATENCY DOCTOR", compare=same_kind)
    watched.assert_same("DEBUG SLEEP 0.03")
    assert b"command: 1 spikes" in watched.subject.value("LATENCY DOCTOR")
    watched.assert_same("CONFIG SET latency-monitor-threshold 0", "LATENCY RESET")
    assert b"monitoring is off" in watched.subject.value("LATENCY DOCTOR")


def test_the_histogram_counts_calls(pair: ClientPair) -> None:
    pair.assert_same("CONFIG RESETSTAT", "SET a 1", "SET a 2", "GET a", "PING")
    for command in ("set", "SET", "get", "ping", "nonesuch", "config", "config|resetstat", "set nonesuch set"):
        ours = flat_histogram(pair.subject.call(f"LATENCY HISTOGRAM {command}"))
        theirs = flat_histogram(pair.oracle.call(f"LATENCY HISTOGRAM {command}"))
        assert ours == theirs, command


def test_the_histogram_names_a_command_as_often_as_it_is_asked_for(pair: ClientPair) -> None:
    pair.assert_same("CONFIG RESETSTAT", "SET a 1")
    names = []
    for client in (pair.subject, pair.oracle):
        reply = parse(client.call("LATENCY HISTOGRAM set SET get config|resetstat"))
        names.append((reply.kind, [name.payload for name in reply.payload[::2]]))
    assert names[0] == names[1]


def flat_histogram(reply: bytes) -> dict[bytes, int]:
    """Calls by command; each histogram's last bucket holds them all, and the buckets are those of Redis."""
    items = plain(parse(reply))
    calls = {}
    for name, figures in zip(items[::2], items[1::2], strict=True):
        assert [figures[0], figures[2]] == [b"calls", b"histogram_usec"]
        buckets = dict(zip(figures[3][::2], figures[3][1::2], strict=True))
        assert figures[3][-1] == figures[1] and list(buckets) == sorted(buckets)
        assert set(buckets) <= {1032 * 2**power // 1000 for power in range(21)}
        calls[name] = figures[1]
    return calls


def test_latency_tracking_can_be_turned_off(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(latency_tracking="no")
    pair.assert_same("SET a 1", "LATENCY HISTOGRAM set")
    pair.assert_same("CONFIG SET latency-tracking yes", "SET a 1")
    pair.assert_same("LATENCY HISTOGRAM set", compare=same_shape)


@pytest.mark.parametrize("threshold", [9223372036854776, (1 << 63) - 1])
def test_threshold_beyond_any_duration(pair: ClientPair, threshold: int) -> None:
    pair.assert_same(
        f"CONFIG SET latency-monitor-threshold {threshold}", "CONFIG GET latency-monitor-threshold", "PING"
    )
    pair.assert_same("CONFIG SET latency-monitor-threshold 0")

"""INFO: the sections and fields of Redis, true values, and readers that are happy with them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Server, wait_until

# Fields of Redis 7.0 that would have to be invented here: what they count does not exist.
LEFT_OUT = {
    "aof_rewrites",
    "aof_rewrites_consecutive_failures",
    "expire_cycle_cpu_milliseconds",
    "instantaneous_input_repl_kbps",
    "instantaneous_output_repl_kbps",
    "io_threaded_reads_processed",
    "io_threaded_writes_processed",
    "mem_cluster_links",
    "mem_replication_backlog",
    "mem_total_replication_buffers",
    "reply_buffer_expands",
    "reply_buffer_shrinks",
    "slave_expires_tracked_keys",
    "total_net_repl_input_bytes",
    "total_net_repl_output_bytes",
}
# What 7.0.15 shows only at times, and what later releases have.
NOT_OF_7_0 = ("minikv_", "used_memory_lua", "errorstat_", "expired_subkeys")
LEFT_OUT_PATTERN = re.compile(r".*active_defrag_(hits|misses|key_hits|key_misses|time)$")
PLAIN_VALUE = re.compile(r"[^,=\r\n]*")
LISTS = re.compile(r"(cmdstat_|errorstat_|latency_percentiles_usec_|db\d)")


def sections(text: bytes) -> dict[str, dict[str, str]]:
    """The fields of each section; fails on a line that is neither a heading nor a field, and on doubles."""
    found: dict[str, dict[str, str]] = {}
    for part in text.decode().split("\r\n\r\n"):
        heading, *lines = part.removesuffix("\r\n").split("\r\n")
        assert heading.startswith("# ") and heading not in found
        fields = [line.split(":", 1) for line in lines]
        found[heading] = dict(fields)  # type: ignore[arg-type]
        assert len(found[heading]) == len(fields)
    return found


def info(*, pair: ClientPair, words: str = "") -> list[dict[str, dict[str, str]]]:
    return [sections(side.value(f"INFO {words}")) for side in (pair.subject, pair.oracle)]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "default",
        "all",
        "everything",
        "server",
        "SERVER",
        "server clients",
        "clients server clients",
        "commandstats",
        "latencystats",
        "modules",
        "module_list",
        "default commandstats",
        "all modules",
        "keyspace cpu nonesuch",
    ],
)
def test_the_sections_of_redis_in_its_order(pair: ClientPair, words: str) -> None:
    ours, theirs = info(pair=pair, words=words)
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("words", ["nonesuch", "nonesuch sentinel"])
def test_an_unknown_section_is_empty(pair: ClientPair, words: str) -> None:
    assert pair.subject.call(f"INFO {words}") == pair.oracle.call(f"INFO {words}")


def test_every_field_of_redis_stands_in_its_order(pair: ClientPair) -> None:
    pair.assert_same("SET a 1", "GET a", "GET b b")
    ours, theirs = info(pair=pair, words="everything")
    for heading, fields in theirs.items():
        if heading in ("# Commandstats", "# Latencystats"):
            continue  # which commands were called depends on the tests before
        wanted = [name for name in fields if name not in LEFT_OUT and not LEFT_OUT_PATTERN.match(name)]
        assert [name for name in ours[heading] if name in fields] == wanted
        more = [name for name in ours[heading] if name not in fields]
        assert [name for name in more if not name.startswith(NOT_OF_7_0)] == []


def test_no_plain_value_holds_what_readers_split_at(pair: ClientPair) -> None:
    for fields in info(pair=pair, words="everything")[0].values():
        for name, value in fields.items():
            assert LISTS.match(name) or PLAIN_VALUE.fullmatch(value), (name, value)


def test_values_have_the_form_of_redis(pair: ClientPair) -> None:
    """Numbers are numbers, and have as many decimals."""
    pair.assert_same("SET a 1 EX 100", "GET a", "GET b b")
    ours, theirs = info(pair=pair, words="everything")
    for heading, fields in theirs.items():
        for name, value in fields.items():
            if name in ours[heading] and not name.startswith(
                ("os", "gcc", "redis_build", "mem_allocator", "atomicvar")
            ):
                assert form(ours[heading][name]) == form(value), name


def form(value: str) -> str:
    """`12.50%` -> `N.NN%`: digits before a point count as one, those behind it each; hexadecimal ids as one word."""
    if re.fullmatch(r"[0-9a-f]{40}", value):
        return "id"
    value = re.sub(r"-?\d+\.(\d+)", lambda number: "N." + "N" * len(number[1]), value)
    value = re.sub(r"(?<![N.])-?\d+", "N", value)
    return re.sub(r"N\.NN[KMGB]|N[KMGB]", "size", value) if "/" not in value else "path"


def test_fields_follow_what_happens(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(maxmemory="100mb", maxclients=50)
    pair.assert_same(
        "SET a 1", "GET a", "GET nonesuch", "GET a b", "INCR a", "SET b x EX 1000", "INCR b", "DEL nonesuch"
    )
    for name in (
        "connected_clients",
        "maxclients",
        "maxmemory",
        "maxmemory_human",
        "maxmemory_policy",
        "keyspace_hits",
        "keyspace_misses",
        "total_error_replies",
        "rdb_changes_since_last_save",
        "total_connections_received",
        "errorstat_ERR",
        "rejected_connections",
    ):
        ours, theirs = (
            {name: value for fields in server.values() for name, value in fields.items()} for server in info(pair=pair)
        )
        assert ours.get(name) == theirs.get(name), name
    ours, theirs = info(pair=pair)
    assert ours["# Keyspace"]["db0"].startswith("keys=2,expires=1,avg_ttl=")
    assert list(ours["# Keyspace"]) == list(theirs["# Keyspace"])


def test_commandstats_count_calls_failures_and_rejections(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    pair.assert_same("SET a x", "SET a", "INCR a", "GET a", "CONFIG SET nonesuch 1", "CLIENT NONESUCH", "NONESUCH")
    ours, theirs = info(pair=pair, words="commandstats")
    without_times = [
        {name: re.sub(r"usec=\d+,usec_per_call=\d+\.\d\d,", "", value) for name, value in server.items()}
        for server in (ours["# Commandstats"], theirs["# Commandstats"])
    ]
    for server in without_times:
        server.pop("cmdstat_ping", None)  # the harness waits for the start with PING
        server.pop("cmdstat_info", None)
    assert without_times[0] == without_times[1]


def test_resetstat_sets_statistics_to_zero(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    pair.assert_same("SET a 1", "GET a", "GET b", "NONESUCH", "CONFIG RESETSTAT")
    ours, theirs = info(pair=pair, words="everything")
    for name in ("keyspace_hits", "keyspace_misses", "total_error_replies", "expired_keys", "total_forks"):
        assert ours["# Stats"][name] == theirs["# Stats"][name] == "0", name
    assert list(ours["# Commandstats"]) == list(theirs["# Commandstats"]) == ["cmdstat_config|resetstat"]
    assert ours["# Errorstats"] == {}


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_reads_every_field(start_minikv: Callable[..., Server], protocol: int) -> None:
    server = start_minikv()
    with server.redis(protocol=protocol) as client:
        client.set("a", 1)
        client.get("a")
        fields = client.info("everything")
    assert fields["redis_version"] == "7.0.15" and fields["db0"]["keys"] == 1
    assert fields["cmdstat_set"]["calls"] == 1
    assert set(fields["latency_percentiles_usec_get"]) == {"p50", "p99", "p99.9"}
    nested = [name for name, value in fields.items() if isinstance(value, dict | list) and not LISTS.match(name)]
    assert nested == []


def test_memory_follows_the_data(start_minikv: Callable[..., Server]) -> None:
    server = start_minikv()
    empty = server.info()
    assert 0 < int(empty["used_memory_startup"]) <= int(empty["used_memory"]) < 60 << 20
    server.control.value("DEBUG POPULATE 100000 key 100")
    full = server.info()
    grown = int(full["used_memory"]) - int(empty["used_memory"])
    assert 100_000 * 110 <= grown <= 100_000 * 250
    assert int(full["used_memory_peak"]) >= int(full["used_memory"])
    assert int(full["used_memory_dataset"]) >= 100_000 * 100
    assert int(full["used_memory_rss"]) >= grown
    server.control.value("FLUSHALL")
    wait_until(lambda: int(server.info()["used_memory"]) < int(full["used_memory"]) - grown // 2, "memory comes back")
    # The peak is that of the keyspace: what clients had on their way is not in it.
    assert int(server.info()["used_memory_peak"]) >= int(full["used_memory"]) - (64 << 10)

"""The table of settings against a real redis-server: names, defaults, what each accepts, shows and refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from minikv.config import Config
from minikv.errors import ConfigError
from minikv.settings import SETTINGS, Setting
from tests.harness import Server, parse

OWN = {
    "arena-huge-pages",
    "arena-size",
    "bgsave-cpu-share",
    "bgsave-fork",
    "bgsave-preflight",
    "bgsave-stall-timeout",
    "history-base-percentage",
    "history-damaged",
    "history-keep",
    "history-max-bytes",
    "rdb-share-blocks",
    "rdb-verify",
    "script-memory-limit",
    "snapshot-history",
    "snapshot-mode",
    "snapshot-writes",
}

# redis-server listens on all addresses unless its file says otherwise, minikv on loopback. redis-server lets replicas
# wait for each other.
OTHER_DEFAULTS = {"bind", "repl-diskless-sync-delay"}

# What the tests' server was started with.
GIVEN = {"save", "port", "unixsocket", "dir", "enable-debug-command", "enable-protected-configs"}

# What Redis does to these depends on how it was built or is an accident: a period under 200 is raised, no jemalloc that
# can defragment, numbers above 2^63 taken for percentages.
REDIS_ALONE = {"watchdog-period", "activedefrag", "maxmemory-clients"}

# Changing these at run time does more than change a value: it listens, it counts files, it locks the test out.
NOT_PROBED = {"bind", "port", "maxclients", "requirepass", "dir", "tls-port", "tls-cluster", "tls-replication"}

VALUES = [
    "",
    "0",
    "1",
    "-1",
    "-5",
    "7",
    "05",
    "+5",
    " 5",
    "500",
    "99999",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999",
    "-9223372036854775809",
    "1.5",
    "1kb",
    "3MB",
    "1g",
    "1tb",
    "5%",
    "101%",
    "%",
    "yes",
    "No",
    "maybe",
    "x",
    "a/b",
    "one two",
    "1 2",
    "1 2 3",
    "3 2 1",
    "1 2 3 4",
    "0 5",
    "5 0",
    "50 99.5 100",
    "normal 1mb 0 5",
    "slave 0 0 0 normal 1 2 3",
    "normal 1 2 x",
    "master 1 2 3",
    "save",
    "nosave now",
    "save nosave",
    "KEA",
    "Kx$gt",
    "Q",
    "{title} {port}",
    "{foo}",
    "everysec",
    "allkeys-lru",
    "Verbose",
    "relative",
    "systemd",
]


def probed() -> Iterator[Setting]:
    for setting in SETTINGS:
        if setting.name not in OWN | NOT_PROBED | REDIS_ALONE and not setting.refusal:
            yield setting


def ask(server: Server, *words: str) -> str:
    """A simple reply as text, errors with their dash."""
    return server.call(list(words)).decode("utf-8", "surrogateescape").rstrip("\r\n")


def shown(server: Server, name: str) -> str:
    reply = parse(server.call(["CONFIG", "GET", name])).payload
    return str(reply[1].payload.decode("utf-8", "surrogateescape"))


def change(config: Config, name: str, value: str) -> str:
    """What CONFIG SET would reply."""
    try:
        config.set_many([(name, value)])
    except ConfigError as error:
        return f"-ERR {error}"
    return "+OK"


@pytest.fixture
def redis(start_redis: Callable[..., Server]) -> Server:
    return start_redis(enable_protected_configs="yes")


def test_names_are_those_of_redis(redis: Server) -> None:
    listed = parse(redis.call("CONFIG GET *")).payload[::2]
    assert set(Config().names()) - OWN == {name.payload.decode() for name in listed}


def test_hidden_names_are_known_to_redis(redis: Server) -> None:
    hidden = set(Config().names(hidden=True)) - set(Config().names())
    assert [name for name in hidden if shown(redis, name) != Config().text(name)] == []


def test_defaults_are_those_of_redis(redis: Server) -> None:
    config = Config()
    names = sorted(set(config.names()) - OWN - OTHER_DEFAULTS - GIVEN)
    different = {name: (config.text(name), shown(redis, name)) for name in names}
    assert {name: pair for name, pair in different.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize("name", [name for setting in probed() for name in (setting.name, *setting.aliases)])
def test_a_setting_takes_shows_and_refuses_what_it_does_in_redis(redis: Server, name: str) -> None:
    config = Config.load(["--enable-protected-configs", "yes"])
    different = []
    for value in VALUES:
        replies = change(config, name, value), ask(redis, "CONFIG", "SET", name, value)
        texts = config.text(name), shown(redis, name)
        if replies[0] != replies[1] or (replies[0] == "+OK" and texts[0] != texts[1]):
            different.append((value, *replies, *texts))
    assert different == []


def test_own_settings_may_be_set_to_what_they_are(minikv: Server) -> None:
    """A client that sets all that CONFIG GET shows, but what Redis refuses, knows nothing of them."""
    for name in sorted(OWN):
        (_, value) = minikv.control.value(f"CONFIG GET {name}")
        assert minikv.call(("CONFIG", "SET", name, value.payload)) == b"+OK\r\n", name

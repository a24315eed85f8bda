"""docs/compatibility.md: minikv's commands and settings beside those of redis-server, written by this module.

    python -m tests.harness.compatibility                   write the page
    python -m tests.harness.compatibility --read-redis      read Redis's names from a redis-server first

Redis's names are stored (tests/fixtures/redis-7.0-names.json), so the page needs no redis-server; a differential test
compares them with the oracle's. minikv's names come from a running minikv. Why a command is missing or behaves
differently is written here, by hand: a missing command without a reason is an error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import minikv
from minikv.config import Config
from minikv.settings import SETTINGS
from tests.harness.process import MINIKV, Server
from tests.harness.template import REPOSITORY
from tests.harness.wire import Value, Words, parse

PAGE = REPOSITORY / "docs" / "compatibility.md"
STORED = REPOSITORY / "tests" / "fixtures" / "redis-7.0-names.json"
LINE_LEN = 118

# Settings with which every server of the tests is started: what CONFIG GET shows of them is not the default.
GIVEN = {"save", "port", "unixsocket", "dir", "enable-debug-command"}


class Names(NamedTuple):
    """What a server has. commands: full names ("client|id"). settings: default by name, aliases and hidden ones too."""

    commands: list[str]
    debug: list[str]
    settings: dict[str, str]


class Gap(NamedTuple):
    """Commands that minikv lacks, by the first words of their names, and what a user should know."""

    title: str
    words: frozenset[str]
    reason: str


GAPS = (Gap("append-only file", frozenset({"bgrewriteaof"}), "Not there yet: minikv persists by RDB snapshots."),)

# Features that are no command of their own.
ABSENT = (
    ("scripts", "no debugger (SCRIPT DEBUG is refused)"),
    (
        "replication",
        "`replicaof` is refused at start, REPLICAOF allows only NO ONE; INFO and ROLE show a lone master. MIGRATE "
        "and the RDB file move data",
    ),
    ("AOF", "`appendonly yes` is refused at start"),
    ("cluster", "answers as a Redis whose cluster mode is off"),
    ("modules", "`loadmodule` is refused at start; module data in a dump is skipped, and the log says so"),
    ("I/O threads", "one thread serves all clients; `io-threads` has no effect"),
)

# What minikv has and does differently, by command.
DIFFERENT = {
    "acl|list": "Names single commands in the order of COMMAND LIST, Redis in that of a hash table.",
    "bgsave": "Also takes CANCEL, as in Valkey 8.1.",
    "client|list": "rbs, rbp and qbuf-free are 0: clients share their buffers.",
    "client|tracking": "NOLOOP with BCAST reports a key that another client has changed in the same round, too. "
    "`tracking_total_items` may be lower: clients that have gone are left out earlier.",
    "client|unblock": "0 for a client that CLIENT PAUSE holds, as since Redis 7.2.",
    "config|set": "Refuses what minikv does not do; see the settings below.",
    "debug": "Some subcommands are missing, two are its own: see below.",
    "flushall": "ASYNC and SYNC do the same: whole segments are dropped.",
    "flushdb": "As FLUSHALL.",
    "hgetall": "Fields come in the order of insertion up to 2 KB only. Redis promises no order.",
    "info": "Fields that would count what does not exist are left out; fields of its own begin with `minikv_`.",
    "latency|doctor": "Its own words.",
    "lolwut": "Its own picture.",
    "memory|doctor": "Its own words.",
    "memory|malloc-stats": "Figures of the arena, not of jemalloc.",
    "memory|purge": "Evacuates sparse segments.",
    "memory|usage": "Exact, SAMPLES changes nothing; the figures are minikv's own and mostly smaller.",
    "module|list": "Empty.",
    "module|load": "Refused, like LOADEX: minikv loads no modules.",
    "object|encoding": "A collection that shrinks gets its compact encoding's name back; Redis keeps the large one.",
    "psync": "As SYNC: a whole dump and no stream after it; the connection is closed then. See snapshots.md.",
    "replicaof": "As SLAVEOF: only NO ONE.",
    "role": "Always a master without replicas.",
    "scan": "Another order and other cursors, the same guarantees.",
    "shutdown": "Never waits for replicas; ABORT finds nothing to abort.",
    "sort": "ALPHA compares bytes; Redis uses the locale of its process unless there is a STORE.",
    "unlink": "The same as DEL: freeing never takes long.",
    "watch": "A watched key that has expired already is removed at once, and its event comes then.",
    "xtrim": "`~` removes whole nodes, which are shorter if a snapshot was open: it may remove more or less.",
}

# Where a DEBUG subcommand is minikv's own.
OWN_DEBUG = {
    "ENGINE-CHECK": "prove the engine's invariants",
    "ENGINE-STATS": "figures of the engine",
    "FORK-DELAY": "how much longer a thread takes to fork",
}

OWN_COMMANDS = {
    "client|no-touch": "of Redis 7.2",
    "client|setinfo": "of Redis 7.2; client libraries send it unasked",
    **dict.fromkeys(
        ("hexpire", "hpexpire", "hexpireat", "hpexpireat", "httl", "hpttl", "hexpiretime", "hpexpiretime", "hpersist"),
        "of Redis 7.4: fields of hashes expire",
    ),
    **dict.fromkeys(("hgetdel", "hgetex", "hsetex"), "of Redis 8.0"),
    "snapshot": "HISTORY, MAP, ADVISE, RESET: what snapshots cost; LIST, GET, DIFF, RESTORE, VERIFY: their history",
    "waitaof": "of Redis 7.2; answers as a server without append-only file and replicas",
}

# Commands that take more arguments than in 7.0, and since when.
NEWER_ARGUMENTS = {
    "client|kill": "MAXAGE of Redis 7.4",
    "hscan": "NOVALUES of Redis 7.4",
    "xread": "the ID `+` of Redis 7.4: the last entry",
    "zrank": "WITHSCORE of Redis 7.2, like ZREVRANK",
    "zrevrank": "",
}

DIFFERENT_DEFAULTS = {
    "bind": "without a file redis-server listens on all addresses, minikv on loopback",
    "repl-diskless-sync-delay": "who asks for a dump gets it at once; replicas that come together are rare here",
}

HEAD = """\
# Compatibility

<!-- Written by `python -m tests.harness.compatibility`: change that, not this page. -->

minikv {version} beside redis-server 7.0.15: what is there, what is missing, what differs and why. The names come from
COMMAND LIST and CONFIG GET of both servers. The tests in `tests/differential/` send the same commands to both and
compare the bytes of the replies."""

COUNTED = """\
minikv has {common} of Redis's {all} commands and subcommands, among them all commands on data. Arity, flags, key
positions and categories are those of Redis's COMMAND INFO."""

SETTINGS_HEAD = """\
minikv knows every setting of Redis 7.0, with the same limits and error texts. It accepts configuration files of Redis
5.0 to 8.8 and Valkey 7.2 to 9. If one asks for what minikv lacks, the server does not start and names each
such line."""

FILES = """\
## Files and protocol

- **Dumps**: minikv writes RDB version 10, which Redis 7.0 and later and all of Valkey load. It reads versions 1 to 15
  (Redis 1 to 8.10) and Valkey's 80 and 81. What of such a dump cannot be kept:
  [Dumps of other servers](dumps.md#dumps-of-other-servers).
- **DUMP and RESTORE**: payloads of every type go both ways.
- **Protocol**: RESP2, RESP3 and inline requests, with Redis's limits and error texts.
- **INFO**: Redis's sections and fields in Redis's order. `used_memory` is what is in use, without the interpreter
  ([memory.md](memory.md))."""


# -- what a server has


def names_of(server: Server) -> Names:
    """Ask a server of the tests."""
    asked = [name for setting in SETTINGS for name in (setting.name, *setting.aliases)]
    shown = _settings(server, "*")
    for name in asked:
        shown |= _settings(server, name)
    lines = [_text(line) for line in _list(server, "DEBUG HELP")[1:]]
    return Names(
        commands=sorted(_text(name) for name in _list(server, "COMMAND LIST")),
        debug=sorted({line.split()[0].upper() for line in lines if not line.startswith(" ")}),
        settings={name: default for name, default in sorted(shown.items()) if name not in GIVEN},
    )


def _settings(server: Server, pattern: str) -> dict[str, str]:
    words = [_text(word) for word in _list(server, ["CONFIG", "GET", pattern])]
    return dict(zip(words[::2], words[1::2], strict=True))


def _list(server: Server, command: Words) -> list[Value]:
    payload = parse(server.call(command)).payload
    assert isinstance(payload, list), command
    return payload


def _text(value: Value) -> str:
    return bytes(value.payload).decode()


def stored_names() -> Names:
    """Redis's, as they were read last."""
    return Names(**json.loads(STORED.read_text()))


# -- the page


def render(ours: Names, redis: Names, version: str) -> str:
    """The page; AssertionError if something is missing without a reason, or a reason is out of date."""
    parts = (
        HEAD.format(version=version).splitlines(),
        _absent(),
        _commands(ours, redis),
        _debug(ours, redis),
        _settings_part(redis),
        FILES.splitlines(),
    )
    return "\n".join(line for part in parts for line in (*part, "")).rstrip() + "\n"


def _absent() -> Iterable[str]:
    yield "## Not there"
    yield ""
    yield "| feature | what happens |"
    yield "|---|---|"
    for feature, consequence in ABSENT:
        yield f"| {feature} | {consequence} |"
    yield ""
    yield "minikv runs on Linux only."


def _commands(ours: Names, redis: Names) -> Iterable[str]:
    missing = set(redis.commands) - set(ours.commands)
    own = set(ours.commands) - set(redis.commands)
    common = len(redis.commands) - len(missing)
    unexplained = {name for name in missing if not any(_word(name) in gap.words for gap in GAPS)}
    assert not unexplained, f"missing without a reason: {sorted(unexplained)}"
    outdated = set(DIFFERENT) - set(ours.commands) | {
        name for name in own if _word(name) not in map(_word, OWN_COMMANDS)
    }
    assert not outdated, f"named by mistake, or own without a word: {sorted(outdated)}"
    yield "## Commands"
    yield ""
    yield from COUNTED.format(common=common, all=len(redis.commands)).splitlines()
    yield ""
    yield "Missing:"
    yield ""
    yield "| group | commands | |"
    yield "|---|---|---|"
    for gap in GAPS:
        names = {name for name in missing if _word(name) in gap.words}
        if names:
            yield f"| {gap.title} | {', '.join(_shown(names))} | {gap.reason} |"
    yield ""
    yield "There, but different:"
    yield ""
    yield "| command | difference |"
    yield "|---|---|"
    for name, difference in sorted(DIFFERENT.items()):
        yield f"| {_spelled(name)} | {difference} |"
    yield ""
    yield "Only in minikv:"
    yield ""
    yield from (f"- {_spelled(name)}: {what}" for name, what in OWN_COMMANDS.items())
    yield from (f"- {_spelled(name)}: {what}" for name, what in NEWER_ARGUMENTS.items() if what)


def _debug(ours: Names, redis: Names) -> Iterable[str]:
    own = set(ours.debug) - set(redis.debug)
    assert own == set(OWN_DEBUG), f"DEBUG subcommands without a word, or named by mistake: {own ^ set(OWN_DEBUG)}"
    yield "## DEBUG"
    yield ""
    yield "`enable-debug-command` decides who may use it, as in Redis."
    yield ""
    yield from _wrapped("There", set(ours.debug) & set(redis.debug))
    yield ""
    yield from _wrapped("Missing", set(redis.debug) - set(ours.debug))
    yield ""
    yield "Only in minikv: " + ", ".join(f"{name} ({what})" for name, what in sorted(OWN_DEBUG.items())) + "."


def _settings_part(redis: Names) -> Iterable[str]:
    config = Config()
    ours = {name for setting in SETTINGS for name in (setting.name, *setting.aliases)}
    own = sorted(
        setting.name for setting in SETTINGS if setting.name not in redis.settings and setting.name not in GIVEN
    )
    different = {
        name: default for name, default in redis.settings.items() if name in ours and config.text(name) != default
    }
    missing = set(redis.settings) - ours
    assert not missing, f"settings that minikv does not know: {sorted(missing)}"
    assert set(different) == set(DIFFERENT_DEFAULTS), f"defaults that differ without a word: {sorted(different)}"
    yield "## Settings"
    yield ""
    yield from SETTINGS_HEAD.splitlines()
    yield ""
    yield "Any value but the default is refused:"
    yield ""
    yield "| setting | reason |"
    yield "|---|---|"
    for setting in SETTINGS:
        if setting.refusal:
            yield f"| `{setting.name}` | {setting.refusal} |"
    yield ""
    yield "The default differs:"
    yield ""
    yield "| setting | redis-server | minikv | reason |"
    yield "|---|---|---|---|"
    for name, default in different.items():
        yield f"| `{name}` | `{default}` | `{config.text(name)}` | {DIFFERENT_DEFAULTS[name]} |"
    yield ""
    yield from _wrapped(
        "Only in minikv (see [snapshots.md](snapshots.md#settings), [memory.md](memory.md#settings))", own, code=True
    )
    yield ""
    without = {setting.name for setting in SETTINGS if not setting.effect and not setting.refusal}
    yield from _wrapped("Accepted without effect; the log says so if one is not at its default", without, code=True)


def _word(full_name: str) -> str:
    return full_name.partition("|")[0]


def _spelled(full_name: str) -> str:
    return full_name.upper().replace("|", " ")


def _shown(names: set[str]) -> list[str]:
    """Full names; a container whose command is missing itself stands for its subcommands."""
    return [_spelled(name) for name in sorted(names) if "|" not in name or _word(name) not in names]


def _wrapped(head: str, names: Iterable[str], code: bool = False) -> Iterable[str]:
    """`head: name, name, ...` on lines that are not too long."""
    line = f"{head}:"
    shown = [f"`{name}`" if code else name for name in sorted(names)]
    for number, name in enumerate(shown):
        word = name + (", " if number < len(shown) - 1 else ".")
        if len(line) + 1 + len(word.rstrip()) > LINE_LEN:
            yield line
            line = word.rstrip()
        else:
            line = f"{line} {word.rstrip()}"
    yield line


# -- writing it


def started(argv: tuple[str, ...]) -> Names:
    """The names of a server that is started for this."""
    server = Server(argv)
    try:
        return names_of(server.start())
    finally:
        server.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--read-redis", action="store_true", help="read Redis's names from a redis-server 7.0")
    parser.add_argument("--redis", default="redis-server", help="that server")
    parser.add_argument("--output", type=Path, default=PAGE)
    arguments = parser.parse_args()
    if arguments.read_redis:
        STORED.write_text(json.dumps(started((arguments.redis,))._asdict(), indent=1) + "\n")
    arguments.output.write_text(render(started(MINIKV), stored_names(), minikv_version()))


def minikv_version() -> str:
    """Major and minor: a page for each release."""
    return ".".join(minikv.__version__.split(".")[:2])


if __name__ == "__main__":
    main()

"""LATENCY: when the server was blocked, by what, and how long commands take."""

from __future__ import annotations

import time
from collections.abc import Iterable

from minikv.algorithms.sparkline import COLUMNS, sparkline
from minikv.commands.help import help_lines
from minikv.dispatch.client import Client
from minikv.dispatch.histogram import cumulative
from minikv.dispatch.spec import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from minikv.dispatch.table import Command
from minikv.errors import CommandError
from minikv.latency import Event
from minikv.protocol.reply import Raw, SimpleString, Verbatim, encode

LATENCY = container("LATENCY", arity=-2)

FLAGS = ADMIN | NOSCRIPT | LOADING | STALE
TIPS = ["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]

# What to do about an event, as DOCTOR says it; several events may share a sentence.
SLOW_COMMANDS = (
    "Some commands take long. SLOWLOG GET shows which; 'CONFIG SET slowlog-log-slower-than 1000' makes it catch those "
    "above 1 ms."
)
FEWER_KEYS = (
    "KEYS, and commands with thousands of keys or very large values, hold up everybody else: use SCAN and small steps."
)
FORKING = (
    "The fork of a snapshot takes time that grows with the number of pages. With 2 MiB pages a fork takes well under a "
    "millisecond for each GB: see minikv_arena_huge_pages in INFO memory, and the setting arena-huge-pages."
)
EXPIRING = "Many keys expire at the same moment: give their times some spread."
EVICTING = "Memory is full and keys are evicted: raise maxmemory or store less."
MACHINE = "If none of this fits, look for other processes that use this machine's processors, memory or disk."
ADVICE: dict[str, tuple[str, ...]] = {
    "command": (SLOW_COMMANDS, FEWER_KEYS),
    "fast-command": (MACHINE,),
    "fork": (FORKING,),
    "expire-cycle": (EXPIRING,),
    "eviction-cycle": (EVICTING,),
}


def text(argument: bytes) -> str:
    return argument.decode("utf-8", "surrogateescape")


@command("LATENCY|LATEST", arity=2, flags=FLAGS, tips=TIPS)
def latency_latest(ctx: Client) -> list[object]:
    return [[name.encode(), *event.samples[-1], event.worst_ms] for name, event in ctx.server.latency.events.items()]


@command("LATENCY|HISTORY", arity=3, flags=FLAGS, tips=TIPS)
def latency_history(ctx: Client, name: bytes) -> list[object]:
    event = ctx.server.latency.events.get(text(name))
    return [] if event is None else [list(sample) for sample in event.samples]


@command("LATENCY|RESET", arity=-2, flags=FLAGS, tips=["request_policy:all_nodes", "response_policy:all_succeeded"])
def latency_reset(ctx: Client, *names: bytes) -> int:
    return ctx.server.latency.reset([text(name) for name in names])


@command("LATENCY|GRAPH", arity=3, flags=FLAGS, tips=TIPS)
def latency_graph(ctx: Client, name: bytes) -> Verbatim:
    event = ctx.server.latency.events.get(text(name))
    if event is None:
        raise CommandError(f"ERR No samples available for event '{text(name)}'")
    return Verbatim(b"txt", graph(text(name), event, time.time()).encode("utf-8", "surrogateescape"))


def graph(name: str, event: Event, now_s: float) -> str:
    """The samples of an event as a picture, each with its age below."""
    durations = [sample.duration_ms for sample in event.samples]
    ages = [age_label(int(now_s) - sample.time_s) for sample in event.samples]
    head = f"{name} - high {max(durations)} ms, low {min(durations)} ms (all time high {event.worst_ms} ms)\n"
    return head + "-" * COLUMNS + "\n" + sparkline(durations, ages)


def age_label(seconds: int) -> str:
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"


@command("LATENCY|HISTOGRAM", arity=-2, flags=FLAGS, tips=TIPS)
def latency_histogram(ctx: Client, *names: bytes) -> Raw:
    """A map in which a command that is named twice comes twice."""
    pairs = [
        encode(found.full_name)
        + encode({b"calls": found.histogram.total, b"histogram_usec": cumulative(found.histogram)}, ctx.resp)
        for found in (with_subcommands(ctx, names) if names else ctx.server.table)
        if found.histogram.total
    ]
    head = b"%%%d\r\n" % len(pairs) if ctx.resp > 2 else b"*%d\r\n" % (2 * len(pairs))
    return Raw(b"".join([head, *pairs]))


def with_subcommands(ctx: Client, names: Iterable[bytes]) -> Iterable[Command]:
    """The named commands; a container includes its subcommands."""
    for name in names:
        found = ctx.server.table.lookup(*name.split(b"|", 1))
        if found is not None:
            yield found
            yield from (found.subcommands or {}).values()


@command("LATENCY|DOCTOR", arity=2, flags=FLAGS, tips=TIPS)
def latency_doctor(ctx: Client) -> Verbatim:
    monitor = ctx.server.latency
    return Verbatim(
        b"txt", diagnosis(monitor.events, ctx.server.config.latency_monitor_threshold, time.time()).encode()
    )


def diagnosis(events: dict[str, Event], threshold_ms: int, now_s: float) -> str:
    """What the samples say, in words."""
    if not events:
        if not threshold_ms:
            return (
                "Latency monitoring is off, so there is nothing to report. Turn it on with "
                '"CONFIG SET latency-monitor-threshold <milliseconds>".\n'
            )
        return f"No delay of {threshold_ms} ms or more was seen since the start or the last LATENCY RESET.\n"
    lines = [f"Delays of {threshold_ms} ms or more that were seen:", ""]
    for place, (name, event) in enumerate(events.items(), 1):
        lines.append(
            f"{place}. {name}: {len(event.samples)} spikes (average {event.average_ms:.0f} ms, mean deviation "
            f"{event.mean_deviation_ms:.0f} ms, period {event.period_s(now_s):.2f} s). Worst ever {event.worst_ms} ms."
        )
    sentences = dict.fromkeys(sentence for name in events for sentence in ADVICE.get(name, (MACHINE,)))
    return "\n".join([*lines, "", "What may help:", "", *(f"- {sentence}" for sentence in sentences)]) + "\n"


@command("LATENCY|HELP", arity=2, flags=LOADING | STALE)
def latency_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "LATENCY",
        [
            "DOCTOR",
            "    A report in words, with advice.",
            "GRAPH <event>",
            "    The delays of an event, drawn with characters.",
            "HISTORY <event>",
            "    The delays of an event: pairs of Unix time and milliseconds.",
            "LATEST",
            "    The last and the worst delay of every event.",
            "RESET [<event> ...]",
            "    Forget the delays of these events.",
            "    (without a name: of all)",
            "HISTOGRAM [COMMAND ...]",
            "    How many calls of these commands took how long, added up by powers of two.",
            "    Without a name, of all commands that were called.",
        ],
    )

"""What the runs mean: minikv's outcomes beside redis-server's, the verdict, and the table of docs/conformance.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.exceptions import Excepted, Exceptions
from tests.conformance.runs import Outcome


@dataclass
class Comparison:
    """One unit in one mode. Lists hold names of tests.

    failed, not_reached: without those that are excepted or that redis-server fails, too.
    stale: excepted tests that pass. is_cut: the unit did not come to its end, and nobody knows what it did not reach.
    """

    outcome: Outcome
    failed: list[str] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)
    excepted: list[Excepted] = field(default_factory=list)
    redis_fails: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    is_cut: bool = False

    @property
    def wrong(self) -> bool:
        return bool(self.failed or self.not_reached or self.stale or self.is_cut)


def compare(outcome: Outcome, baseline: Outcome | None, exceptions: Exceptions) -> Comparison:
    """Judge one outcome. baseline: redis-server's, None if it is not known: then nothing counts as not reached."""
    known = exceptions.of(outcome.mode, outcome.unit)
    result = Comparison(outcome, is_cut=bool(outcome.aborted) and baseline is None)
    result.redis_fails = [name for name in outcome.failed if baseline and name in baseline.failed]
    missing = Counter(baseline.passed if baseline else ()) - Counter(outcome.reached)
    for name in outcome.failed:
        if name in known:
            result.excepted.append(known[name])
        elif name not in result.redis_fails:
            result.failed.append(name)
    for name in missing.elements():
        if name in outcome.failed:  # one of several tests of this name
            continue
        if name in known:
            result.excepted.append(known[name])
        else:
            result.not_reached.append(name)
    result.stale = [name for name in known if name in outcome.passed and name not in outcome.failed]
    return result


def summary(comparisons: Sequence[Comparison], verbose: bool = False) -> str:
    """For the terminal: what is wrong, and the sums."""
    lines: list[str] = []
    for comparison in comparisons:
        outcome = comparison.outcome
        if not comparison.wrong:
            continue
        lines.append(f"\n{outcome.unit} ({outcome.mode})" + (f": {outcome.aborted}" if outcome.aborted else ""))
        for name in comparison.failed:
            lines.append(f"  failed       {name}")
            details = outcome.failed[name].strip()
            lines.append("               " + (details if verbose else details.partition("\n")[0][:240]))
        lines += [f"  not reached  {name}" for name in comparison.not_reached]
        lines += [f"  PASSES, though exceptions.toml lists it: {name}" for name in comparison.stale]
    for mode in dict.fromkeys(comparison.outcome.mode for comparison in comparisons):
        chosen = [comparison for comparison in comparisons if comparison.outcome.mode == mode]
        lines.append(
            f"{mode}: {sum(len(item.outcome.passed) for item in chosen)} passed,"
            f" {sum(len(item.failed) for item in chosen)} failed,"
            f" {sum(len(item.not_reached) for item in chosen)} not reached,"
            f" {sum(len(item.excepted) for item in chosen)} excepted"
        )
    return "\n".join(lines)


# -- docs/conformance.md -----------------------------------------------------------------------------------------------

HEAD = """\
# Conformance: Redis's own test suite

Redis {version} comes with a test suite in Tcl. `python -m tests.conformance --write` fetches it from the distribution's
source package, runs it unit by unit against minikv and, once, against redis-server, and writes this page. It needs
tclsh (`apt-get install tcl dpkg-dev`; `tcl-tls` for TLS) and takes about half an hour on two cores;
`python -m tests.conformance --fast` runs a part within a minute or two, as CI does.

- *external*: the suite talks to a running server and leaves out what would restart it or read its files
- *spawning*: the suite starts its servers itself, with the settings that each test wants
- *tls*: the same, every connection over TLS

*Redis* is what redis-server passes of the same tests on the same machine, *not reached* what it reaches and minikv does
not, *excepted* what is [listed below](#what-does-not-apply) with a reason. A test that redis-server fails, too, counts
nowhere.

Two things of the suite change for minikv: a group of tests that asks for a server with the append-only file gets one
without, and the one use of the debugger of scripts that stands outside of any test is left out. Both would end the
unit; the tests that need the file are listed.
"""


def render(comparisons: Sequence[Comparison], known: Mapping[tuple[str, str], Outcome], exceptions: Exceptions) -> str:
    """The page, without its head."""
    parts: list[str] = []
    for mode in dict.fromkeys(item.outcome.mode for item in comparisons):
        chosen = [item for item in comparisons if item.outcome.mode == mode]
        parts += [f"\n## {mode.capitalize()}\n", *_table(chosen, known)]
    parts.append("\n## What does not apply\n")
    parts += _exception_lines(exceptions)
    return "\n".join(parts) + "\n"


def _table(chosen: Sequence[Comparison], known: Mapping[tuple[str, str], Outcome]) -> list[str]:
    rows = []
    for item in chosen:
        outcome = item.outcome
        redis = known.get((outcome.mode, outcome.unit))
        figures = [len(redis.passed) if redis else 0, len(outcome.passed), len(item.failed), len(item.not_reached)]
        rows.append((outcome.unit, [*figures, len(item.excepted)]))
    rows = [(unit, figures) for unit, figures in rows if any(figures)]
    rows.append(("**all**", [sum(column) for column in zip(*(figures for _, figures in rows), strict=True)]))
    return [
        "| unit | Redis | passed | failed | not reached | excepted |",
        "|---|---|---|---|---|---|",
        *(f"| {unit} | {figures[0] or '-'} | {' | '.join(map(str, figures[1:]))} |" for unit, figures in rows),
    ]


def _exception_lines(exceptions: Exceptions) -> list[str]:
    lines = ["Whole units and tags:", ""]
    for reason in dict.fromkeys([*exceptions.units.values(), *exceptions.tags.values()]):
        units = [name for name, given in exceptions.units.items() if given == reason]
        tags = [f"tag `{name}`" for name, given in exceptions.tags.items() if given == reason]
        lines.append(f"- {', '.join([*units, *tags])}: {reason}")
    for title, waiting in (("Tests that await a feature:", True), ("Tests that minikv will not pass:", False)):
        tests = [entry for entry in exceptions.tests if bool(entry.awaits) == waiting]
        lines += ["", title, "", *(f"- {entry.unit}, *{entry.test}*: {entry.reason}" for entry in tests)]
    return lines

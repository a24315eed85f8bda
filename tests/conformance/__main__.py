"""Run Redis's own test suite against minikv and count what passes.

    python -m tests.conformance                          minikv in all modes; the table
    python -m tests.conformance --write                  the same, and docs/conformance.md anew
    python -m tests.conformance --fast                   a part that takes about a minute, as CI runs it
    python -m tests.conformance --again --write          judge the last whole run again, as after new exceptions
    python -m tests.conformance unit/expire type/        units by name, or by a part of it
    python -m tests.conformance unit/expire --test '/TTL' --output /tmp/out

Needs tclsh (apt-get install tcl), apt-get and dpkg-source (dpkg-dev), and redis-server 7.0 with its tools. TLS mode
needs the package tcl-tls, too, and is left out, with a word, where that is missing.

What redis-server reaches in each unit is measured once and kept in the user's cache directory: a test that it reaches
and minikv does not counts as not reached. --baseline measures it again. The exit code is 1 if a test does not pass
that exceptions.toml does not list, or if one passes that it lists; 3 if the suite cannot be had.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from tests.conformance.exceptions import Exceptions
from tests.conformance.report import HEAD, compare, render, summary
from tests.conformance.runs import MODES, Job, Outcome, kill_all, run_unit
from tests.conformance.source import SuiteMissing, cache_directory, suite_directory, suite_version

REPORT = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
TIMEOUT_S = 400.0
NO_SUITE = 3  # the exit code
BASELINE, LAST_RUN = "baseline.json", "minikv.json"  # of redis-server, and of the last whole run of minikv
# Units and modes that together take about a minute on two cores and touch every part of the server.
FAST = {
    "external": (
        *("unit/protocol", "unit/keyspace", "unit/scan", "unit/type/incr", "unit/type/list-2", "unit/type/string"),
        *("unit/quit", "unit/pubsub", "unit/bitfield", "unit/bitops", "unit/latency-monitor", "unit/introspection-2"),
        *("unit/functions", "unit/type/zset"),
    ),
    "spawning": (
        *("unit/info", "unit/shutdown", "integration/rdb", "integration/logging", "integration/redis-cli"),
        *("integration/convert-ziplist-hash-on-load", "integration/convert-ziplist-zset-on-load"),
    ),
}


def main() -> int:
    signal.signal(signal.SIGTERM, give_up)
    signal.signal(signal.SIGINT, give_up)
    return run()


def give_up(number: int, frame: object) -> None:
    """End at once, with all that was started; the threads would finish their units first."""
    kill_all()
    os._exit(1)


def run() -> int:
    options = _parser().parse_args()
    try:
        suite = suite_directory()
    except SuiteMissing as reason:
        print(f"NO CONFORMANCE RUN: {reason}", file=sys.stderr)
        return NO_SUITE
    if options.write and (options.units or options.tests or options.fast or options.mode):
        print("--write needs a whole run", file=sys.stderr)
        return 2
    exceptions = Exceptions.read()
    jobs = _jobs(options, suite, exceptions)
    if not jobs:
        print("no unit has such a name", file=sys.stderr)
        return 2
    if options.again:
        return _judge_again(options, jobs, suite, exceptions)
    if options.baseline or options.subject == "redis-server":
        exceptions = Exceptions({}, {}, [])  # they are minikv's
    print(f"Redis {suite_version(suite)}: {len(jobs)} runs of units, {options.jobs} at a time")
    began = time.monotonic()
    if options.baseline:
        jobs = [replace(job, subject="redis-server", left_out=()) for job in jobs]
    known = {} if options.baseline else _read(BASELINE)
    if options.subject == "minikv" and not (options.tests or options.baseline or options.no_baseline):
        missing = [
            replace(job, subject="redis-server", left_out=()) for job in jobs if (job.mode, job.unit) not in known
        ]
        _run_all(missing, suite, options, {}, exceptions, BASELINE)
        known = _read(BASELINE)
    is_whole = not (options.units or options.tests or options.fast or options.mode)
    if is_whole and jobs[0].subject == "minikv":
        (cache_directory() / LAST_RUN).unlink(missing_ok=True)
    kept = BASELINE if jobs[0].subject == "redis-server" else LAST_RUN if is_whole else ""
    results = _run_all(jobs, suite, options, known, exceptions, kept)
    if options.baseline:
        known = _read(BASELINE)
    code = _judge(results, known, options, suite, exceptions)
    print(f"{time.monotonic() - began:.0f} s")
    return code


def _judge(
    results: Sequence[Outcome],
    known: Mapping[tuple[str, str], Outcome],
    options: argparse.Namespace,
    suite: Path,
    exceptions: Exceptions,
) -> int:
    """Print what is wrong, write the page if that is wanted; the exit code."""
    comparisons = [compare(result, known.get((result.mode, result.unit)), exceptions) for result in results]
    print(summary(comparisons, verbose=options.verbose))
    if options.write:
        text = HEAD.format(version=suite_version(suite)) + render(comparisons, known, exceptions)
        REPORT.write_text(text)
    return 1 if any(comparison.wrong for comparison in comparisons) else 0


def _judge_again(options: argparse.Namespace, jobs: Sequence[Job], suite: Path, exceptions: Exceptions) -> int:
    last = _read(LAST_RUN)
    missing = [f"{job.unit} ({job.mode})" for job in jobs if (job.mode, job.unit) not in last]
    if missing:
        print(f"the last whole run has no outcome of {', '.join(missing)}", file=sys.stderr)
        return 2
    return _judge([last[job.mode, job.unit] for job in jobs], _read(BASELINE), options, suite, exceptions)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("units", nargs="*", help="units, or parts of their names; all by default")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this mode; may be repeated")
    parser.add_argument("--subject", choices=("minikv", "redis-server"), default="minikv")
    parser.add_argument("--test", dest="tests", action="append", default=[], help="only this test, or /pattern")
    parser.add_argument("--fast", action="store_true", help="the part that CI runs")
    parser.add_argument("--baseline", action="store_true", help="measure redis-server again")
    parser.add_argument("--no-baseline", action="store_true", help="do not measure what is unknown of redis-server")
    parser.add_argument("--again", action="store_true", help="run nothing: judge the last whole run again")
    parser.add_argument("--jobs", type=int, default=2, help="units at a time; default 2")
    parser.add_argument("--tries", type=int, default=2, help="runs of a unit in which something fails; default 2")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help=f"seconds for one unit; default {TIMEOUT_S:g}")
    parser.add_argument("--output", type=Path, help="keep the suite's output and the servers' logs in this directory")
    parser.add_argument("--verbose", action="store_true", help="show what the suite says about each failure")
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md")
    return parser


def _jobs(options: argparse.Namespace, suite: Path, exceptions: Exceptions) -> list[Job]:
    listed = subprocess.run(
        ["tclsh", "tests/test_helper.tcl", "--list-tests"], cwd=suite, capture_output=True, text=True, check=True
    ).stdout.split()
    modes = options.mode or [mode for mode in MODES if mode != "tls" or _has_tls()]
    jobs = []
    for mode in modes:
        for unit in listed:
            if unit in exceptions.units:
                continue
            if options.fast and unit not in FAST.get(mode, ()):
                continue
            if (mode == "tls") != (unit == "unit/tls"):
                continue
            if options.units and not any(part in unit for part in options.units):
                continue
            left_out = [name for name, entry in exceptions.of(mode, unit).items() if entry.ends_unit]
            limits = (tuple(options.tests), tuple(exceptions.tags), tuple(left_out))
            jobs.append(Job(options.subject, mode, unit, options.timeout, *limits))
    return jobs


def _has_tls() -> bool:
    done = subprocess.run(["tclsh"], input="package require tls", capture_output=True, text=True)
    if "can't find package" in done.stdout + done.stderr:
        print("NO TLS MODE: Tcl's package tls is missing. Debian, Ubuntu: apt-get install tcl-tls", file=sys.stderr)
        return False
    return True


def _run_all(
    jobs: Sequence[Job],
    suite: Path,
    options: argparse.Namespace,
    known: Mapping[tuple[str, str], Outcome],
    exceptions: Exceptions,
    kept: str,
) -> list[Outcome]:
    """Run the units, some at a time; those in which something is wrong run again, alone.

    kept: the file in the cache directory that gets the outcomes, or nothing.
    """
    keeping = threading.Lock()

    def run(job: Job) -> Outcome:
        outcome = run_unit(job, suite, options.output)
        if kept and not job.tests:
            with keeping:
                _keep(kept, outcome)
        _tell(outcome)
        return outcome

    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(run, jobs))
    for number, job in enumerate(jobs):
        for _ in range(options.tries - 1):
            if compare(outcomes[number], known.get((job.mode, job.unit)), exceptions).wrong:
                outcomes[number] = run(job)
    return outcomes


def _tell(outcome: Outcome) -> None:
    counts = f"{len(outcome.passed)} passed, {len(outcome.failed)} failed"
    print(
        f"{outcome.subject:12} {outcome.mode:8} {outcome.unit:36} {counts}, {outcome.seconds:.1f} s"
        + (f"  ENDED EARLY: {outcome.aborted.splitlines()[0]}" if outcome.aborted else ""),
        flush=True,
    )


# -- outcomes that are kept in the cache directory ---------------------------------------------------------------------


def _read(name: str) -> dict[tuple[str, str], Outcome]:
    try:
        stored = json.loads((cache_directory() / name).read_text())
    except OSError:
        return {}
    return {(entry["mode"], entry["unit"]): Outcome(**entry) for entry in stored}


def _keep(name: str, outcome: Outcome) -> None:
    """Keep an outcome beside those that are known."""
    known = _read(name) | {(outcome.mode, outcome.unit): outcome}
    text = json.dumps([asdict(outcome) for outcome in known.values()], indent=1)
    (cache_directory() / name).write_text(text)


if __name__ == "__main__":
    sys.exit(main())

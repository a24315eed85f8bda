"""One unit of the suite in one run: start it, limit its time, read what it prints.

Three modes. `external`: the suite talks to a server that the runner has started, and leaves out the tests that need
to restart it or to write its files. `spawning`: the suite starts its servers itself, through `src/redis-server` in its
working directory, which is a script or a link of ours. `tls`: the same over TLS.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.source import cache_directory

REPOSITORY = Path(__file__).resolve().parents[2]
MODES = ("external", "spawning", "tls")
SUBJECTS = ("minikv", "redis-server")
LINE = re.compile(r"^\[(ok|err|skip|ignore|exception|testing|TIMEOUT)\]: ?(.*)$")
PASSED = re.compile(r"(.*?) \(\d+ ms\)$", re.DOTALL | re.MULTILINE)  # lines of a log may follow
OUTSIDE = "(outside of any test)"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
STARTED = re.compile(r"### Starting test (.*) in tests/")
# Below the range from which the system gives ports: the suite takes each port with the one 10,000 above.
FIRST_PORTS = range(11_000, 21_000, 500)
MEETING, SERVERS = 18, 50  # in a range: where the suite's own processes meet, and where ports of servers begin
PORTS = 400
RUNNING = set[int]()  # process groups of suites and servers that run now
EXTERNAL_SETTINGS = ("--save", "", "--enable-debug-command", "yes", "--enable-protected-configs", "yes")
START_TIMEOUT_S = 30.0


class ServerMissing(Exception):
    """The server of external mode does not start."""


@dataclass
class Outcome:
    """What one unit did. aborted: why it did not come to its end, or nothing."""

    subject: str
    mode: str
    unit: str
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    aborted: str = ""
    seconds: float = 0.0

    @property
    def reached(self) -> list[str]:
        return [*self.passed, *self.failed]


@dataclass(frozen=True)
class Job:
    """What to run. tests: only these, by name or, after a slash, by pattern.

    denied_tags: of tests to leave out. left_out: tests, by name.
    """

    subject: str
    mode: str
    unit: str
    timeout_s: float
    tests: tuple[str, ...] = ()
    denied_tags: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def run_unit(job: Job, suite: Path, output: Path | None = None) -> Outcome:
    """Run one unit in a directory of its own.

    output: a directory where the suite's output and the servers' logs are kept.
    """
    with tempfile.TemporaryDirectory(prefix="minikv-conformance-") as name:
        work = Path(name)
        for part in ("tests", "utils"):
            shutil.copytree(suite / part, work / part)
        _shorten_waits(work / "tests" / "support" / "server.tcl")
        if job.subject == "minikv":
            _leave_out_debugger(work / "tests" / "unit" / "scripting.tcl")
            _leave_out_append_only_file(work / "tests" / "support" / "server.tcl")
        shutil.copy(suite / "redis.conf", work)
        _write_programs(work / "src", job.subject)
        began = time.monotonic()
        try:
            with _external_server(job, work) as address, _ports() as first:
                text, ended = _run_suite(job, work, first, address)
        except ServerMissing as error:
            text, ended = str(error), True
        outcome = parse(text, job)
        outcome.seconds = time.monotonic() - began
        if not ended:
            outcome.aborted = f"still running after {job.timeout_s:g} s, in: {_last_test(work)}"
        if output is not None:
            _keep(job, work, text, output)
    return outcome


def parse(text: str, job: Job) -> Outcome:
    """Read what the suite has printed."""
    outcome = Outcome(job.subject, job.mode, job.unit)
    finished = False
    for kind, message in _messages(text):
        if kind == "ok":
            found = PASSED.match(message)
            outcome.passed.append(found[1] if found else message)
        elif kind == "err":
            name, _, details = message.partition("\n")
            where = f" in tests/{job.unit}.tcl"
            if name.endswith(where):
                outcome.failed[name.removesuffix(where)] = details
            else:  # what stands around the tests, as the start of a server
                outcome.failed[OUTSIDE] = f"{outcome.failed.get(OUTSIDE, '')}{message}\n"
        elif kind in ("exception", "TIMEOUT"):
            outcome.aborted = message
        elif kind == "done":
            finished = True
    if not finished and not outcome.aborted:
        outcome.aborted = text.strip().rpartition("\n")[2] or "no output"
    return outcome


def _messages(text: str) -> Iterator[tuple[str, str]]:
    """Status and text of each message; one of more than one line ends where the next begins."""
    kind, lines = "", list[str]()
    for line in COLOUR.sub("", text).splitlines():
        found = LINE.match(line)
        done = re.match(r"^\[\d+/\d+ done\]: ", line)
        if not found and not done and not line.startswith("                   The End"):
            lines.append(line)
            continue
        if kind:
            yield kind, "\n".join(lines)
        kind, lines = ("done", [line]) if done else (found[1], [found[2]]) if found else ("", [])
    if kind:
        yield kind, "\n".join(lines)


# -- the suite ---------------------------------------------------------------------------------------------------------


def _run_suite(job: Job, work: Path, first: int, address: tuple[str, int] | None) -> tuple[str, bool]:
    """Run the suite to its end or the limit of time; its output, and whether it ended by itself."""
    command = ["tclsh", "tests/test_helper.tcl", "--single", job.unit, "--clients", "1", "--durable", "--dont-clean"]
    command += ["--baseport", str(first + SERVERS), "--portcount", str(PORTS)]
    if address is not None:
        command += ["--host", address[0], "--port", str(address[1])]
    if job.mode == "tls":
        subprocess.run(["sh", "utils/gen-test-certs.sh"], cwd=work, check=True, capture_output=True)
        command += ["--tls"]
    for test in job.tests:
        command += ["--only", test]
    for test in job.left_out:
        command += ["--skiptest", test]
    if job.denied_tags:
        command += ["--tags", " ".join(f"-{tag}" for tag in job.denied_tags)]
    with (work / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
        RUNNING.add(process.pid)
        try:
            process.wait(job.timeout_s)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        _kill(process.pid)  # servers that it has left, too
        process.wait()
    return (work / "output").read_text("utf-8", "replace"), ended


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    RUNNING.discard(group)


def kill_all() -> None:
    """End the suites that run, and their servers."""
    for group in list(RUNNING):
        _kill(group)


@contextlib.contextmanager
def _ports() -> Iterator[int]:
    """The first of a range of ports that no other run of a unit uses, here or in another process."""
    directory = cache_directory() / "ports"
    directory.mkdir(parents=True, exist_ok=True)
    for first in FIRST_PORTS:
        with (directory / str(first)).open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_free(first + MEETING) and _is_free(first + SERVERS):
                yield first
                return
    raise RuntimeError("no range of free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return {**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8", "PYTHONPATH": path}


def _shorten_waits(support: Path) -> None:
    """A server that refuses its settings is waited for: two minutes are 20 s now."""
    support.write_text(support.read_text().replace("{120*1000/$checkperiod}", "{20*1000/$checkperiod}"))


def _leave_out_append_only_file(support: Path) -> None:
    """A server that a group of tests wants with the file is one without: the tests that need it fail for themselves."""
    text = support.read_text()
    groups = (
        ("param", "foreach {param val} $overrides {"),
        ("directive", "foreach {directive arguments} [concat $::global_overrides $overrides] {"),
    )
    for variable, head in groups:
        text = text.replace(head, f'{head}\n if {{${variable} eq "appendonly"}} continue\n')
    support.write_text(text)


def _leave_out_debugger(unit: Path) -> None:
    """A use of the debugger of scripts outside of any test, at whose error the unit would end."""
    start = """start_server {tags {"scripting external:skip"}} {\n    r script debug sync\n"""
    before, _, after = unit.read_text().partition(start)
    unit.write_text(before + 'start_server {tags {"scripting external:skip"}} {\n' + after if after else before)


def _write_programs(directory: Path, subject: str) -> None:
    """The programs that the suite runs as src/redis-...; redis-cli and redis-benchmark are always Redis's."""
    directory.mkdir()
    programs = {"redis-server": "minikv", "redis-check-rdb": "minikv.tools.check_rdb"} if subject == "minikv" else {}
    for name in ("redis-server", "redis-cli", "redis-benchmark", "redis-check-rdb", "redis-check-aof"):
        if module := programs.get(name):
            script = directory / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
            script.chmod(0o755)
        elif found := shutil.which(name):
            (directory / name).symlink_to(found)


def _last_test(work: Path) -> str:
    """The test that the servers' logs name last."""
    logs = sorted(work.rglob("stdout"), key=lambda path: path.stat().st_mtime)
    names = [STARTED.findall(path.read_text("utf-8", "replace")) for path in logs]
    return next((found[-1] for found in reversed(names) if found), "no test")


def _keep(job: Job, work: Path, text: str, output: Path) -> None:
    kept = output / f"{job.subject}-{job.mode}" / job.unit
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    (kept / "output").write_text(text)
    for number, path in enumerate(sorted([*work.rglob("stdout"), *work.rglob("stderr")])):
        if path.stat().st_size:
            shutil.copy(path, kept / f"{number}-{path.name}")


# -- the server of external mode ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _external_server(job: Job, work: Path) -> Iterator[tuple[str, int] | None]:
    """A server for the unit, where the mode wants one; its host and port."""
    if job.mode != "external":
        yield None
        return
    directory = work / "external"
    directory.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(work / "src" / "redis-server"), "--port", str(port), "--dir", str(directory), *EXTERNAL_SETTINGS]
    with (directory / "stdout").open("wb") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), start_new_session=True
        )
    RUNNING.add(server.pid)
    try:
        _wait_for(server, port)
        yield "127.0.0.1", port
    finally:
        _kill(server.pid)
        server.wait()


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise ServerMissing("the server of external mode does not start") from None
            time.sleep(0.02)

"""A server that the template has forked is like one that was started as a program, for whoever looks at it."""

from __future__ import annotations

import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Server, ServerFailed, wait_until
from tests.harness.template import Template

pytestmark = pytest.mark.server

StartServer = Callable[..., Server]
KINDS = ["forked", "program"]


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    made = Template()
    yield made
    made.close()


def of_the_process(server: Server) -> dict[str, object]:
    """What the system knows of it, without what differs between any two processes."""
    server.barrier()  # it has closed the connections of its start
    proc = Path(f"/proc/{server.pid}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    descriptors = [os.readlink(path) for path in (proc / "fd").iterdir()]
    told = server.info("server")
    return {
        "status": {
            name: status[name] for name in ("Name", "Umask", "Threads", "SigBlk", "SigIgn", "SigCgt", "Seccomp")
        },
        "descriptors": sorted(re.sub(r"\d+|server\.log", "N", target.rpartition("/")[2]) for target in descriptors),
        "limits": (proc / "limits").read_text(),
        "directory": os.readlink(proc / "cwd") == str(server.directory),
        "program": os.readlink(proc / "exe"),
        "niceness": os.getpriority(os.PRIO_PROCESS, server.pid),
        "session": os.getsid(server.pid) == os.getpgid(server.pid) == server.pid,
        "executable": told["executable"],
    }


def test_the_system_sees_no_difference(template: Template) -> None:
    forked, program = Server(template=template), Server()
    try:
        assert of_the_process(forked.start()) == of_the_process(program.start())
        cmdlines = [Path(f"/proc/{server.pid}/cmdline").read_bytes() for server in (forked, program)]
        assert [b"template" in cmdline for cmdline in cmdlines] == [True, False]
    finally:
        forked.dispose()
        program.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_ends_have_their_exit_codes(template: Template, kind: str) -> None:
    server = Server(template=template if kind == "forked" else None)
    try:
        assert server.start().stop() == 0
        server.start().kill()
        assert server.exit_code() == -signal.SIGKILL
        server.settings["nonsense"] = "1"
        with pytest.raises(ServerFailed, match=r'(?s)ended with 1 at.*\nminikv-server: .nonsense "1".: Bad directive'):
            server.start()
    finally:
        server.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_environment_and_limits_are_those_of_the_moment(
    template: Template, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")  # the log's time
    server = Server(template=template if kind == "forked" else None)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    try:
        server.start()
        assert resource.prlimit(server.pid, resource.RLIMIT_CORE) == (0, hard)
        told = server.info("server")
        at = int(told["server_time_usec"]) // 1_000_000
        hours, minutes = map(int, re.findall(r"\d\d:\d\d", server.log())[0].split(":"))
        off = (at // 60 + 5 * 60 + 45 - hours * 60 - minutes) % (24 * 60)
        assert off < 10
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
        server.dispose()


def test_random_choices_differ(template: Template) -> None:
    servers = [Server(template=template).start() for _ in range(2)]
    try:
        assert len({server.info("server")["run_id"] for server in servers}) == 2
        orders = set()
        for server in servers:
            server.call(("SADD", "members", *range(2000)))
            orders.add(server.call("SRANDMEMBER members 1000"))
        assert len(orders) == 2
    finally:
        for server in servers:
            server.dispose()


def test_servers_end_with_the_template() -> None:
    template = Template()
    server = Server(template=template).start()
    try:
        template.close()
        wait_until(lambda: not server.alive, "the server ends")
        assert server.exit_code() == -signal.SIGKILL
    finally:
        server.dispose()


def test_whom_the_template_forks_is_the_fixtures_choice(start_minikv: StartServer, minikv: Server) -> None:
    for server in (start_minikv(), minikv):
        assert b"template" in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    other = start_minikv(environment={"A": "b"})
    assert b"A=b" in Path(f"/proc/{other.pid}/environ").read_bytes().split(b"\0")


@pytest.mark.own_interpreter
def test_a_test_can_ask_for_programs(start_minikv: StartServer) -> None:
    assert b"template" not in Path(f"/proc/{start_minikv().pid}/cmdline").read_bytes()

"""Fixtures and options of the whole suite.

`pair` is what most tests of commands want: a connection to minikv and one to a real redis-server, over RESP2 and RESP3
in turn, both servers empty. Tests that change settings start their own servers with `start_minikv`, `start_redis` or
`fresh_pair`; whatever they start is gone when they end.

Tiers, by marker. `server`: a minikv or a redis-server is started; whoever uses a fixture that starts one has the
marker, a test that starts one by hand wears it, and without it no test can. `slow`: a fault that takes its time.

    pytest -m "not server and not slow"    pure logic, within a minute; hypothesis tries fewer examples
    pytest                                 all that is not slow: what a change needs
    pytest -m programs                     programs of others on a minikv; installs them (tests/programs)
    pytest -m ""                           everything, as CI runs it

The oracle is a redis-server 7.0 of the distribution. Without it the run stops, unless `--no-oracle` says that this is
known; a run under CI never goes without.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest.register_assert_rewrite("tests.harness")

from tests.harness import MINIKV, ClientPair, Server  # noqa: E402 (after register_assert_rewrite)
from tests.harness.certificates import Certificates  # noqa: E402
from tests.harness.template import Template  # noqa: E402
from tests.harness.turns import Turns  # noqa: E402

ORACLE_VERSION = "7.0."
# Each server that a test starts would compile its modules anew, which is half of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

TOO_LATE = "the time of --seconds is over"
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
LOG_OFFSETS = pytest.StashKey[dict[Server, int]]()
RUNNING = pytest.StashKey[list[Server]]()
LAST_BEGIN = pytest.StashKey[float]()  # no test begins later

hypothesis.settings.register_profile("quick", max_examples=10, stateful_step_count=30, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", max_examples=50, deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", max_examples=100, deadline=None, print_blob=True)
hypothesis.settings.register_profile("long", max_examples=3000, deadline=None, print_blob=True)

# -- options, seed and oracle ------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("minikv")
    group.addoption("--no-oracle", action="store_true", help="leave out the tests that need a real redis-server")
    group.addoption("--oracle", default="redis-server", help="the redis-server to compare with")
    group.addoption("--subject", help="test this server instead of minikv (the oracle itself proves the tests)")
    group.addoption("--seed", type=int, help="seed of all random choices; printed at the start of each run")
    group.addoption("--seconds", type=int, help="leave out the tests that have not begun after this time, and say so")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(2**32)
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = config.option.seed
    seconds = config.option.seconds
    config.stash[LAST_BEGIN] = math.inf if seconds is None else time.monotonic() + seconds
    if told := getattr(config, "workerinput", None):
        config.stash[LAST_BEGIN] = told["last_begin"]
    if config.getoption("--hypothesis-profile") is None:
        hypothesis.settings.load_profile("quick" if _is_quick(config) else "ci" if IN_CI else "dev")
    if IN_CI and config.option.no_oracle:
        raise pytest.UsageError("--no-oracle is not allowed where CI is set: the comparison with Redis is the point")
    config.stash[RUNNING] = []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A process of xdist's takes the time from here: it starts later."""
    node.workerinput["last_begin"] = node.config.stash[LAST_BEGIN]


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a test waits for its servers much of the time."""
    return (os.cpu_count() or 1) + 1


def _is_quick(config: pytest.Config) -> bool:
    return "not server" in config.option.markexpr


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The quick tier does not even collect the comparisons with Redis, two thirds of all tests."""
    return True if _is_quick(config) and collection_path.name == "differential" else None


def pytest_report_header(config: pytest.Config) -> list[str]:
    oracle = "none (--no-oracle)" if config.option.no_oracle else _oracle_description(config.option.oracle)
    return [f"oracle: {oracle}", f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"]


def _oracle_description(command: str) -> str:
    path = shutil.which(command)
    if path is None:
        return f"{command} NOT FOUND"
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"v=(\S+)", text)
    return f"{path} {version[1] if version else text.strip()}"


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if STARTING & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")
    items.sort(key=lambda item: not _is_in_slow_file(item))
    _check_oracle(config, items)


def _is_in_slow_file(item: pytest.Item) -> bool:
    """Such a file goes first: one process has all of it, and would be the last to end."""
    file = item.getparent(pytest.Module)
    return file is not None and file.get_closest_marker("slow") is not None


def _check_oracle(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without an oracle the run stops before its first test, unless it was told to go without."""
    needing = [item for item in items if "oracle_command" in getattr(item, "fixturenames", ())]
    if not needing:
        return
    if config.option.no_oracle:
        for item in needing:
            item.add_marker(pytest.mark.skip(reason="needs a real redis-server (--no-oracle)"))
        return
    description = _oracle_description(config.option.oracle)
    if f" {ORACLE_VERSION}" not in description:
        raise pytest.UsageError(
            f"{len(needing)} tests compare minikv with a real redis-server {ORACLE_VERSION}x, but: {description}. "
            "Install it (Debian, Ubuntu: apt-get install redis-server), name it with --oracle, "
            "or leave these tests out with --no-oracle."
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.no_oracle:
        skipped = len(terminalreporter.stats.get("skipped", []))
        terminalreporter.section("NOT COMPARED WITH REDIS", red=True, bold=True)
        terminalreporter.line(f"--no-oracle: {skipped} tests were left out; this run says little about compatibility.")
    late = [report for report in terminalreporter.stats.get("skipped", []) if TOO_LATE in str(report.longrepr)]
    if late:
        terminalreporter.section("NOT ALL TESTS WERE RUN", red=True, bold=True)
        terminalreporter.line(f"--seconds: {len(late)} tests were left out, the first of them {late[0].nodeid}.")


# -- tests without servers ---------------------------------------------------------------------------------------------

STARTING = {"subject_command", "oracle_command"}  # fixtures that all others depend on that start servers


def _is_server(arguments: Sequence[object]) -> bool:
    words = [os.fsdecode(word) for word in arguments if isinstance(word, (str, bytes, os.PathLike))]
    return any(Path(word).name in ("redis-server", "minikv-server") for word in words[:1]) or any(
        pair == ("-m", "minikv") for pair in itertools.pairwise(words)
    )


class ServerGuard:
    """Refuses to start a server for a test that is not marked `server`, so that the quick tier stays quick."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "subprocess.Popen" and self.item and not self.item.get_closest_marker("server"):
            command = arguments[1]
            if isinstance(command, Sequence) and not isinstance(command, (str, bytes)) and _is_server(command):
                raise AssertionError(f"{self.item.nodeid} starts a server: mark it with pytest.mark.server")


GUARD = ServerGuard()
sys.addaudithook(GUARD.audit)

# -- side by side ------------------------------------------------------------------------------------------------------


TURNS = Turns(Path(tempfile.gettempdir()) / f"minikv-tests-{os.getuid()}")


def is_alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    TURNS.take(is_alone(item))
    GUARD.item = item
    try:
        return (yield)
    finally:
        TURNS.end(keeps=is_alone(nextitem))


# -- logs of the servers at a failure ----------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() > item.config.stash[LAST_BEGIN]:
        pytest.skip(TOO_LATE)
    item.stash[LOG_OFFSETS] = {server: server.log_size() for server in item.config.stash[RUNNING]}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        offsets = item.stash.get(LOG_OFFSETS, {})
        for server in item.config.stash[RUNNING]:
            if text := server.log(offsets.get(server, 0)):
                report.sections.append((f"log of {server!r}", text))
    return report


# -- servers -----------------------------------------------------------------------------------------------------------

StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def oracle_command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The oracle's command line; every test that needs the oracle depends on this fixture."""
    return (request.config.option.oracle,)


@pytest.fixture(scope="session")
def subject_command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    subject = request.config.option.subject
    return tuple(subject.split()) if subject else MINIKV


@pytest.fixture(scope="session")
def _template() -> Iterator[Template]:
    template = Template()
    yield template
    template.close()


def _template_of(request: pytest.FixtureRequest, template: Template) -> Template | None:
    """Who forks the servers of a test or module; None if it asks for programs of their own."""
    return None if request.node.get_closest_marker("own_interpreter") else template


@pytest.fixture
def start_minikv(
    request: pytest.FixtureRequest, subject_command: tuple[str, ...], _template: Template
) -> Iterator[StartServer]:
    """Starts a minikv with settings of its own: `start_minikv(maxclients=5, tcp=True)`; gone when the test ends."""
    yield from _starter(request.config, subject_command, _template_of(request, _template))


@pytest.fixture
def start_redis(request: pytest.FixtureRequest, oracle_command: tuple[str, ...]) -> Iterator[StartServer]:
    """Starts a real redis-server in the same way."""
    yield from _starter(request.config, oracle_command)


def _starter(
    config: pytest.Config, command: tuple[str, ...], template: Template | None = None
) -> Iterator[StartServer]:
    started: list[Server] = []

    def start(*, directory=None, tcp=False, environment=None, **settings) -> Server:  # type: ignore[no-untyped-def]
        server = Server(command, settings, directory=directory, tcp=tcp, environment=environment, template=template)
        started.append(server)
        config.stash[RUNNING].append(server)
        return server.start()

    yield start
    for server in started:
        config.stash[RUNNING].remove(server)
        server.dispose()


@pytest.fixture
def fresh_pair(start_minikv: StartServer, start_redis: StartServer) -> Iterator[Callable[..., ClientPair]]:
    """Starts both servers with the same settings and connects: `fresh_pair(requirepass="x", resp=3)`."""
    pairs: list[ClientPair] = []

    def connect(*, resp: int = 2, **options: object) -> ClientPair:
        pairs.append(ClientPair(start_minikv(**options), start_redis(**options), resp))
        return pairs[-1]

    yield connect
    for pair in pairs:
        pair.close()


@pytest.fixture(scope="session")
def _shared_subject(
    request: pytest.FixtureRequest, subject_command: tuple[str, ...], _template: Template
) -> Iterator[Server]:
    yield from _shared(request.config, Server(subject_command, template=_template))


@pytest.fixture(scope="session")
def _shared_oracle(request: pytest.FixtureRequest, oracle_command: tuple[str, ...]) -> Iterator[Server]:
    yield from _shared(request.config, Server(oracle_command))


def _shared(config: pytest.Config, server: Server) -> Iterator[Server]:
    config.stash[RUNNING].append(server)
    yield server
    config.stash[RUNNING].remove(server)
    server.dispose()


@pytest.fixture
def minikv(_shared_subject: Server) -> Server:
    """The minikv that the whole run shares, empty; a test must not change its settings."""
    return _emptied(_shared_subject)


@pytest.fixture
def oracle(_shared_oracle: Server) -> Server:
    """The redis-server that the whole run shares, empty."""
    return _emptied(_shared_oracle)


def _emptied(server: Server) -> Server:
    """The server without keys; a new process if the last test has left it dead, paused or deaf."""
    try:
        if server.alive and server.call("FLUSHALL") == b"+OK\r\n":
            return server
    except (OSError, AssertionError):
        pass
    server.kill()
    return server.start()


@pytest.fixture(scope="module")
def module_servers(
    request: pytest.FixtureRequest,
    subject_command: tuple[str, ...],
    oracle_command: tuple[str, ...],
    _template: Template,
) -> Iterator[Callable[..., tuple[Server, Server]]]:
    """Starts both servers with settings that the tests of a module share: `module_servers(requirepass="x")`.

    Wrap what it gives in `connected`; a test must not change the settings.
    """
    with contextlib.ExitStack() as stack:
        starts = [
            stack.enter_context(contextlib.contextmanager(_starter)(request.config, command, template))
            for command, template in ((subject_command, _template_of(request, _template)), (oracle_command, None))
        ]
        yield lambda **settings: (starts[0](**settings), starts[1](**settings))


@pytest.fixture(scope="module")
def module_minikv(
    request: pytest.FixtureRequest, subject_command: tuple[str, ...], _template: Template
) -> Iterator[StartServer]:
    """Starts a minikv that the tests of a module share."""
    yield from _starter(request.config, subject_command, _template_of(request, _template))


@pytest.fixture(scope="module")
def module_redis(request: pytest.FixtureRequest, oracle_command: tuple[str, ...]) -> Iterator[StartServer]:
    """Starts a redis-server that the tests of a module share."""
    yield from _starter(request.config, oracle_command)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, certificates of servers and clients, and wrong ones."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def connected() -> Iterator[Callable[[tuple[Server, Server]], ClientPair]]:
    """Empties two servers and connects to them."""
    pairs: list[ClientPair] = []

    def connect(servers: tuple[Server, Server]) -> ClientPair:
        pairs.append(ClientPair(_emptied(servers[0]), _emptied(servers[1])))
        return pairs[-1]

    yield connect
    for pair in pairs:
        pair.close()


@pytest.fixture
def resp2_pair(minikv: Server, oracle: Server) -> Iterator[ClientPair]:
    """A connection to each of the shared servers, over RESP2."""
    with_resp2 = ClientPair(minikv, oracle)
    yield with_resp2
    with_resp2.close()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def pair(request: pytest.FixtureRequest, minikv: Server, oracle: Server) -> Iterator[ClientPair]:
    """A connection to each of the shared servers: over RESP2 in pipelines, over RESP3 command by command."""
    with_either = ClientPair(minikv, oracle, request.param, pipelined=request.param == 2)
    yield with_either
    with_either.close()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that --seed repeats, the same for a test whichever others run with it."""
    return random.Random(f"{request.config.option.seed} {request.node.nodeid}")

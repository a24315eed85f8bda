"""minikv-server as a process: what it prints, its exit codes, its log, daemons, supervision."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from minikv import REDIS_VERSION, __version__
from minikv.command_line import enter_directory, secret_arguments
from minikv.errors import ConfigError
from minikv.host.overcommit import WARNING
from tests.harness import MINIKV, Server, WireClient, wait_until

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE_PATH = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

pytestmark = pytest.mark.server

StartServer = Callable[..., Server]


def run(*arguments: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The whole life of a process that is expected to end by itself."""
    return subprocess.run(
        [*MINIKV, *arguments], input=stdin, capture_output=True, text=True, timeout=60, cwd=cwd, env=PACKAGE_PATH
    )


def only_line(text: str) -> str:
    """The one line that a text is."""
    assert text.count("\n") == 1, text
    return text.rstrip("\n")


@contextlib.contextmanager
def running(*arguments: str, cwd: Path, stdin: str = "", **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A server on cwd/sock whose output goes to cwd/output; it is killed at the end if it still runs."""
    with (cwd / "output").open("w") as output:
        process = subprocess.Popen(
            [*MINIKV, *arguments],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
            env=PACKAGE_PATH | environment,
        )
    try:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()


def answers(path: Path, password: str = "") -> bool:
    try:
        with WireClient(str(path)) as client:
            if password:
                client.call(("AUTH", password))
            return client.call("PING") == b"+PONG\r\n"
    except (OSError, AssertionError):
        return False


def shown(path: Path, name: str) -> str:
    with WireClient(str(path)) as client:
        return str(client.value(("CONFIG", "GET", name))[1].payload.decode())


# -- asked for words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-v", "--version"])
def test_version_is_one_line(option: str) -> None:
    process = run(option)
    assert process.returncode == 0
    line = only_line(process.stdout)
    assert line.startswith(f"Redis server v={REDIS_VERSION} sha=")
    assert f" minikv={__version__} " in line


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_teaches(option: str) -> None:
    process = run(option)
    assert (process.returncode, process.stderr) == (0, "")
    for words in ("Usage: minikv-server", "--port 7777", "--check-system", "--snapshot-writes", "redis-cli"):
        assert words in process.stdout
    assert max(map(len, process.stdout.splitlines())) <= 120


def test_check_system_reports_and_its_exit_code_tells_of_warnings() -> None:
    process = run("--check-system")
    subjects = re.findall(r"^\[(?:ok|warning)\] ([a-z ]+):", process.stdout, re.MULTILINE)
    assert subjects == ["overcommit", "huge pages", "memory", "control group", "swap", "open files", "connection queue"]
    warnings = process.stdout.count("[warning]")
    assert process.stdout.count("To change: ") == warnings
    assert process.returncode == (1 if warnings else 0)


# -- what is wrong is one line and exit code 1 -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--nonsense", "1"], "'nonsense \"1\"': Bad directive or wrong number of arguments"),
        (["--port", "x"], "'port \"x\"': argument couldn't be parsed into an integer"),
        (["--appendonly", "yes"], "'appendonly \"yes\"': minikv has no append only file, it persists by RDB snapshots"),
        (["--rename-command", "nosuch", "x"], '\'rename-command "nosuch" "x"\': No such command in rename-command'),
        (["--rename-command", "get", "SET"], '\'rename-command "get" "SET"\': Target command name already exists'),
        (["nowhere.conf"], "can't open config file '{cwd}/nowhere.conf': No such file or directory"),
        (["--dir", "/nowhere"], "'dir \"/nowhere\"': No such file or directory"),
        (["--logfile", "/nowhere/log"], "Can't open the log file '/nowhere/log': No such file or directory"),
        (["--supervised", "upstart"], "supervised upstart: minikv knows systemd only (supervised systemd, or auto)"),
        (["-"], "standard input:2: timeout x: argument couldn't be parsed into an integer"),
    ],
)
def test_wrong_settings(arguments: list[str], line: str, tmp_path: Path) -> None:
    process = run(*arguments, stdin="\ntimeout x\n", cwd=tmp_path)
    assert process.returncode == 1
    assert process.stdout == ""
    expected = line.format(cwd=tmp_path)
    assert only_line(process.stderr) == f"minikv-server: {expected}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir(mode=0o555)
    process = run("--port", "0", "--dir", str(tmp_path / "dir"))
    assert process.returncode == 1
    assert only_line(process.stderr).endswith(f"dir {tmp_path}/dir: no dump can be written there: Permission denied")


def test_a_directory_that_cannot_be_written_is_good_enough_without_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.chdir(tmp_path)
    enter_directory(str(tmp_path), saves=False)
    with pytest.raises(ConfigError, match="no dump can be written there"):
        enter_directory(str(tmp_path), saves=True)


def test_a_busy_port_is_told_and_ends_the_start(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = run("--port", str(port), "--bind", "127.0.0.1", cwd=tmp_path)
    assert process.returncode == 1
    assert f"Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use" in (
        process.stdout
    )
    assert "Traceback" not in process.stdout + process.stderr


def test_an_engine_that_is_not_compiled_is_one_sentence(tmp_path: Path) -> None:
    for path in (REPOSITORY / "minikv").rglob("*.py"):
        copy = tmp_path / path.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    process = subprocess.run(
        [sys.executable, "-m", "minikv"], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert process.returncode == 1
    assert "minikv's engine is not compiled" in only_line(process.stderr)


def test_another_system_than_linux_is_one_sentence(tmp_path: Path) -> None:
    script = "import sys, runpy; sys.platform = 'darwin'; runpy.run_module('minikv', run_name='__main__')"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=PACKAGE_PATH)
    assert process.returncode == 1
    assert "minikv needs Linux" in only_line(process.stderr)


# -- a server that runs ------------------------------------------------------------------------------------------------


def test_file_standard_input_and_options_together(tmp_path: Path) -> None:
    (tmp_path / "part.conf").write_text("timeout 11\n")
    (tmp_path / "redis.conf").write_text(
        f"# a file\nport 0\nunixsocket {tmp_path}/sock\ninclude {tmp_path}/part.conf\nhz 11\nslowlog-max-len 11\n"
    )
    arguments = ("redis.conf", "-", "--slowlog-max-len", "13", "--save", "")
    with running(*arguments, cwd=tmp_path, stdin="hz 12\nslowlog-max-len 12\n"):
        wait_until(lambda: answers(tmp_path / "sock"), "the server's answer")
        values = [shown(tmp_path / "sock", name) for name in ("timeout", "hz", "slowlog-max-len", "dir", "save")]
        assert values == ["11", "12", "13", str(tmp_path), ""]


def test_the_log_of_a_start(tmp_path: Path) -> None:
    options = ["--port", "0", "--unixsocket", str(tmp_path / "sock"), "--io-threads", "4", "--tcp-backlog", "100000"]
    with running(*options, cwd=tmp_path) as process:
        wait_until(lambda: answers(tmp_path / "sock"), "the server's answer")
        log = (tmp_path / "output").read_text()
    lines = log.splitlines()
    pattern = rf"{process.pid}:M \d\d [A-Z][a-z]{{2}} \d{{4}} \d\d:\d\d:\d\d\.\d{{3}} [.\-*#] \S.*"
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []
    messages = [line.split(" ", 6)[-1] for line in lines]
    assert messages[0] == "oO0OoO0OoO0Oo minikv is starting oO0OoO0OoO0Oo"
    assert f"minikv version={__version__}, redis_version={REDIS_VERSION}" in messages[1]
    assert messages[2] == "Configuration loaded"
    assert "io-threads is accepted and has no effect in minikv" in messages
    assert any("The TCP backlog setting of 100000 cannot be enforced" in message for message in messages)
    assert any(message.startswith("Huge pages: ") for message in messages)
    if Path("/proc/sys/vm/overcommit_memory").read_text().strip() != "1":
        assert WARNING in messages
    assert "Ready to accept connections" in messages[-1]


def test_without_any_setting_the_log_says_so(tmp_path: Path) -> None:
    """The default port may be taken on this machine: the line comes before that matters."""
    with running(cwd=tmp_path):
        wait_until(lambda: "no config file specified" in (tmp_path / "output").read_text(), "the warning")


def test_log_file_levels_and_the_process_name(start_minikv: StartServer, tmp_path: Path) -> None:
    log = tmp_path / "the.log"
    server = start_minikv(logfile=log, loglevel="warning")
    assert "minikv is starting" in log.read_text()
    assert " * " not in log.read_text()
    assert server.log() == ""
    assert Path(f"/proc/{server.pid}/comm").read_text() == "minikv-server\n"
    server.call("CONFIG SET loglevel notice")
    server.call("CONFIG SET activerehashing no")
    wait_until(lambda: "activerehashing is accepted and has no effect in minikv" in log.read_text(), "the notice")


def test_config_set_dir_changes_the_directory_of_the_process(start_minikv: StartServer, tmp_path: Path) -> None:
    server = start_minikv(enable_protected_configs="yes")
    assert server.call(("CONFIG", "SET", "dir", str(tmp_path), "dbfilename", "other.rdb")) == b"+OK\r\n"
    assert os.readlink(f"/proc/{server.pid}/cwd") == str(tmp_path)
    assert server.call("SAVE") == b"+OK\r\n"
    assert os.listdir(tmp_path) == ["other.rdb"]


def test_config_rewrite_then_restart(tmp_path: Path) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text(f"# kept\nport 0\nunixsocket {tmp_path}/sock\nsave 900 1\n")
    with running("redis.conf", cwd=tmp_path) as process:
        wait_until(lambda: answers(tmp_path / "sock"), "the server's answer")
        with WireClient(str(tmp_path / "sock")) as client:
            assert client.call(("CONFIG", "SET", "save", "", "requirepass", 'a "b')) == b"+OK\r\n"
            assert client.call("CONFIG REWRITE") == b"+OK\r\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert conf.read_text().startswith(f'# kept\nport 0\nunixsocket {tmp_path}/sock\nsave ""\n')
    with running("redis.conf", cwd=tmp_path):
        wait_until(lambda: answers(tmp_path / "sock", 'a "b'), "the server's answer to the password")


def test_maxclients_follows_the_limit_of_open_files(start_minikv: StartServer) -> None:
    server = start_minikv()
    psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE, (500, 500))
    if os.geteuid() != 0:
        error = server.call("CONFIG SET maxclients 60000")
        assert b"The operating system is not able to handle the specified number of clients, try with 468" in error
    assert server.call("CONFIG SET maxclients 400") == b"+OK\r\n"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(start_minikv: StartServer, signum: signal.Signals) -> None:
    server = start_minikv()
    os.kill(server.pid, signum)
    assert server.wait() == 0


# -- daemons and supervisors -------------------------------------------------------------------------------------------


def test_a_daemon_serves_when_its_starter_ends(tmp_path: Path) -> None:
    options = ["--daemonize", "yes", "--port", "0", "--unixsocket", str(tmp_path / "sock"), "--save", ""]
    pid_file = tmp_path / "pid"
    process = run(*options, "--pidfile", str(pid_file), "--logfile", "log", "--dir", str(tmp_path), cwd=tmp_path)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    daemon = psutil.Process(int(pid_file.read_text()))
    assert answers(tmp_path / "sock")
    assert os.getsid(daemon.pid) != os.getsid(0)
    daemon.terminate()
    wait_until(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE, "the daemon's end")
    assert not pid_file.exists()
    assert f"{daemon.pid}:M " in (tmp_path / "log").read_text()


def test_a_daemon_that_does_not_start_gives_exit_code_1(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        process = run("--daemonize", "yes", "--port", port, "--bind", "127.0.0.1", "--pidfile", "pid", cwd=tmp_path)
    assert process.returncode == 1
    assert "Address already in use" in process.stdout
    assert not (tmp_path / "pid").exists()


def test_a_pid_file_that_cannot_be_written_is_logged(start_minikv: StartServer) -> None:
    server = start_minikv(pidfile="/nowhere/pid")
    assert "Failed to write PID file '/nowhere/pid': No such file or directory" in server.log()


@pytest.mark.parametrize("supervised", ["systemd", "auto"])
def test_systemd_is_told_when_the_server_is_ready(tmp_path: Path, supervised: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        options = ["--supervised", supervised, "--port", "0", "--unixsocket", str(tmp_path / "sock")]
        with running(*options, cwd=tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")):
            assert b"READY=1\n" in manager.recv(1000)
            assert answers(tmp_path / "sock")


def test_a_supervisor_that_is_missing_is_logged_and_the_server_serves(start_minikv: StartServer) -> None:
    server = start_minikv(supervised="systemd")
    assert "systemd supervision error: NOTIFY_SOCKET not found!" in server.log()


# -- what a start costs ------------------------------------------------------------------------------------------------


def test_an_empty_server_is_small_and_starts_fast_enough_to_not_be_noticed(start_minikv: StartServer) -> None:
    """Not a benchmark: bounds that only a heavy import or a busy wait would break."""
    started = time.monotonic()
    server = start_minikv()
    assert time.monotonic() - started < 10
    assert server.rss_bytes() < 60 << 20


@pytest.mark.parametrize(
    ("arguments", "secrets"),
    [
        (["--requirepass", "p", "--port", "0"], ["p"]),
        (["--requirepass p", "--user", "a", "on", ">p", "(~x", "+get)"], ["--requirepass p", ">p"]),
        (["--user a on >p", "--dir", ">"], ["--user a on >p"]),
    ],
)
def test_arguments_that_the_process_list_hides(arguments: list[str], secrets: list[str]) -> None:
    assert secret_arguments(arguments) == secrets

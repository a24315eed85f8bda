"""A minikv in some 20 ms: one process has imported everything and forks a server for each request.

    template = Template()
    process = template.start(command_line, output=log, cwd=path)     poll(), wait() and pid as of a Popen

An interpreter and its imports take more time than most tests. The forked server executes `minikv/__main__.py` as
`python -m minikv` does, in a session of its own, with the arguments, output, directory, environment and limits that
its test has at this moment. What differs from a real start: /proc/PID/cmdline is the template's, pages of the
interpreter are shared with it until one of both writes to them, and Python's hash seed is the same for all servers of
a run's process. A test that is about any of these, or about the start itself, has the marker `own_interpreter`.

This file is also the template's program: then it imports nothing but the standard library and minikv.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

REPOSITORY = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
REQUEST_BYTES = 1 << 17
STATUS = struct.Struct("i")
LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})
LIBC = ctypes.CDLL(None)


def die_with_parent() -> None:
    """SIGKILL for this process when the one that has started it ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# -- the side of the tests ---------------------------------------------------------------------------------------------


class ForkedProcess:
    """A process that the template has forked, and will wait for."""

    def __init__(self, arguments: Sequence[str], pid: int, status_fd: int) -> None:
        self.args = arguments
        self.pid = pid
        self.returncode: int | None = None
        self._status_fd = status_fd

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._read_status(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._read_status(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _read_status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._status_fd, select.POLLIN)
            if poll.poll(None if timeout is None else timeout * 1000):
                told = os.read(self._status_fd, STATUS.size)
                os.close(self._status_fd)
                # Nothing was told: the template is dead, and so are its children.
                self.returncode = os.waitstatus_to_exitcode(STATUS.unpack(told)[0]) if told else -signal.SIGKILL
        return self.returncode


class Template:
    """The process that forks; it ends with the one that has made it."""

    def __init__(self) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(its.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # as a log file: not a terminal
                cwd=REPOSITORY,
                pass_fds=[its.fileno()],
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        atexit.register(self.close)

    def start(
        self, command_line: Sequence[str], *, output: BinaryIO, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> ForkedProcess:
        """Fork a process that runs this command line, `PYTHON -m minikv ...`; it has `output` as stdout and stderr."""
        sys.audit("subprocess.Popen", command_line[0], command_line, cwd, environment)
        request = {
            "command_line": list(command_line),
            "cwd": str(cwd),
            "environment": dict(os.environ if environment is None else environment),
            "limits": {limit: resource.getrlimit(limit) for limit in LIMITS},
        }
        status, its_status = os.pipe()
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [output.fileno(), its_status])
        finally:
            os.close(its_status)
        pid = self._control.recv(STATUS.size)
        if not pid:
            raise RuntimeError(f"the template of the servers ended with {self._process.wait()}")
        return ForkedProcess(command_line, STATUS.unpack(pid)[0], status)

    def close(self) -> None:
        atexit.unregister(self.close)
        self._control.close()
        self._process.wait()


# -- the side of the template ------------------------------------------------------------------------------------------


def load() -> None:
    """Import what a server imports."""
    sys.path[0] = str(REPOSITORY)  # as `python -m` has it
    importlib.import_module("minikv.command_line")
    importlib.import_module("minikv.server").command_modules()
    gc.collect()
    gc.freeze()  # a collection in a server would copy the pages of all these objects


def next_server(control: socket.socket) -> list[str]:
    """Fork at each request; return, in the forked process alone, with the command line that it is to run."""
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakes)
    status_fds: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([woken, control.fileno()], [], [])
        if woken in ready:
            os.read(woken, 4096)
            reap(status_fds)
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, 2)
        if not message:
            sys.exit(0)  # the tests have ended
        output, status_fd = descriptors
        assert len(os.listdir("/proc/self/task")) == 1
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.detach()
            return become(json.loads(message), output)
        status_fds[pid] = status_fd
        os.close(output)
        control.send(STATUS.pack(pid))


def reap(status_fds: dict[int, int]) -> None:
    """Tell the tests how servers have ended."""
    while status_fds:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        status_fd = status_fds.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits
            os.write(status_fd, STATUS.pack(status))
        os.close(status_fd)


def become(request: dict[str, Any], output: int) -> list[str]:
    """Make this process what a new one would be."""
    os.setsid()
    die_with_parent()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, 1 << 20)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    for limit, values in request["limits"].items():
        if resource.getrlimit(int(limit)) != tuple(values):
            resource.setrlimit(int(limit), tuple(values))
    command_line: list[str] = request["command_line"]
    return command_line


def main() -> None:
    """Whatever ends the server ends this process in the same way: nothing of the template is left around it."""
    load()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        command_line = next_server(control)
    _, _, module, *arguments = command_line
    sys.argv[1:] = arguments
    sys.orig_argv[:] = command_line
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

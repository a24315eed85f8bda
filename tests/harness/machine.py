"""Changes to the machine itself, for tests that need the real thing: each is put back, or the test is skipped loudly.

They need root, and a machine (or container) on which it may do that. While vm.overcommit_memory is 2 other processes
have less memory to ask for: such a test must be short and leave a good part of the commit limit alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minikv.host.cgroup import memory_groups
from minikv.host.overcommit import STRICT
from tests.harness.process import Server

OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")


@contextlib.contextmanager
def overcommit_memory(mode: int) -> Iterator[None]:
    """vm.overcommit_memory is `mode`."""
    before = OVERCOMMIT.read_text()
    try:
        OVERCOMMIT.write_text(str(mode))
    except OSError as error:
        pytest.skip(f"vm.overcommit_memory cannot be set to {mode} here: {error.strerror}")
    try:
        assert int(OVERCOMMIT.read_text()) == mode
        yield
    finally:
        OVERCOMMIT.write_text(before)


STEADY_BYTES = 64 << 20
ATTEMPTS = 5


def with_strict_overcommit(start: Callable[[], Server], scenario: Callable[[Server], None], least_bytes: int) -> None:
    """Start a server and run the scenario while vm.overcommit_memory is 2.

    Whatever else starts on this machine in that moment may take the promises that the scenario counts on: if there are
    others left at its end than before, it is tried again, whether it has failed or not.
    """
    for _ in range(ATTEMPTS):
        failure: AssertionError | None = None
        with overcommit_memory(STRICT):
            before = committed_left()
            if before < least_bytes:
                pytest.skip("too little memory is left to promise on this machine")
            try:
                server = start()
                try:
                    scenario(server)
                finally:
                    server.kill()
            except AssertionError as error:
                failure = error
            moved = abs(committed_left() - before)
        if moved < STEADY_BYTES:
            if failure is not None:
                raise failure
            return
    pytest.skip(f"other processes took or freed memory at each of {ATTEMPTS} attempts")


class MemoryGroup:
    """A control group below the one of this process, so that the limits that hold for the tests hold for it too."""

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self._limit = path / ("memory.max" if version == 2 else "memory.limit_in_bytes")
        self._used = path / ("memory.current" if version == 2 else "memory.usage_in_bytes")

    def take(self, pid: int) -> None:
        """Move a process in; what it has allocated before is not counted."""
        (self.path / "cgroup.procs").write_text(str(pid))

    @property
    def used_bytes(self) -> int:
        return int(self._used.read_text())

    def limit(self, nbytes: int) -> None:
        self._limit.write_text(str(nbytes))


@contextlib.contextmanager
def memory_group() -> Iterator[MemoryGroup]:
    """A group without a limit of its own; removed when its processes have ended."""
    found = memory_groups()
    if not found:
        pytest.skip("no control group for memory is mounted here")
    parent, version = found[0]
    path = Path(parent) / f"minikv-test-{uuid.uuid4().hex[:8]}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made in {parent}: {error.strerror}")
    try:
        group = MemoryGroup(path, version)
        if not group._limit.exists():
            pytest.skip(f"the control groups below {parent} have no memory limit")
        yield group
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """A group can be removed once its processes are gone, which is a moment after they were waited for."""
    for _ in range(100):
        try:
            path.rmdir()
        except OSError:
            time.sleep(0.02)
        else:
            return
    path.rmdir()


@contextlib.contextmanager
def small_disk(path: Path, nbytes: int) -> Iterator[Path]:
    """A file system of `nbytes` at the directory `path`."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={nbytes}", "minikv-test", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


SHARING = ("xfs", "btrfs")  # file systems whose files can share blocks


@contextlib.contextmanager
def loop_disk(path: Path, kind: str, nbytes: int = 320 << 20) -> Iterator[Path]:
    """An xfs, btrfs or ext4 of its own at the directory `path`; skips where it cannot be made or mounted."""
    path.mkdir()
    image = path.with_name(f"{path.name}.{kind}")
    with image.open("wb") as file:
        file.truncate(nbytes)
    quiet = {"ext4": ["-q", "-F"], "xfs": ["-q"], "btrfs": ["-q"]}[kind]
    for command in ([f"mkfs.{kind}", *quiet, str(image)], ["mount", "-o", "loop", str(image), str(path)]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip(f"{kind} cannot be tried: no {command[0]} here")
        if done.returncode:
            pytest.skip(f"{kind} cannot be tried: {command[0]}: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
        image.unlink()


def used_bytes(path: Path) -> int:
    """What is taken of the file system, once all of it is on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.sync()
        status = os.fstatvfs(fd)
    finally:
        os.close(fd)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def committed_left() -> int:
    """Bytes that may still be promised in overcommit mode 2."""
    values = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0]) * 1024
    return values["CommitLimit"] - values["Committed_AS"]

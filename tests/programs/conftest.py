"""Other people's programs, installed from PyPI and npm, doing their ordinary work on a minikv.

Each file in python/ and node/ is a program: it gets the port of an empty server and ends with an error if something is
not as it should be. What they import is installed once, into `$XDG_CACHE_HOME/minikv-programs` (default ~/.cache), in
a directory whose name is a digest of the list of packages.

    pytest -m programs
    pytest -m programs --subject redis-server      proves the programs
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from tests.harness import Server

HERE = Path(__file__).parent
INSTALL_TIMEOUT_S = 600
PROGRAM_TIMEOUT_S = 90


def run(
    command: Sequence[str | Path], timeout_s: int, failed: Callable[..., NoReturn] = pytest.fail, **options: object
) -> None:
    """Run to the end; if that goes wrong, `failed` gets what it has printed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False, **options
        )
    except subprocess.TimeoutExpired as error:
        printed = b"".join(text for text in (error.stdout, error.stderr) if text).decode(errors="replace")
        failed(f"{command[-2]} did not end within {timeout_s} s\n{printed}")
    if done.returncode != 0:
        failed(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")


def not_installed(reason: str) -> NoReturn:
    """A registry out of reach is no fault of minikv's."""
    pytest.skip(f"THE PACKAGES COULD NOT BE INSTALLED: {reason}")


def installed(packages: Path, install: Callable[[Path], None]) -> Path:
    """The directory where the packages of this list are; installs them if they are not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minikv-programs"
    digest = hashlib.sha256(packages.read_bytes() + sys.version.encode()).hexdigest()[:16]
    directory = cache / f"{packages.parent.name}-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            install(directory)
            (directory / "complete").touch()
    return directory


def installed_from(requirements: Path) -> Path:
    """The interpreter of an environment with these packages."""

    def install(directory: Path) -> None:
        run([sys.executable, "-m", "venv", directory], INSTALL_TIMEOUT_S)
        pip = [directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "-r", requirements], INSTALL_TIMEOUT_S, not_installed)

    return installed(requirements, install) / "bin" / "python"


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of an environment with the packages of requirements.txt."""
    return installed_from(HERE / "requirements.txt")


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages of node/package.json."""

    def install(directory: Path) -> None:
        shutil.copy(HERE / "node" / "package.json", directory)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", directory]
        run(npm, INSTALL_TIMEOUT_S, not_installed, cwd=directory)

    return installed(HERE / "node" / "package.json", install) / "node_modules"


@pytest.fixture(scope="module")
def server(module_minikv: Callable[..., Server]) -> Server:
    """A server with a port, for the programs of a module; each of them finds it empty."""
    return module_minikv(tcp=True)


@pytest.fixture
def run_program(server: Server) -> Callable[..., None]:
    """Runs a program on the empty server; its failure shows the server's log."""

    def run_on_server(interpreter: str | Path, program: Path, **environment: str) -> None:
        assert server.call("FLUSHALL") == b"+OK\r\n"
        command = [interpreter, program, str(server.port)]
        run(command, PROGRAM_TIMEOUT_S, cwd=program.parent, env={**os.environ, **environment})
        assert server.call("PING") == b"+PONG\r\n"

    return run_on_server

"""Task queues, locks, rate limiters, caches, session stores and socket hubs do their work on a minikv."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYTHON_PROGRAMS = sorted(path.name for path in (HERE / "python").glob("*.py") if not path.stem.endswith("_jobs"))
NODE_PROGRAMS = sorted(path.name for path in (HERE / "node").glob("*.js"))

pytestmark = [pytest.mark.programs, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", PYTHON_PROGRAMS)
def test_python_program(name: str, python: Path, run_program: Callable[..., None]) -> None:
    run_program(python, HERE / "python" / name, PYTHONPATH="")


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs node and npm")
@pytest.mark.parametrize("name", NODE_PROGRAMS)
def test_node_program(name: str, node_modules: Path, run_program: Callable[..., None]) -> None:
    run_program("node", HERE / "node" / name, NODE_PATH=str(node_modules))

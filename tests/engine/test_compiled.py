"""What the build leaves behind is what the sources say, and old compiled modules are not used in silence."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import minikv
from minikv.engine import newer_sources

PACKAGE = Path(minikv.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_marked_modules_are_compiled_and_no_others(source: Path) -> None:
    head = source.read_text().splitlines()[:1]
    marked = any(line.startswith("# cython:") for line in head)
    assert bool(list(source.parent.glob(f"{source.stem}.*.so"))) == marked


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_how_much_is_optimised_stands_in_the_second_line(source: Path) -> None:
    """The build looks nowhere else."""
    for number, line in enumerate(source.read_text().splitlines()):
        if line.startswith("# distutils:"):
            assert number == 1
            assert re.fullmatch(r"# distutils: extra_compile_args = -O[0-3]", line)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Two sources, one of them compiled, and a declaration; all of one time, `made` too."""
    package = tmp_path / "package"
    package.mkdir()
    for name in ("compiled.py", "compiled.cpython-311-x86_64-linux-gnu.so", "plain.py", "layout.pxd", "made"):
        (package / name).touch()
        os.utime(package / name, ns=(1000, 1000))
    return package


def test_nothing_is_newer_after_a_build(package: Path) -> None:
    assert newer_sources(package, package / "made") == []


@pytest.mark.parametrize("name", ["compiled.py", "layout.pxd"])
def test_a_changed_source_of_compiled_modules_is_named(package: Path, name: str) -> None:
    os.utime(package / name, ns=(2000, 2000))
    assert newer_sources(package, package / "made") == [name]


def test_a_changed_source_that_is_not_compiled_does_not_count(package: Path) -> None:
    os.utime(package / "plain.py", ns=(2000, 2000))
    assert newer_sources(package, package / "made") == []


def test_an_installed_package_is_never_old(package: Path) -> None:
    os.utime(package / "compiled.py", ns=(2000, 2000))
    assert newer_sources(package, package / "nowhere") == []

"""Huge pages: what the kernel is set to, the probe, the choice."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from minikv.host import huge_pages
from minikv.host.huge_pages import Probe, choose, probe

NONE = Probe(available=False, copies_whole_page=False)
SMALL = Probe(available=True, copies_whole_page=False)
WHOLE = Probe(available=True, copies_whole_page=True)


def test_the_word_in_brackets_is_the_mode(tmp_path: Path) -> None:
    directory = tmp_path / "kernel/mm/transparent_hugepage"
    directory.mkdir(parents=True)
    (directory / "enabled").write_text("always [madvise] never\n")
    (directory / "defrag").write_text("always defer [defer+madvise] madvise never\n")
    assert huge_pages.read_mode(str(tmp_path)) == "madvise"
    assert huge_pages.read_defrag(str(tmp_path)) == "defer+madvise"


def test_a_kernel_without_huge_pages_has_no_mode(tmp_path: Path) -> None:
    assert huge_pages.read_mode(str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("setting", "trial", "use"),
    [
        ("auto", SMALL, True),
        ("auto", WHOLE, False),
        ("auto", NONE, False),
        ("yes", SMALL, True),
        ("yes", WHOLE, True),
        ("yes", NONE, False),
        ("no", SMALL, False),
        ("no", NONE, False),
    ],
)
def test_the_choice(setting: str, trial: Probe, use: bool) -> None:
    chosen = choose(setting, "madvise", trial)
    assert chosen.use == use
    assert f"the arena uses {'2 MiB' if use else '4 KiB'} pages" in chosen.report


@pytest.mark.parametrize("mode", ["never", "madvise", ""])
def test_the_report_says_what_was_found(mode: str) -> None:
    report = choose("auto", mode, NONE).report
    assert (f"'{mode}'" if mode else "no transparent huge pages") in report


def test_the_probe_leaves_no_child() -> None:
    children = set(psutil.Process().children())  # servers that other tests have started
    started = time.monotonic()
    probe()
    assert time.monotonic() - started < 5
    assert set(psutil.Process().children()) == children


def test_the_probe_agrees_with_the_kernel() -> None:
    """In a process as small as a server at its start: a large one may not be measured in time."""
    code = "from minikv.host.huge_pages import probe; print(*probe())"
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    trial = huge_pages.Probe(*[word == "True" for word in words])
    if huge_pages.read_mode() in ("", "never"):
        assert not trial.available
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if trial.available and release >= (5, 8):
        assert not trial.copies_whole_page


def test_a_child_that_hangs_is_killed_and_counts_as_copying_whole_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(memory: object) -> int:
        time.sleep(60)
        return 0

    monkeypatch.setattr(huge_pages, "_write_and_measure", hang)
    monkeypatch.setattr(huge_pages, "TIMEOUT_MS", 20)
    started = time.monotonic()
    trial = probe()
    assert time.monotonic() - started < 30
    assert trial.copies_whole_page == trial.available

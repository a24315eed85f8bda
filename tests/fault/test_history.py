"""Histories whose tools are killed at any step, or find no room at any byte: no point that is listed is lost.

A process of its own does the work and kills itself before its nth change of the disk, or may write files of n bytes
only. What is left is then looked at, and the work done again.
"""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fsspec")

from minikv.history import compaction, manifest
from minikv.history.chain import History, adopt
from minikv.history.manifest import MANIFEST
from tests.fault.history_works import DONE, OF_DUMPS, REFUSED, WORKS, Work
from tests.history.history_files import SAMPLE_STATES, db, sample
from tests.history.states import State, states_of_history
from tests.rdb.rdb_files import pair

NOT_OF_THE_HISTORY = {MANIFEST, "manifest.lock", "compact.lock", "lock"}


class Worker:
    """The process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.fault.history_works"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def does(self, work: Work, place: Path, fault: str, number: int) -> int:
        """The exit code of a child that meets with a fault."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{work.name}\t{place}\t{fault}\t{number}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


# -- what is left


def states(directory: Path) -> dict[int, State]:
    """What each point that is listed holds, all files checked; nothing if there is no manifest yet."""
    return states_of_history(directory) if (directory / MANIFEST).exists() else {}


def rest(directory: Path) -> set[str]:
    """Files that no point has."""
    named = {point.file for point in History.open(str(directory)).points}
    return {path.name for path in directory.iterdir()} - named - NOT_OF_THE_HISTORY


def check_what_is_left(work: Work, place: Path, before: dict[int, State], known: dict[int, State]) -> None:
    left = states(place / work.directory)
    assert left == {id: known[id] for id in left}
    if before:
        assert max(left) >= max(before)
    for other in work.others:
        assert states(place / other) == work.result


@pytest.fixture(params=WORKS, ids=lambda work: work.name)
def work(request: pytest.FixtureRequest) -> Work:
    found: Work = request.param
    return found


@pytest.fixture
def places(tmp_path: Path, work: Work) -> Iterator[Callable[[], Path]]:
    """Gives a fresh copy of what there is before the work, in place of the last one."""
    first = tmp_path / "first"
    first.mkdir()
    work.prepare(first)

    def place() -> Path:
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
        return Path(shutil.copytree(first, tmp_path / "place"))

    yield place


def finish(work: Work, place: Path) -> None:
    """Do it again, undisturbed."""
    if (place / "h" / MANIFEST).exists():
        adopt(str(place / "h"))
    work.do(place)
    assert states(place / work.directory) == work.result
    compaction.sweep(str(place / work.directory))
    assert rest(place / work.directory) == set()


def test_a_process_that_is_killed_at_any_step_loses_nothing(
    worker: Worker, work: Work, places: Callable[[], Path]
) -> None:
    known = SAMPLE_STATES if work.name != "import" else OF_DUMPS
    before = states(places() / work.directory)
    steps = 0
    while True:
        place = places()
        ended = worker.does(work, place, "killed", steps)
        if ended == DONE:
            break
        assert ended == -signal.SIGKILL
        check_what_is_left(work, place, before, known)
        finish(work, place)
        steps += 1
    assert states(place / work.directory) == work.result
    assert steps > 3


def test_no_room_at_any_byte_is_an_error_and_loses_nothing(
    worker: Worker, work: Work, places: Callable[[], Path]
) -> None:
    known = SAMPLE_STATES if work.name != "import" else OF_DUMPS
    before = states(places() / work.directory)
    refused = room = 0
    while True:
        place = places()
        ended = worker.does(work, place, "room", room)
        if ended == DONE:
            break
        assert ended == REFUSED, room
        check_what_is_left(work, place, before, known)
        finish(work, place)
        refused += 1
        room += 53
    assert states(place / work.directory) == work.result
    assert refused > 5


# -- single faults


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h", points=3)
    point = writer.layer(db(0) + pair(b"k", b"v"), listed=False)
    path = tmp_path / "h" / MANIFEST
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in range(len(before), len(before) + len(point.line())):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(OSError):
                manifest.append(str(tmp_path / "h"), point)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
    manifest.append(str(tmp_path / "h"), point)
    assert path.read_bytes() == before + point.line()

"""What is done to histories in a process that may be killed, or find no room, at any step (test_history.py).

`python -m tests.fault.history_works` reads lines `WORK DIRECTORY FAULT N` and does each in a child, whose exit code it
writes. It has no keyspace of its own, since children inherit little of one.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minikv.errors import MinikvError
from minikv.history import compaction
from minikv.history.chain import History, adopt
from minikv.history.manifest import MANIFEST
from minikv.history.shipping import Progress, Store, pull, push
from minikv.tools.importing import import_dumps
from tests.history.history_files import FIRST_MS, SAMPLE_STATES, aux, db, sample, sample_layer_4
from tests.history.states import State
from tests.rdb.rdb_files import pair, rdb

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
DONE, REFUSED, BROKEN = 0, 1, 2  # exit codes


def in_a_child(work: Callable[[], object], prepare: Callable[[], object]) -> int:
    """Its exit code, or the signal that has ended it, negative."""
    pid = os.fork()
    if not pid:
        code = BROKEN
        try:
            prepare()
            work()
            code = DONE
        except (MinikvError, OSError) as error:
            code = REFUSED
            print(error, file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def killed_before(step: int) -> Callable[[], None]:
    """Let the process end before it changes the disk for the nth time, counted from 0."""

    def prepare() -> None:
        left = [step]

        def look(event: str, arguments: tuple[object, ...]) -> None:
            if event == "open":
                path, _, flags = arguments
                if not isinstance(flags, int) or not flags & TO_WRITE or str(path).startswith("/proc/"):
                    return
            elif event not in CHANGES:
                return
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        sys.addaudithook(look)

    return prepare


def with_room_for(nbytes: int) -> Callable[[], None]:
    """No file may become larger: writes are cut there, then fail (EFBIG), as on a disk that is full."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, resource.RLIM_INFINITY))

    return prepare


FAULTS = {"killed": killed_before, "room": with_room_for}


# -- the works


@dataclass(frozen=True)
class Work:
    """What is done in a directory that `prepare` has filled; `result`: the points of `directory` after it."""

    name: str
    prepare: Callable[[Path], object]
    do: Callable[[Path], object]
    result: dict[int, State]
    directory: str = "h"
    others: tuple[str, ...] = ()  # histories that stay as they are


def opened(place: Path) -> History:
    return History.open(str(place / "h"))


def compacting(change: Callable[[History], object]) -> Callable[[Path], None]:
    def do(place: Path) -> None:
        with compaction.alone(str(place / "h")):
            compaction.sweep(str(place / "h"))
            change(opened(place))

    return do


def merge(history: History) -> None:
    if len(history.points) == 4:
        compaction.merge(history, history.point(1), history.point(3))


def start(files: int, nbytes: int) -> Progress:
    return lambda moved: None


def pushing(place: Path) -> None:
    push(opened(place), Store(str(place / "copy")), start)


def pulling(place: Path) -> None:
    (place / "back").mkdir(exist_ok=True)
    pull(Store(str(place / "h")), str(place / "back"), start)


def with_copies(place: Path) -> None:
    """Both copies have what there was before points were merged and others came."""
    writer = sample(place / "h", points=3)
    pushing(place)
    pulling(place)
    sample_layer_4(writer)
    compaction.merge(opened(place), opened(place).point(2), opened(place).point(4))


def only(*ids: int) -> dict[int, State]:
    return {id: SAMPLE_STATES[id] for id in ids}


DUMPS = [{b"a": b"1", b"b": b"1"}, {b"a": b"2", b"b": b"1", b"c": b"x" * 300}, {b"b": b"1", b"c": b"x" * 300}]
OF_DUMPS: dict[int, State] = {
    number: {(0, key): value for key, value in dump.items()} for number, dump in enumerate(DUMPS, 1)
}


def dumped(place: Path) -> None:
    for number, dump in enumerate(DUMPS):
        head = aux("ctime", b"%d" % (FIRST_MS // 1000 + number))
        body = db(0) + b"".join(pair(key, value) for key, value in dump.items())
        (place / f"{number}.rdb").write_bytes(rdb(head + body, 10))


def importing(place: Path) -> None:
    """Those that are still to come."""
    done = len(opened(place).points) if (place / "h" / MANIFEST).exists() else 0
    paths = [str(place / f"{number}.rdb") for number in range(done, len(DUMPS))]
    if paths:
        import_dumps(str(place / "h"), paths, print, bar=False)


def cut_line(place: Path) -> None:
    sample(place / "h")
    path = place / "h" / MANIFEST
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:50])


WORKS = [
    Work("merge", lambda place: sample(place / "h"), compacting(merge), only(1, 3, 4)),
    Work(
        "rebase", lambda place: sample(place / "h"),
        compacting(lambda history: compaction.rebase(history, history.point(3))), only(1, 2, 3, 4),
    ),
    Work("thin", lambda place: sample(place / "h"), compacting(lambda h: compaction.thin(h, {2, 4})), only(2, 4)),
    Work("bound", lambda place: sample(place / "h"), compacting(lambda h: compaction.bound(h, 1)), only(4)),
    Work("push", lambda place: sample(place / "h"), pushing, only(1, 2, 3, 4), "copy", ("h",)),
    Work("push again", with_copies, pushing, only(1, 2, 4), "copy", ("h",)),
    Work("pull", lambda place: sample(place / "h"), pulling, only(1, 2, 3, 4), "back", ("h",)),
    Work("pull again", with_copies, pulling, only(1, 2, 4), "back", ("h",)),
    Work("import", dumped, importing, OF_DUMPS),
    Work("adopt", cut_line, lambda place: adopt(str(place / "h")), only(1, 2, 3, 4)),
]  # fmt: skip


def main() -> None:
    works = {work.name: work for work in WORKS}
    for line in sys.stdin:
        name, place, fault, number = line.rstrip("\n").split("\t")
        work = works[name]
        code = in_a_child(lambda: work.do(Path(place)), FAULTS[fault](int(number)))  # noqa: B023  (called at once)
        print(code, flush=True)


if __name__ == "__main__":
    main()

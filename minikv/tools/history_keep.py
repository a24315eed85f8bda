"""Keep a history small beside its server, which starts this in a process of its own (snapshot/compactor.py).

    python -c "..." DIRECTORY RULES MAX-BYTES

RULES are those of `history-keep`, MAX-BYTES is `history-max-bytes`; empty and 0: none. On standard output there is a
line of JSON for each step of progress, and at the end what the history is then. An error is one line of standard error,
and exit code 1; 2 if another process compacts the history.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence

from minikv.errors import HistoryError, MinikvError
from minikv.history import compaction
from minikv.history.chain import History, total_bytes
from minikv.history.exported import error_line
from minikv.history.loading import HistoryReader
from minikv.history.manifest import BASE, MANIFEST, Point
from minikv.host.memory import read_memory

BUSY = 2  # exit code
NICE = 10  # it waits for others, but not so long that a save would wait for the manifest's lock
STEP_BYTES = 256 << 10
OOM_SCORE = 1000
MEMORY_SHARE = 0.7  # of what is available
TELL_S = 0.2  # between two lines of progress
SLACK = 0.9  # of the bound: so much is left, else each save would exceed it


class Progress:
    """What is being done, and how much of it is done."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def tell(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            write({"what": what, "percent": round(100 * done / max(total, 1), 1)})

    def steps(self, reader: HistoryReader) -> None:
        """Load a point, if there is memory for it beside the server."""
        available = read_memory().available_bytes
        if reader.size > available * MEMORY_SHARE:
            raise HistoryError(
                f"a base for point {reader.point.id} needs up to {reader.size >> 20} MB of memory, and"
                f" {available >> 20} MB are available"
            )
        while reader.step(STEP_BYTES):
            self.tell(f"base {reader.point.id}", reader.offset, reader.size)

    def through(self, layers: Sequence[Point]) -> Iterator[Point]:
        """Read layers that are merged."""
        done, total = 0, total_bytes(layers)
        for point in layers:
            self.tell(f"layer {layers[-1].id}", done, total)
            yield point
            done += point.nbytes


def write(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


def main() -> int:
    """Do the work; the exit code."""
    directory, rules, max_bytes = sys.argv[1:]
    os.nice(NICE)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(OOM_SCORE))  # rather this than the server
    try:
        with compaction.alone(directory):
            if rules or int(max_bytes):
                compaction.sweep(directory)
                keep(directory, rules, int(max_bytes))
            write(state_of(directory))
    except HistoryError as error:
        print(error_line(error), end="", file=sys.stderr)
        return BUSY if isinstance(error.__cause__ or error.__context__, BlockingIOError) else 1
    except (OSError, MinikvError) as error:
        print(error_line(error), end="", file=sys.stderr)
        return 1
    return 0


def keep(directory: str, rules: str, max_bytes: int) -> None:
    """Take away what the rules do not want, then the oldest points above the bound. HistoryError, OSError."""
    history = History.open(directory)
    if not history.points:
        return
    progress = Progress()
    if rules:
        wanted = compaction.kept_by(history.points, compaction.parse_rules(rules))
        if len(wanted) < len(history.points):
            wanted = compaction.anchored(history, wanted)
            history = compaction.thin(history, wanted, progress.steps, progress.through)
    if max_bytes and total_bytes(history.points) > max_bytes:
        compaction.bound(history, int(max_bytes * SLACK), progress.steps)


def state_of(directory: str) -> dict[str, object]:
    """What the server has to know of the history as it is now."""
    fd = os.open(os.path.join(directory, MANIFEST), os.O_RDONLY | os.O_CLOEXEC)
    try:
        inode = os.fstat(fd).st_ino
    finally:
        os.close(fd)
    points = History.open(directory).points
    bases = [place for place, point in enumerate(points) if point.kind == BASE]
    since = points[bases[-1] :] if bases else ()
    return {
        "inode": inode,
        "newest": points[-1].id if points else 0,
        "points": len(points),
        "bytes": total_bytes(points),
        "base_bytes": since[0].nbytes if since else 0,
        "layers": max(len(since) - 1, 0),
        "layer_bytes": total_bytes(since[1:]),
    }

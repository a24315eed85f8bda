"""What a keyspace or a dump holds, as Python values that can be compared."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from minikv.history.chain import History
from minikv.history.loading import load_history
from minikv.history.writing import save_keyspace
from minikv.keyspace import Keyspace
from tests.rdb.rdb_files import read_fd

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # nothing there has to be synced

State = dict[tuple[int, bytes], object]


def states_of_history(directory: Path) -> dict[int, State]:
    """What each point that is listed holds, all files checked."""
    history = History.open(str(directory))
    found = {}
    for point in history.points:
        history.check_file(point, contents=True)
        keyspace = Keyspace(16, 1 << 30)
        load_history(str(directory), keyspace, point.id)
        found[point.id] = state_of(keyspace)
    return found


def state_of_dump(path: str | Path) -> State:
    """(database, key): value."""
    with open(path, "rb") as file:
        found = read_fd(file.fileno(), now_ms=-(2**63)).records
    state: State = {(record.database, record.key): record.value for record in found}
    assert len(state) == len(found)
    return state


def expiries_of_dump(path: str | Path) -> dict[tuple[int, bytes], int]:
    with open(path, "rb") as file:
        found = read_fd(file.fileno(), now_ms=-(2**63)).records
    return {(record.database, record.key): record.expire_at_ms for record in found if record.expire_at_ms}


def dump_of(keyspace: Keyspace, directory: str | Path) -> Path:
    path = Path(directory) / "state.rdb"
    save_keyspace(keyspace, str(path))
    return path


def state_of(keyspace: Keyspace) -> State:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        return state_of_dump(dump_of(keyspace, directory))


def expiries_of(keyspace: Keyspace) -> dict[tuple[int, bytes], int]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        return expiries_of_dump(dump_of(keyspace, directory))

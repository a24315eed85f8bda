"""push and pull: what goes over, what an interruption leaves, and what is refused."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from minikv.errors import HistoryError
from minikv.history import compaction, manifest, shipping
from minikv.history.chain import History
from minikv.history.loading import load_history
from minikv.history.shipping import Progress, Store, pull, push
from minikv.keyspace import Keyspace
from tests.history.history_files import SAMPLE_STATES, db, sample
from tests.history.states import state_of
from tests.rdb.rdb_files import pair

pytest.importorskip("fsspec")


def start(files: int, nbytes: int) -> Progress:
    return lambda moved: None


def pushed(directory: Path, target: Path | str) -> int:
    """The number of files that went over."""
    return push(History.open(str(directory)), Store(str(target)), start)[0]


def pulled(source: Path | str, directory: Path) -> int:
    directory.mkdir(exist_ok=True)
    return pull(Store(str(source)), str(directory), start)[0]


def check(directory: Path, id: int = 4) -> None:
    """The copy is whole and holds what the sample does."""
    history = History.open(str(directory))
    for point in history.points:
        history.check_file(point, contents=True)
    keyspace = Keyspace(16, 1 << 30)
    load_history(str(directory), keyspace, id)
    assert state_of(keyspace) == SAMPLE_STATES[id]
    names = {point.file for point in history.points}
    assert {path.name for path in directory.iterdir() if path.suffix == ".rdb"} == names


def test_a_copy_and_back(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    assert pushed(tmp_path / "h", f"file://{tmp_path}/copy/deep") == 4
    check(tmp_path / "copy/deep")
    assert pulled(tmp_path / "copy/deep", tmp_path / "back") == 4
    check(tmp_path / "back")
    assert (tmp_path / "back/manifest").read_bytes() == (tmp_path / "h/manifest").read_bytes()


def test_only_what_is_lacking_goes_over(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    assert pushed(tmp_path / "h", tmp_path / "copy") == 4
    assert pushed(tmp_path / "h", tmp_path / "copy") == 0
    writer.layer(db(0) + pair(b"k", b"v"))
    assert pushed(tmp_path / "h", tmp_path / "copy") == 1
    assert pulled(tmp_path / "copy", tmp_path / "back") == 5
    (tmp_path / "copy" / writer.points[2].file).write_bytes(b"cut")
    assert pushed(tmp_path / "h", tmp_path / "copy") == 1
    data = (tmp_path / "back" / writer.points[1].file).read_bytes()
    (tmp_path / "back" / writer.points[1].file).write_bytes(data[:70] + b"?" + data[71:])
    assert pulled(tmp_path / "copy", tmp_path / "back") == 1
    check(tmp_path / "back")


def test_compaction_goes_over_too(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    pushed(tmp_path / "h", tmp_path / "copy")
    pulled(tmp_path / "copy", tmp_path / "back")
    compaction.thin(History.open(str(tmp_path / "h")), {2, 4})
    assert pushed(tmp_path / "h", tmp_path / "copy") == 2
    check(tmp_path / "copy")
    assert pulled(tmp_path / "copy", tmp_path / "back") == 2
    check(tmp_path / "back")
    assert len(History.open(str(tmp_path / "back")).points) == 2


def test_an_interruption_at_any_file_leaves_the_old_state_and_goes_on(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    pushed(tmp_path / "h", tmp_path / "copy")
    for _ in range(3):
        writer.layer(db(0) + pair(b"k", b"v"))

    class Interrupted(Exception):
        pass

    def interrupted(files: int, nbytes: int) -> Progress:
        def progress(count: int) -> None:
            raise Interrupted

        return progress

    for _ in range(2):
        with pytest.raises(Interrupted):
            push(History.open(str(tmp_path / "h")), Store(str(tmp_path / "copy")), interrupted)
        assert len(History.open(str(tmp_path / "copy")).points) == 4
    left = pushed(tmp_path / "h", tmp_path / "copy")
    assert left == 1
    assert len(History.open(str(tmp_path / "copy")).points) == 7
    shutil.rmtree(tmp_path / "h")
    assert pulled(tmp_path / "copy", tmp_path / "h") == 7


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(tmp_path / "h")
    order: list[str] = []
    put = Store.put

    def note(self: Store, source: str, name: str, progress: Progress) -> None:
        order.append(name)
        put(self, source, name, progress)

    monkeypatch.setattr(shipping.Store, "put", note)
    pushed(tmp_path / "h", tmp_path / "copy")
    assert order[-1] == "manifest"
    assert order.count("manifest") == 1


# What is refused


def test_other_histories_and_newer_ones_are_left_alone(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    pushed(tmp_path / "h", tmp_path / "copy")
    manifest.create(str(tmp_path / "other"))
    with pytest.raises(HistoryError, match="another history, 0123456789abcdef"):
        pushed(tmp_path / "other", tmp_path / "copy")
    with pytest.raises(HistoryError, match="another history"):
        pulled(tmp_path / "copy", tmp_path / "other")
    writer.layer(db(0) + pair(b"k", b"here"))
    with pytest.raises(HistoryError, match="it has point 5, and the newest here is 4"):
        pulled(tmp_path / "copy", tmp_path / "h")
    apart = sample(tmp_path / "apart")
    apart.layer(db(0) + pair(b"k", b"there"))
    pushed(tmp_path / "h", tmp_path / "copy")
    with pytest.raises(HistoryError, match="its point 5 is another one"):
        pushed(tmp_path / "apart", tmp_path / "copy")


def test_nothing_there_and_nothing_to_reach(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no history, for it has no manifest"):
        pulled(tmp_path / "none", tmp_path / "back")
    with pytest.raises(HistoryError, match="nosuch"):
        Store("nosuch://host/history")
    sample(tmp_path / "h")
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match=f"^{tmp_path}/file/copy: "):
        pushed(tmp_path / "h", tmp_path / "file/copy")


def test_a_damaged_file_does_not_go_over(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    (tmp_path / "h" / writer.points[2].file).unlink()
    with pytest.raises(HistoryError, match="it is missing; point 2 is the newest before it"):
        pushed(tmp_path / "h", tmp_path / "copy")
    assert not (tmp_path / "copy/manifest").exists()


def test_a_flipped_byte_does_not_go_over(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    path = tmp_path / "h" / writer.points[1].file
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :])
        with pytest.raises(HistoryError, match=r"^point 2: layer-0000000002\.rdb: "):
            pushed(tmp_path / "h", tmp_path / "copy")
    assert not (tmp_path / "copy/manifest").exists()
    path.write_bytes(data)
    assert pushed(tmp_path / "h", tmp_path / "copy") == 3  # the base is there


def test_a_copy_that_was_damaged_elsewhere_is_not_taken(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    pushed(tmp_path / "h", tmp_path / "copy")
    path = tmp_path / "copy" / writer.points[2].file
    data = path.read_bytes()
    path.write_bytes(data[:70] + b"?" + data[71:])
    with pytest.raises(HistoryError, match="point 3: "):
        pulled(tmp_path / "copy", tmp_path / "back")
    assert not (tmp_path / "back/manifest").exists()


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(HistoryError, match=r"pip install minikv\[store\]"):
        Store(str(tmp_path))

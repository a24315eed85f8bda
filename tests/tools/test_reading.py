"""The progress bar: on a terminal, for what takes long."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from minikv.tools import reading
from minikv.tools.visitor import Visitor
from tests.rdb.rdb_files import pair, rdb


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "wanted", "after_s", "shown"),
    [(True, True, 0, True), (True, True, 1000, False), (True, False, 0, False), (False, True, 0, False)],
)
def test_the_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, wanted: bool, after_s: int, shown: bool
) -> None:
    path = tmp_path / "some.rdb"
    path.write_bytes(rdb(b"".join(pair(b"%d" % number, b"x" * 1000) for number in range(1000))))
    monkeypatch.setattr(reading, "BAR_AFTER_S", after_s)
    monkeypatch.setattr(reading, "STEP_BYTES", 1000)
    error = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    reading.visit(str(path), Visitor(), bar=wanted)
    assert ("some.rdb: " in error.getvalue()) == shown
    assert error.getvalue().rpartition("\r")[0].endswith(" ") or not shown  # cleared away

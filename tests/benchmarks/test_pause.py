"""The pause by size: every server at every size, and one picture."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the lab is an extra: pip install -e '.[lab]'")

from benchmarks import command_line, pause
from benchmarks.options import Options
from benchmarks.servers import REDIS


@pytest.mark.usefixtures("oracle_command")
def test_every_server_is_measured_at_each_size_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "SETTLE_S", 0.0)
    monkeypatch.setattr(pause, "IDLE_S", 0.05)
    options = Options((REDIS, pause.THREAD), rounds=1, seed=1, scale=0.001, directory=tmp_path)
    report = pause.run(options, (0.1,))
    both = {"redis-server", "minikv"}
    for what in (pause.SLOWEST, pause.ABOVE, pause.FORK):
        assert set(report.figure(f"{what}, 0.1 GB", "ms").samples) == both
    assert set(report.figure(f"{pause.STALL}, 0.1 GB", "ms").samples) == {"minikv"}
    assert report.result.startswith("Slowest ping through a BGSAVE of 0.1 GB: redis-server ")
    path = report.save(tmp_path)
    assert command_line.redraw(path) == 0
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_minikv_is_measured_with_both_ways_to_fork() -> None:
    names = [spec.name for spec in pause.default_servers()]
    assert names[-2:] == ["minikv, its loop forks", "minikv"]

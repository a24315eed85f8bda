"""The score that the kernel's choice of a victim starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from minikv.host.oom_score import OomScore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "oom_score_adj"
    path.write_text("22\n")
    return path


@pytest.mark.parametrize(
    ("mode", "score", "own", "of_child"),
    [
        ("yes", 10, "32", 822),
        ("yes", 2000, "1000", 822),
        ("yes", -2000, "-1000", 822),
        ("absolute", 10, "10", 800),
        ("absolute", 2000, "1000", 800),
    ],
)
def test_a_score_is_added_or_taken_as_it_is(path: Path, mode: str, score: int, own: str, of_child: int) -> None:
    oom_score = OomScore(path)
    oom_score.set(mode, score)
    assert path.read_text() == own
    assert oom_score.of_child(mode, 800) == of_child


def test_a_change_counts_from_what_was_found(path: Path) -> None:
    oom_score = OomScore(path)
    for mode, score, own in (("yes", 10, "32"), ("yes", 15, "37"), ("absolute", 1, "1"), ("yes", 3, "25")):
        oom_score.set(mode, score)
        assert path.read_text() == own


def test_turned_off_it_is_as_it_was_found(path: Path) -> None:
    oom_score = OomScore(path)
    oom_score.set("no", 10)
    assert path.read_text() == "22\n"
    assert oom_score.of_child("no", 800) is None
    oom_score.set("yes", 10)
    oom_score.set("no", 10)
    assert path.read_text() == "22"
    path.write_text("5")
    oom_score.set("no", 10)
    assert path.read_text() == "5"
    oom_score.set("yes", 1)
    assert path.read_text() == "6"


def test_a_score_that_is_forbidden_is_an_error_and_is_not_taken_for_set(tmp_path: Path) -> None:
    oom_score = OomScore(tmp_path / "gone")
    with pytest.raises(OSError, match="gone"):
        oom_score.set("yes", 10)
    oom_score.set("no", 10)
    assert oom_score.of_child("yes", 10) is None

"""What is remembered of snapshots, and what follows for the next one."""

from __future__ import annotations

from minikv.snapshot.cost import SnapshotCost
from minikv.snapshot.history import KEPT, SAVED, Entry, History
from minikv.snapshot.preflight import OWN_BYTES

MB = 1 << 20


def entry(number: int = 0, outcome: str = SAVED, *, mb: int = 10, seconds: float = 1.0, growth_mb: int = 0) -> Entry:
    cost = SnapshotCost(duration_s=seconds, bytes_written=mb * MB, growth_peak=growth_mb * MB)
    return Entry(number, "BGSAVE", outcome, live_bytes=20 * MB, cost=cost)


def test_the_newest_come_first_and_the_oldest_are_forgotten() -> None:
    history = History()
    for number in range(KEPT + 10):
        history.add(entry(number))
    assert len(history) == KEPT
    assert [found.started_at_ms for found in history.newest(2)] == [KEPT + 9, KEPT + 8]
    assert history.newest()[-1].started_at_ms == 10
    history.clear()
    assert history.newest() == []


def test_without_saves_nothing_is_known() -> None:
    history = History()
    history.add(entry(outcome="refused"))
    assert (history.save_bytes_per_s, history.growth_bytes_per_s, history.file_share) == (0, 0, 1.0)


def test_the_worst_of_the_last_three_saves_counts() -> None:
    history = History()
    history.add(entry(mb=1, seconds=100, growth_mb=9000))
    for mb, seconds, growth_mb in ((10, 1.0, 0), (10, 2.0, 116), (5, 0.1, 0)):
        history.add(entry(mb=mb, seconds=seconds, growth_mb=growth_mb))
    history.add(entry(outcome="failed", mb=0, seconds=1000))
    assert history.save_bytes_per_s == 5 * MB
    assert history.growth_bytes_per_s == (116 * MB - OWN_BYTES) // 2
    assert history.file_share == 0.5


def test_fields_are_integers_and_words() -> None:
    fields = entry(seconds=1.5).fields()
    assert fields["duration-ms"] == 1500
    assert {type(value) for value in fields.values()} == {int, str}
    assert not any(sign in str(value) for value in fields.values() for sign in "=,\r\n")

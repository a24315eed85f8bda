"""The comparison of what a snapshot needs with what there is, and the reading of the latter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minikv.snapshot.preflight import OWN_BYTES, Estimate, Room, Verdict, estimate, info_fields, judge, read_room

MB = 1 << 20
GB = 1 << 30

PLENTY = Room(memory_bytes=100 * GB, memory_of="MemAvailable", disk_bytes=100 * GB)


def of_one_gb(**figures: int | float) -> Estimate:
    known: dict[str, int | float] = {
        "frozen_bytes": GB,
        "live_bytes": GB,
        "network_bytes_per_s": 0,
        "growth_bytes_per_s": 0,
        "save_bytes_per_s": 1 * GB,
        "file_share": 1.0,
    }
    return estimate(**(known | figures))  # type: ignore[arg-type]


def test_an_idle_server_needs_what_any_snapshot_costs() -> None:
    found = of_one_gb()
    assert found.expected_bytes == OWN_BYTES
    assert found.worst_bytes == GB + OWN_BYTES
    assert (found.file_bytes, found.save_s) == (GB, 1.0)


@pytest.mark.parametrize(("network", "growth"), [(100 * MB, 10 * MB), (10 * MB, 100 * MB)])
def test_the_higher_rate_of_writing_counts_for_as_long_as_a_save_takes(network: int, growth: int) -> None:
    found = of_one_gb(network_bytes_per_s=network, growth_bytes_per_s=growth, save_bytes_per_s=GB // 4)
    assert found.save_s == 4
    assert found.expected_bytes == 400 * MB + OWN_BYTES


def test_no_more_than_everything_is_expected() -> None:
    found = of_one_gb(network_bytes_per_s=100 * GB)
    assert found.expected_bytes == found.worst_bytes


def test_before_the_first_save_a_slow_disk_is_assumed() -> None:
    assert of_one_gb(save_bytes_per_s=0).save_s == pytest.approx(10.24)


def test_compression_seen_before_makes_the_file_smaller() -> None:
    assert of_one_gb(file_share=0.25).file_bytes == GB // 4


@pytest.mark.parametrize(
    ("memory", "verdict"),
    [(GB + OWN_BYTES, "ok"), (GB + OWN_BYTES - 1, "tight"), (OWN_BYTES, "tight"), (OWN_BYTES - 1, "short")],
)
def test_memory(memory: int, verdict: str) -> None:
    finding = judge(of_one_gb(), Room(memory_bytes=memory, memory_of="MemAvailable", disk_bytes=None))
    assert finding.verdict == verdict
    assert bool(finding.reasons) == (verdict != "ok")


def test_the_new_file_must_fit_beside_the_old_one() -> None:
    finding = judge(of_one_gb(), Room(memory_bytes=100 * GB, memory_of="MemAvailable", disk_bytes=GB // 2))
    assert finding.verdict == Verdict.SHORT
    assert "513.0 MB too little" in finding.reasons[0]


def test_every_reason_is_told() -> None:
    room = Room(memory_bytes=0, memory_of="control group /a", disk_bytes=0, commit_bytes=0, commit_needed_bytes=GB)
    finding = judge(of_one_gb(), room)
    assert len(finding.reasons) == 3
    assert "control group /a" in finding.reasons[0]


def test_info_has_no_signs_that_its_readers_split_at() -> None:
    room = Room(memory_bytes=1, memory_of="control group /sys/fs/cgroup/a=b,c", disk_bytes=None)
    for value in info_fields(judge(of_one_gb(), room)).values():
        assert not {"=", ",", ":"} & set(str(value)), value
    assert info_fields(None) == {"minikv_preflight_verdict": "off"}


# -- what there is


def test_this_machine_is_read(tmp_path: Path) -> None:
    room = read_room(str(tmp_path))
    assert room.memory_bytes > 0
    assert room.disk_bytes is not None
    assert abs(room.disk_bytes - os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize) < GB


def test_a_directory_that_is_not_there_has_no_room_to_tell_of() -> None:
    assert read_room("/nowhere").disk_bytes is None


def machine(root: Path, files: dict[str, str]) -> Room:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_room(str(root), str(root / "proc"), str(root))


def test_a_tighter_control_group_is_what_counts(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemAvailable: 1000 kB\n",
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/memory.max": "1000000",
        "sys/fs/cgroup/memory.current": "900000",
    }
    room = machine(tmp_path, files)
    assert room.memory_bytes == 100_000
    assert room.memory_of.startswith("control group ")
    room = machine(tmp_path, files | {"sys/fs/cgroup/memory.max": "100000000"})
    assert (room.memory_bytes, room.memory_of) == (1_024_000, "MemAvailable")


SMAPS = """\
1000-2000 rw-p 00000000 00:00 0
Size:               1000 kB
Rss:                   4 kB
VmFlags: rd wr mr mw me ac
2000-3000 rw-p 00000000 00:00 0
Size:                200 kB
VmFlags: rd wr mr mw me dc ac
3000-4000 rw-p 00000000 00:00 0
Size:                 30 kB
VmFlags: rd wr mr mw me nr
4000-5000 rw-p 00000000 00:00 0                      [heap]
Size:                  4 kB
VmFlags: rd wr mr mw me ac hg
"""


def test_strict_overcommit_counts_what_the_child_inherits(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemAvailable: 1000 kB\nCommitLimit: 5000 kB\nCommitted_AS: 3000 kB\n",
        "proc/sys/vm/overcommit_memory": "2",
        "proc/sys/vm/admin_reserve_kbytes": "0",
        "proc/self/smaps": SMAPS,
    }
    room = machine(tmp_path, files)
    assert (room.commit_bytes, room.commit_needed_bytes) == (2000 * 1024, 1004 * 1024)
    room = machine(tmp_path, files | {"proc/sys/vm/overcommit_memory": "0"})
    assert (room.commit_bytes, room.commit_needed_bytes) == (None, 0)

"""What /proc says of memory: the machine, overcommit, one process."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from minikv.host import overcommit
from minikv.host.memory import machine_bytes, read_memory, read_own_memory
from minikv.host.overcommit import WARNING, read_overcommit
from minikv.host.smaps import MemoryUse, rollup
from tests.harness import Server

MEMINFO = """\
MemTotal:       16000000 kB
MemFree:         1000000 kB
MemAvailable:    8000000 kB
SwapTotal:       2000000 kB
SwapFree:        1500000 kB
CommitLimit:    10000000 kB
Committed_AS:    4000000 kB
AnonHugePages:      2048 kB
HugePages_Total:       3
"""

ROLLUP = """\
55d0a0000000-7ffd00000000 ---p 00000000 00:00 0                          [rollup]
Rss:                1000 kB
Pss:                 600 kB
Pss_Dirty:           500 kB
Shared_Clean:        300 kB
Shared_Dirty:        100 kB
Private_Clean:        40 kB
Private_Dirty:       560 kB
AnonHugePages:      2048 kB
Swap:                  8 kB
SwapPss:               8 kB
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with the files above and overcommit mode 0."""
    (tmp_path / "sys/vm").mkdir(parents=True)
    (tmp_path / "sys/vm/overcommit_memory").write_text("0\n")
    (tmp_path / "sys/vm/overcommit_ratio").write_text("50\n")
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "77").mkdir()
    (tmp_path / "77/smaps_rollup").write_text(ROLLUP)
    return tmp_path


def test_machine_memory_in_bytes(proc: Path) -> None:
    memory = read_memory(str(proc))
    assert memory.total_bytes == 16000000 * 1024
    assert memory.available_bytes == 8000000 * 1024
    assert memory.swap_total_bytes - memory.swap_free_bytes == 500000 * 1024
    assert memory.huge_page_bytes == 2 << 20


def test_a_machine_without_meminfo_reads_as_zero(tmp_path: Path) -> None:
    assert set(read_memory(str(tmp_path))) == {0}


def test_this_machine_has_memory() -> None:
    memory = read_memory()
    assert 0 < memory.available_bytes <= memory.total_bytes


@pytest.mark.parametrize(("mode", "left"), [(0, None), (1, None), (2, 6000000 * 1024)])
def test_what_is_left_to_promise_counts_in_mode_2_alone(proc: Path, mode: int, left: int | None) -> None:
    (proc / "sys/vm/overcommit_memory").write_text(f"{mode}\n")
    state = read_overcommit(str(proc))
    assert (state.mode, state.ratio, state.left_bytes) == (mode, 50, left)


@pytest.mark.parametrize(("mode", "warning"), [(0, WARNING), (1, None), (2, WARNING)])
def test_the_warning_comes_for_any_mode_but_1_and_is_read_anew(proc: Path, mode: int, warning: str | None) -> None:
    (proc / "sys/vm/overcommit_memory").write_text(f"{mode}\n")
    assert overcommit.warning(str(proc)) == warning


def test_an_unknown_mode_warns_of_nothing(tmp_path: Path) -> None:
    assert read_overcommit(str(tmp_path)).mode == -1
    assert overcommit.warning(str(tmp_path)) is None


def test_the_warning_is_the_one_that_redis_logs_but_for_its_allocator(start_redis: Callable[..., Server]) -> None:
    if overcommit.warning() is None:
        pytest.skip("vm.overcommit_memory is 1 here: redis-server does not warn")
    assert f"# {WARNING}\n" in re.sub(r"Being disabled, .*?/issues/\d+\. ", "", start_redis().log())


def test_memory_of_a_process(proc: Path) -> None:
    kb = 1024
    assert rollup(77, str(proc)) == MemoryUse(
        rss=1000 * kb,
        pss=600 * kb,
        shared_clean=300 * kb,
        shared_dirty=100 * kb,
        private_clean=40 * kb,
        private_dirty=560 * kb,
        huge_pages=2048 * kb,
        swap=8 * kb,
    )


def test_memory_of_this_process() -> None:
    own = rollup()
    assert own is not None
    assert own == rollup("self") or own.rss > 0
    assert 0 < own.pss <= own.rss


def test_a_process_that_is_gone_or_a_zombie_has_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert rollup(process.pid) is None
    process.wait()
    assert rollup(process.pid) is None


def test_somebody_elses_process_is_a_permission_error() -> None:
    try:
        with open("/proc/1/smaps_rollup"):
            pass
    except PermissionError:
        with pytest.raises(PermissionError):
            rollup(1)
    else:
        pytest.skip("every process can be read here")


def test_the_memory_of_this_process_is_what_psutil_says() -> None:
    theirs = psutil.Process().memory_info()
    own = read_own_memory()
    assert abs(own.resident_bytes - theirs.rss) < 4 << 20
    assert abs(own.shared_bytes - theirs.shared) < 4 << 20
    assert machine_bytes() == read_memory().total_bytes


def test_without_statm_the_memory_of_this_process_is_unknown(tmp_path: Path) -> None:
    assert read_own_memory(str(tmp_path)) == (0, 0)

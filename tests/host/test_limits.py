"""Open files against maxclients, the queue of connections. Limits are changed in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from minikv.host.limits import backlog_warning

SCRIPT = """
import resource, sys
from minikv.host.limits import allow_clients
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
raise_limit = resource.setrlimit
def refuse(kind, limits):
    if limits[1] > hard:
        raise ValueError("not allowed to raise maximum limit")
    raise_limit(kind, limits)
resource.setrlimit = refuse  # as an ordinary user sees it, even where the tests run as root
print(allow_clients(wanted).maxclients, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
print("\\n".join(allow_clients(wanted).report))
"""


def allow(soft: int, hard: int, wanted: int) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(wanted)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n").split("\n")


def test_a_limit_that_is_high_enough_stays() -> None:
    assert allow(500, 500, 100) == ["100 500"]


def test_the_soft_limit_is_raised_as_far_as_needed() -> None:
    assert allow(100, 1000, 500)[0] == "500 532"


def test_clients_are_reduced_to_what_the_hard_limit_allows() -> None:
    result, *report = allow(100, 200, 500)
    assert result == "168 200"
    assert report == [
        "You requested maxclients of 500 requiring at least 532 max file descriptors.",
        "Server can't set maximum open files to 532 because of OS error: Operation not permitted.",
        "Current maximum open files is 200. maxclients has been reduced to 168 to compensate for low ulimit. "
        "If you need higher maxclients increase 'ulimit -n'.",
    ]


def test_too_few_files_for_one_client() -> None:
    result, report = allow(30, 32, 500)
    assert result == "0 32"
    assert "is not enough for the server to start. Please increase your open file limit to at least 33." in report


@pytest.mark.parametrize(("somaxconn", "warns"), [("128\n", True), ("511\n", False), ("4096\n", False), (None, False)])
def test_a_queue_that_the_kernel_cuts_short_is_told(tmp_path: Path, somaxconn: str | None, warns: bool) -> None:
    if somaxconn is not None:
        (tmp_path / "sys/net/core").mkdir(parents=True)
        (tmp_path / "sys/net/core/somaxconn").write_text(somaxconn)
    warning = backlog_warning(511, str(tmp_path))
    assert (warning is not None) == warns
    if warning:
        assert "backlog setting of 511 cannot be enforced because /proc/sys/net/core/somaxconn" in warning

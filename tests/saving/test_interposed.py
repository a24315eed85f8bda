"""Functions of the C library that another library has taken over."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import minikv
from minikv.saving import interposed

MODULES = (
    *("saving/child", "saving/save", "saving/dump_file", "saving/units", "saving/runs", "rdb/crc64", "saving/fork"),
    *("engine/walker", "engine/lzf", "engine/memory", "engine/stream_tail"),
)
# What a child does not call: these parts of its modules are the server's alone.
SERVERS = {"malloc", "free", "mremap", "vsnprintf", "pthread_mutex_init", "pthread_mutex_lock", "pthread_mutex_unlock"}


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not there")
def test_all_that_a_child_takes_from_the_c_library_is_looked_up() -> None:
    taken: set[str] = set()
    for module in MODULES:
        (library,) = Path(minikv.__file__).parent.glob(f"{module}.cpython*.so")
        listing = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True)
        taken |= set(re.findall(r" U (\w+)@GLIBC", listing.stdout))
    assert {name.removesuffix("64") for name in taken} - SERVERS <= set(interposed.CALLS)


def test_nothing_stands_between_in_this_process() -> None:
    assert interposed.libraries() == {}


def test_addresses_lie_in_the_files_that_they_come_from() -> None:
    mappings = [interposed.Mapping(10, 20, "a"), interposed.Mapping(20, 30, ""), interposed.Mapping(40, 50, "b")]
    assert [interposed.path_of(address, mappings) for address in (9, 10, 19, 25, 35, 49, 50)] == [
        "",
        "a",
        "a",
        "",
        "",
        "b",
        "",
    ]

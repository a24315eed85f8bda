"""Background saves under way: their child, its temporary file, and how they ended."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.harness.process import Server, wait_until

STARTED = b"+Background saving started\r\n"


def temp_files(directory: Path) -> list[str]:
    """The names of the files that saves have begun there."""
    return sorted(path.name for path in directory.glob("temp-*.rdb"))


def status(server: Server) -> str:
    """How the last background save ended: ok or err."""
    return server.info("persistence")["rdb_last_bgsave_status"]


def wait_for_end(server: Server) -> None:
    """Waits until no child saves, however that ends."""
    wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", "the save ends")


def held_save(server: Server) -> psutil.Process:
    """The child of a BGSAVE that takes far longer than the test."""
    assert server.call("CONFIG SET rdb-key-save-delay 1000000") == b"+OK\r\n"
    assert server.call("BGSAVE") == STARTED
    wait_until(lambda: bool(temp_files(server.directory)), "the temporary file is there")
    (child,) = server.children()
    return child

"""What waits for a save: a link or a pipe under the name of its file, a library in the C library's place."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from minikv.saving import temp_file
from tests.harness import Server, wait_until

StartServer = Callable[..., Server]

WRAPPER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    free(malloc(100));
    return real(fd);
}
int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    if (!real) real = dlsym(RTLD_NEXT, "rename");
    return real(from, to);
}
"""


def bgsave(server: Server) -> str:
    """The status of a background save."""
    assert server.call("BGSAVE").startswith(b"+Background saving started")
    wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", "the end of the save")
    return server.info("persistence")["rdb_last_bgsave_status"]


def test_a_link_under_the_temporary_name_is_refused(start_minikv: StartServer, tmp_path: Path) -> None:
    server = start_minikv()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = server.dump_path.parent / temp_file.temp_name(server.pid)
    link.symlink_to(victim)
    assert server.call("SAVE").startswith(b"-ERR")
    assert victim.read_text() == "precious"
    assert link.is_symlink()
    assert not server.dump_path.exists()
    assert "Failed opening the temp RDB file" in server.log()
    link.unlink()
    assert server.call("SAVE") == b"+OK\r\n"


@pytest.mark.parametrize("read", [False, True], ids=["nobody reads it", "somebody reads it"])
def test_a_pipe_under_the_temporary_name_is_refused(start_minikv: StartServer, read: bool) -> None:
    server = start_minikv()
    pipe = server.dump_path.parent / temp_file.temp_name(server.pid)
    os.mkfifo(pipe)
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if read else -1
    assert server.call("SAVE").startswith(b"-ERR")
    assert pipe.is_fifo()
    if read:
        os.close(fd)


def test_a_second_name_of_another_file_is_refused(start_minikv: StartServer) -> None:
    server = start_minikv()
    victim = server.dump_path.parent / "victim"
    victim.write_text("precious")
    os.link(victim, server.dump_path.parent / temp_file.temp_name(server.pid))
    assert server.call("SAVE").startswith(b"-ERR")
    assert victim.read_text() == "precious"


def test_links_and_pipes_are_not_stale_files(tmp_path: Path) -> None:
    (tmp_path / "temp-4000001.rdb").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "temp-4000002.rdb")
    (tmp_path / "temp-4000003.rdb").write_bytes(b"stale")
    assert temp_file.stale_files(str(tmp_path)) == ["temp-4000003.rdb"]


def test_the_log_of_a_failed_save_claims_no_snapshot(start_minikv: StartServer) -> None:
    server = start_minikv()
    assert server.call("SET a 1") == b"+OK\r\n"
    server.dump_path.mkdir()
    assert bgsave(server) == "err"
    assert "Snapshot failed after " in server.log()
    assert "Snapshot took " not in server.log()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not there")
def test_a_library_in_the_c_librarys_place_is_told_and_saves_succeed(start_minikv: StartServer, tmp_path: Path) -> None:
    source, library = tmp_path / "wrapper.c", tmp_path / "wrapper.so"
    source.write_text(WRAPPER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    server = start_minikv(environment={"LD_PRELOAD": str(library)})
    assert f"{library} stands between minikv and the C library (fsync, rename)" in server.log()
    assert server.call("SET a 1") == b"+OK\r\n"
    assert bgsave(server) == "ok"
    server.restart()
    assert server.call("GET a") == b"$1\r\n1\r\n"


def test_a_reload_that_fails_after_its_check_ends_the_server(start_minikv: StartServer) -> None:
    from tests.rdb.rdb_files import pair, rdb

    server = start_minikv(enable_debug_command="yes")
    assert server.call("SET k v") == b"+OK\r\n"
    server.dump_path.write_bytes(rdb(pair(b"a", b"1") + b"\x06" + b"\x01m"))
    assert server.call("DEBUG RELOAD NOSAVE").startswith(b"-ERR Error trying to load the RDB dump")
    assert server.call("GET k") == b"$1\r\nv\r\n"
    data = rdb(pair(b"a", b"1") + pair(b"a", b"2"))
    server.dump_path.write_bytes(data)
    with server.connect() as client, pytest.raises((OSError, AssertionError)):
        client.call("DEBUG RELOAD NOSAVE")
    assert server.wait() == 1
    assert server.dump_path.read_bytes() == data

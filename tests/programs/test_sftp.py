"""push and pull of a history by SFTP: an sshd of the distribution's, on this machine."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.process import free_port, wait_until
from tests.history.history_files import db, sample
from tests.history.test_shipping import check
from tests.programs.conftest import HERE, installed_from
from tests.programs.test_object_store import ROOT, answers
from tests.rdb.rdb_files import pair

pytestmark = [pytest.mark.programs, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with paramiko."""
    return installed_from(HERE / "store" / "requirements.txt")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Of an sshd of this user, whose key is in the home directory tmp_path/home."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("no sshd here (apt-get install openssh-server)")
    (tmp_path / "home/.ssh").mkdir(parents=True, mode=0o700)
    for name in (tmp_path / "host_key", tmp_path / "home/.ssh/id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(name)], check=True)
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {tmp_path}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/home/.ssh/id_ed25519.pub\nPasswordAuthentication no\n"
        "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it changes its root to
    with (tmp_path / "sshd.log").open("wb") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port), "sshd listens", 60)
        yield port
    finally:
        server.terminate()
        server.wait()


def test_push_and_pull(tmp_path: Path, python: Path, port: int) -> None:
    writer = sample(tmp_path / "h")
    environment = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    environment |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}

    def tool(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "minikv.tools.history", "--history", directory, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    url = f"sftp://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/copy"
    done = tool(tmp_path / "h", "push", url)
    assert (done.returncode, done.stderr) == (0, "")
    check(tmp_path / "copy")
    writer.layer(db(0) + pair(b"k", b"v"))
    assert tool(tmp_path / "h", "push", url).stdout.startswith(f"{url}: 1 files")
    done = tool(tmp_path / "back", "pull", url)
    assert (done.returncode, done.stderr) == (0, "")
    check(tmp_path / "back")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"manifest", *(p.file for p in writer.points)}

"""push and pull of a history over HTTP: an object store that speaks S3, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minikv.history import compaction
from minikv.history.chain import History
from tests.harness.process import free_port, wait_until
from tests.history.history_files import db, sample
from tests.history.test_shipping import check
from tests.programs.conftest import HERE, installed_from
from tests.rdb.rdb_files import pair

ROOT = HERE.parent.parent

pytestmark = [pytest.mark.programs, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with s3fs and moto."""
    return installed_from(HERE / "store" / "requirements.txt")


@pytest.fixture
def environment(tmp_path: Path, python: Path) -> Iterator[dict[str, str]]:
    """What leads the libraries to a store that listens, and to nothing of this machine's."""
    port = free_port()
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    with (tmp_path / "moto.log").open("wb") as log:
        command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_until(lambda: answers(port), "the object store listens", 60)
        script = "import boto3; boto3.client('s3').create_bucket(Bucket='bucket')"
        subprocess.run([python, "-c", script], env=environment, check=True)
        yield environment
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def tool(python: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "minikv.tools.history", "--history", directory, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_push_and_pull(tmp_path: Path, tool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    writer = sample(tmp_path / "h")
    url = "s3://bucket/histories/one"
    done = tool(tmp_path / "h", "push", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{url}: 4 files")
    writer.layer(db(0) + pair(b"k", b"v" * 10_000))
    compaction.merge(History.open(str(tmp_path / "h")), writer.points[0], writer.points[2])
    assert tool(tmp_path / "h", "push", url).stdout.startswith(f"{url}: 2 files")
    assert tool(tmp_path / "h", "push", url).stdout == f"{url}: nothing was lacking\n"
    done = tool(tmp_path / "back", "pull", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path}/back: 4 files")
    check(tmp_path / "back")


def test_a_bucket_that_is_not_there(tmp_path: Path, tool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    sample(tmp_path / "h")
    missing = tool(tmp_path / "h", "push", "s3://nobucket/one")
    assert missing.returncode == 2
    assert missing.stderr.startswith("minikv-history: s3://nobucket/one: ")
    assert missing.stderr.count("\n") == 1

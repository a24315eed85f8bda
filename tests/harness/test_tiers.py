"""The quick tier starts no server: who does so by a fixture is marked, who does so by hand is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness import MINIKV, Server


@pytest.mark.parametrize("command", [[*MINIKV, "--version"], ["redis-server", "--version"], ["minikv-server"]])
def test_a_test_without_the_marker_starts_no_server(command: list[str]) -> None:
    with pytest.raises(AssertionError, match=r"test_tiers.* starts a server: mark it"):
        subprocess.run(command, check=True)


def test_other_programs_may_be_started() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_a_fixture_that_starts_a_server_brings_the_marker(request: pytest.FixtureRequest, minikv: Server) -> None:
    assert request.node.get_closest_marker("server") and minikv.alive

"""systemd's notification protocol, with a real socket."""

import socket
from pathlib import Path

import pytest

from minikv.host.supervisor import READY, notify, wanted


@pytest.mark.parametrize(
    ("setting", "environment", "result"),
    [
        ("no", {"NOTIFY_SOCKET": "/x"}, False),
        ("systemd", {}, True),
        ("auto", {}, False),
        ("auto", {"NOTIFY_SOCKET": "/x"}, True),
    ],
)
def test_who_wants_to_be_told(setting: str, environment: dict[str, str], result: bool) -> None:
    assert wanted(setting, environment) == result


def test_the_message_arrives_at_a_path(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        assert notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "notify")}) == ""
        assert b"READY=1\n" in manager.recv(1000)


def test_the_message_arrives_at_an_abstract_name(tmp_path: Path) -> None:
    name = f"minikv-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        assert notify(READY, {"NOTIFY_SOCKET": "@" + name}) == ""
        assert b"READY=1\n" in manager.recv(1000)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "NOTIFY_SOCKET not found"),
        ({"NOTIFY_SOCKET": "x"}, "neither"),
        ({"NOTIFY_SOCKET": "/nowhere/x"}, "No such"),
    ],
)
def test_why_it_did_not_arrive(environment: dict[str, str], reason: str) -> None:
    assert reason in notify(READY, environment)

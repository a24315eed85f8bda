"""How long a server has run does not depend on who sets the clock."""

from __future__ import annotations

from minikv.commands.info import info
from minikv.config import Config
from minikv.dispatch.client import Client
from minikv.keyspace import Keyspace
from minikv.log import Log
from minikv.server import Server


def test_a_clock_that_was_set_since_the_start_does_not_change_the_uptime() -> None:
    keyspace = Keyspace(1, 64 << 20, huge_pages=False)
    server = Server(Config(), keyspace, Log("warning"), clock=lambda: 0.0)  # in 1970, when it started
    text = info(Client(server), b"server").data
    assert int(text.partition(b"uptime_in_seconds:")[2].split()[0]) < 1000
    assert b"\r\nuptime_in_days:0\r\n" in text
    keyspace.check()

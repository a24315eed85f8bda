"""A client that pings every half millisecond, in a process of its own: what others see of a server's pauses.

`python -m benchmarks.pinger PORT` pings until its standard input closes, then writes a JSON list of
[start on the monotonic clock in s, latency in s].
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from types import TracebackType

from benchmarks.servers import ROOT

PERIOD_S = 0.0005


class Pinger:
    """The pinging process, as a context manager; `worst_ms` asks about any time span after it has ended."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pings: list[tuple[float, float]] = []

    def __enter__(self) -> Pinger:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pinger", str(self.port)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        output, _ = self.process.communicate()
        if error is None:
            self.pings = [(start, latency) for start, latency in json.loads(output)]

    def worst_ms(self, since: float, until: float) -> float:
        """The slowest ping that was under way at any time from `since` to `until` (monotonic seconds)."""
        return 1000 * max((latency for start, latency in self.pings if start <= until and start + latency >= since))


def main() -> None:
    pings: list[tuple[float, float]] = []
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        following = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, following - time.monotonic()))[0]:
            start = time.monotonic()
            server.sendall(b"PING\r\n")
            server.recv(64)
            pings.append((start, time.monotonic() - start))
            following = start + PERIOD_S
    json.dump(pings, sys.stdout)


if __name__ == "__main__":
    main()

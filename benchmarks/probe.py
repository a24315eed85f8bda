"""A light client with one request at a time, in a process of its own: what others see of a server's pauses.

`python -m benchmarks.probe CONFIGURATION` (JSON) sends a request every `period_s` until its standard input closes, then
writes a JSON list of [kind, start on the monotonic clock in s, latency in s]; an empty line comes before all, when it
has begun. The client waits for each reply, so a
pause of 100 ms delays one request of its own; other clients would have sent theirs meanwhile. So `latencies_ms` adds
the requests that were due while one waited, each shorter by a period than the one before.
"""

from __future__ import annotations

import json
import random
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, NamedTuple

from benchmarks.client import Client, encode
from benchmarks.datasets import KEY_LEN
from benchmarks.servers import ROOT

PING_PERIOD_S = 0.0005


class Answer(NamedTuple):
    """One request's kind, its start (monotonic) and how long its reply took."""

    kind: str
    start: float
    latency_s: float


class Probe:
    """The process, as a context manager; its answers are there after it has ended.

    kinds are sent in turns: PING, or GET and SET of random keys (`prefix` and twelve digits below `keys`).
    """

    def __init__(
        self,
        port: int,
        kinds: tuple[str, ...] = ("PING",),
        period_s: float = PING_PERIOD_S,
        *,
        password: str = "",
        prefix: str = "",
        keys: int = 1,
        value_len: int = 0,
    ) -> None:
        self.configuration: dict[str, Any] = {
            "port": port, "kinds": kinds, "period_s": period_s,
            "password": password, "prefix": prefix, "keys": keys, "value_len": value_len,
        }  # fmt: skip
        self.answers: list[Answer] = []

    def __enter__(self) -> Probe:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.probe", json.dumps(self.configuration)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it is at work
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        output, _ = self.process.communicate()
        if error is None:
            self.answers = [Answer(*answer) for answer in json.loads(output)]

    def worst_ms(self, since: float, until: float) -> float:
        """The slowest request that was under way at any time from `since` to `until` (monotonic seconds)."""
        return 1000 * max(a.latency_s for a in self.answers if a.start <= until and a.start + a.latency_s >= since)

    def latencies_ms(self, kind: str, since: float, until: float) -> list[float]:
        """Latencies of the requests of this kind that started from `since` to `until`, the held up ones too."""
        period_s = self.configuration["period_s"]
        found = []
        for answer in self.answers:
            if answer.kind == kind and since <= answer.start < until:
                held_up = int(answer.latency_s / period_s)
                found += [1000 * (answer.latency_s - late * period_s) for late in range(held_up + 1)]
        return found


def main() -> None:
    told = json.loads(sys.argv[1])
    answers: list[tuple[str, float, float]] = []
    random_number = random.Random(1).randrange
    with Client(told["port"], told["password"]) as client:
        due = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            kind = told["kinds"][len(answers) % len(told["kinds"])]
            message = request(kind, told, random_number(told["keys"]))
            start = time.monotonic()
            client.socket.sendall(message)
            client.receive()
            answers.append((kind, start, time.monotonic() - start))
            due = start + told["period_s"]
            if len(answers) == 1:
                print(flush=True)
    json.dump(answers, sys.stdout)


def request(kind: str, told: dict[str, Any], number: int) -> bytes:
    key = f"{told['prefix']}{number:0{KEY_LEN - len(told['prefix'])}d}"
    if kind == "GET":
        return encode("GET", key)
    if kind == "SET":
        return encode("SET", key, bytes([65 + number % 26]) * told["value_len"])
    return encode(kind)


if __name__ == "__main__":
    main()

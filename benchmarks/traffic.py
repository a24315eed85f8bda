"""A load that hardly loads the machine: pipelined SETs and GETs of chosen keys, in a process of its own.

On two cores a heavy client measures itself. Here all requests lie ready in one buffer; a batch is made by writing the
digits of its keys into their places, sent as one slice, and its replies are counted. The next batch is sent before the
replies to the last one are read, so that the server never waits. At 16 requests in a batch this takes about 2 us each.

`python -m benchmarks.traffic CONFIGURATION` (JSON, fields of `Load`) runs until its standard input closes. How many
writes and reads are done, it tells in a file that both processes map.
"""

from __future__ import annotations

import itertools
import json
import mmap
import random
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import TracebackType

import numpy as np
from tqdm import tqdm

from benchmarks.client import Client, encode
from benchmarks.datasets import KEY_LEN, NOISE_BYTES
from benchmarks.keys import Distribution, Numbers
from benchmarks.servers import ROOT, Server

SLOTS = 4096  # requests that lie ready
DRAWN = 4096  # keys drawn at once
COUNTERS = struct.Struct("=3Q")  # writes, reads, CPU time in us
BATCH_S = 0.002  # at a set rate a batch holds no more than this time's requests
LATE_S = 0.1  # a rate that cannot be kept up is not made up for beyond this


@dataclass(frozen=True)
class Load:
    """What to send.

    rate: writes a second, 0 as fast as they go. read_share: of all requests. value_lens: the shortest and longest
    value, all between them as likely. keys: a `Distribution` as text.
    """

    count: int
    value_lens: tuple[int, int] = (1024, 1024)
    keys: str = "uniform"
    rate: float = 0.0
    read_share: float = 0.0
    pipeline: int = 16
    prefix: str = "lab:"
    seed: int = 1

    @property
    def mean_value_len(self) -> float:
        return sum(self.value_lens) / 2

    def requests(self, kind: str) -> Requests:
        """SETs with values as this load has them, or commands with a key alone."""
        noise = random.Random(self.seed)
        block = noise.randbytes(NOISE_BYTES + self.value_lens[1])
        key = self.prefix.ljust(KEY_LEN, "0")
        messages = []
        for _ in range(SLOTS):
            start = noise.randrange(NOISE_BYTES)
            value = block[start : start + noise.randint(*self.value_lens)]
            messages.append(encode("SET", key, value) if kind == "SET" else encode(kind, key))
        return Requests(messages, len(self.prefix))


class Requests:
    """Requests that lie ready one after another, up to the digits of their keys."""

    def __init__(self, messages: list[bytes], prefix_len: int) -> None:
        ends = list(itertools.accumulate(len(message) for message in messages))
        starts = [0, *ends[:-1]]
        self.bounds = [0, *ends]
        self.flat = np.frombuffer(bytearray(b"".join(messages)), np.uint8)
        digits = KEY_LEN - prefix_len
        self.powers = 10 ** np.arange(digits - 1, -1, -1)
        key_at = messages[0].index(b"\r\n", messages[0].index(b"$%d\r\n" % KEY_LEN)) + 2 + prefix_len
        self.places = np.array(starts)[:, None] + key_at + np.arange(digits)
        self.slot = 0

    def batch(self, numbers: Numbers) -> memoryview:
        """Requests for these keys; valid until the slots come round again."""
        if self.slot + len(numbers) > SLOTS:
            self.slot = 0
        first, self.slot = self.slot, self.slot + len(numbers)
        digits = (numbers[:, None] // self.powers) % 10 + ord("0")
        self.flat[self.places[first : self.slot]] = digits
        return self.flat[self.bounds[first] : self.bounds[self.slot]].data


def fill(client: Client, load: Load, kind: str = "SET", shown_as: str = "") -> None:
    """Store every key of the load once, or send another command for each. shown_as: on a terminal, by this name."""
    requests = load.requests(kind)
    progress = tqdm(
        total=load.count, desc=f"filling {shown_as}", unit=" keys", leave=False, disable=None if shown_as else True
    )

    def batches() -> Iterator[tuple[bytes | memoryview, int]]:
        for start in range(0, load.count, 256):
            numbers = np.arange(start, min(start + 256, load.count))
            yield requests.batch(numbers), len(numbers)
            progress.update(len(numbers))

    with progress:
        client.pipeline(batches())


class Traffic:
    """The process, as a context manager."""

    def __init__(self, server: Server, load: Load) -> None:
        self.server = server
        self.load = load

    def __enter__(self) -> Traffic:
        self.file = tempfile.NamedTemporaryFile(prefix="benchmark-traffic-")
        self.file.write(bytes(COUNTERS.size))
        self.file.flush()
        self.counters = mmap.mmap(self.file.fileno(), COUNTERS.size)
        told = {"port": self.server.port, "password": self.server.password, "file": self.file.name}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.traffic", json.dumps(told | {"load": asdict(self.load)})],
            cwd=ROOT, stdin=subprocess.PIPE,
        )  # fmt: skip
        while not (self.writes or self.reads):
            if self.process.poll() is not None:
                raise RuntimeError("the load ended at once")
            time.sleep(0.001)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.communicate()
        self.counters.close()
        self.file.close()
        if error is None and self.process.returncode:
            raise RuntimeError("the load broke off")

    @property
    def writes(self) -> int:
        """SETs that the server has replied to."""
        return int(COUNTERS.unpack_from(self.counters)[0])

    @property
    def reads(self) -> int:
        return int(COUNTERS.unpack_from(self.counters)[1])

    @property
    def cpu_s(self) -> float:
        """What the load itself took."""
        return int(COUNTERS.unpack_from(self.counters)[2]) / 1e6


class Writer:
    """SETs on one connection, one batch ahead of the replies."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.done = 0
        self.owed = 0

    def send(self, requests: memoryview, count: int) -> None:
        self.client.socket.sendall(requests)
        self.finish()
        self.owed = count

    def finish(self) -> None:
        """Read the replies that are owed; an error is raised."""
        self.client.skip(self.owed)
        self.done, self.owed = self.done + self.owed, 0


def main() -> None:
    told = json.loads(sys.argv[1])
    load = Load(**told["load"])
    with open(told["file"], "r+b") as file:
        counters = mmap.mmap(file.fileno(), COUNTERS.size)
    run(load, told["port"], told["password"], counters)


def run(load: Load, port: int, password: str, counters: mmap.mmap) -> None:
    writer, reader = Writer(Client(port, password)), Client(port, password)
    sets, gets = load.requests("SET"), load.requests("GET")
    size = load.pipeline if not load.rate else max(1, min(load.pipeline, int(load.rate * BATCH_S)))
    distribution = Distribution.parse(load.keys, load.count)
    to_read = distribution.batches(size, load.seed + 1)
    reads_per_write = load.read_share / (1 - load.read_share)
    reads = 0
    due = time.monotonic()
    for drawn in distribution.batches(DRAWN - DRAWN % size, load.seed):
        for first in range(0, len(drawn), size):
            if load.rate and due > time.monotonic():
                writer.finish()
                COUNTERS.pack_into(counters, 0, writer.done, reads, cpu_us())
            if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()) if load.rate else 0.0)[0]:
                return
            writer.send(sets.batch(drawn[first : first + size]), size)
            while reads < writer.done * reads_per_write:
                reader.pipeline([(gets.batch(next(to_read)), size)])
                reads += size
            COUNTERS.pack_into(counters, 0, writer.done, reads, cpu_us())
            if load.rate:
                due = max(due, time.monotonic() - LATE_S) + size / load.rate


def cpu_us() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(1e6 * (used.ru_utime + used.ru_stime))


if __name__ == "__main__":
    main()

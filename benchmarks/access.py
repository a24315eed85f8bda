"""What do commands on random elements of collections cost, by the number of elements?

Collections of 20, 200, 2,000 and 200,000 elements of 32 bytes, about 20 MB of each type and at least one; all requests
lie ready, 4 connections send them in pipelines of 16. Requests per second depend on this client too, which takes about
a microsecond for each; the CPU time of the server per request (of all its threads) is the steadier figure. All elements
exist but every second one of SADD; ZRANGE and XRANGE return 10 of them; XADD appends.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.mixed import Part, request
from benchmarks.options import Options
from benchmarks.population import FILLERS, Population, shaped
from benchmarks.report import Report
from benchmarks.servers import Server, all_running, in_turns

SIZES = (20, 200, 2000, 200_000)
SHAPE_BYTES = 20_000_000
REQUESTS = 200_000
CONNECTIONS = 4
PIPELINE = 16
READ = 10  # elements that ZRANGE and XRANGE return
VERSIONS = 1000  # of values and scores that are written
RECEIVE_BYTES = 1 << 18

Words = Sequence[bytes]


@dataclass(frozen=True)
class Command:
    """A command on an element.

    lines: of its reply. arguments: behind the key, made of the element's number and words. span: elements that must
    follow from this one on. new_share: 2 if half of the elements are new. versions: how many values are written.
    """

    name: str
    kind: str
    lines: int
    arguments: Callable[[int, Words], Words]
    span: int = 1
    new_share: int = 1
    versions: int = 1

    def request(self, data: Population, part: Part, random: Random) -> bytes:
        """The command on a random element."""
        key = random.randrange(part.keys)
        element = random.randrange(self.new_share * part.elements - self.span + 1)
        words = data.words(part, key, element, random.randrange(self.versions))
        return request([self.name.encode(), part.key(key), *self.arguments(element, words)])


COMMANDS = (
    Command("HGET", "hash", 2, lambda element, words: words[:1]),
    Command("HSET", "hash", 1, lambda element, words: words, versions=VERSIONS),
    Command("SADD", "set", 1, lambda element, words: words, new_share=2),
    Command("SISMEMBER", "set", 1, lambda element, words: words),
    Command("ZADD", "zset", 1, lambda element, words: words, versions=VERSIONS),
    Command("ZRANK", "zset", 1, lambda element, words: words[1:]),
    Command("ZRANGE", "zset", 1 + 2 * READ, lambda element, words: numbers(element, element + READ - 1), span=READ),
    Command("LINDEX", "list", 2, lambda element, words: numbers(element)),
    Command("LSET", "list", 1, lambda element, words: [*numbers(element), *words], versions=VERSIONS),
    Command("XADD", "stream", 2, lambda element, words: [b"*", *words[1:]]),
    # A line for the reply; for each entry one, two for its ID, and five for the array of field and value.
    Command(
        "XRANGE", "stream", 1 + 8 * READ, lambda element, words: [words[0], b"+", b"COUNT", b"%d" % READ], span=READ
    ),
)


def numbers(*values: int) -> list[bytes]:
    return [b"%d" % value for value in values]


def run(options: Options) -> Report:
    report = options.report("medium-throughput", __doc__)
    with all_running(options.servers, options.directory) as servers:
        for elements in SIZES:
            data = Population([shaped(kind, elements, options.scaled(SHAPE_BYTES)) for kind in FILLERS], options.seed)
            for server in servers:
                server.client().command("FLUSHALL")
                data.load(server.client())
                data.verify(server.client())
            for turn in range(options.rounds):
                for part, command in ((part, c) for part in data.parts for c in COMMANDS if c.kind == part.kind):
                    batches = drawn(data, part, command, options.scaled(REQUESTS), turn)
                    for server in in_turns(servers, turn):
                        measure(server, batches, command, f"{command.name}, {elements:,} elements", report)
    return report


def drawn(data: Population, part: Part, command: Command, count: int, turn: int) -> list[bytes]:
    """So many requests, PIPELINE in each batch."""
    random = Random(f"{data.seed}-{turn}-{command.name}")
    return [
        b"".join([command.request(data, part, random) for _ in range(PIPELINE)]) for _ in range(-(-count // PIPELINE))
    ]


def measure(server: Server, batches: list[bytes], command: Command, name: str, report: Report) -> None:
    requests = len(batches) * PIPELINE
    server.client().pipeline((batch, PIPELINE) for batch in batches[:1])  # an error would be told here
    flows = [Flow(server.client(), PIPELINE * command.lines) for _ in range(CONNECTIONS)]
    cpu_before, began = processes.run_s(server.pid), time.monotonic()
    for flow, batch in zip(itertools.cycle(flows), batches, strict=False):
        flow.send(batch)
    for flow in flows:
        flow.finish()
    took, used = time.monotonic() - began, processes.run_s(server.pid) - cpu_before
    report.add(name, "thousand requests/s", server.name, requests / took / 1000)
    report.add(name, "us of CPU per request", server.name, 1e6 * used / requests)


class Flow:
    """Batches on one connection, one ahead of the replies, whose lines are counted."""

    def __init__(self, client: Client, lines: int) -> None:
        self.socket = client.socket
        self.lines = lines  # of the replies to a batch
        self.received = bytearray(RECEIVE_BYTES)
        self.owed = 0

    def send(self, batch: bytes) -> None:
        self.socket.sendall(batch)
        self.finish()
        self.owed += self.lines  # what came of this batch already counts

    def finish(self) -> None:
        while self.owed > 0:
            nbytes = self.socket.recv_into(self.received)
            if not nbytes:
                raise ConnectionError("the server closed the connection")
            self.owed -= self.received.count(b"\n", 0, nbytes)

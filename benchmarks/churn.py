"""Does memory stay flat while elements of collections come and go?

Elements: 500 collections of each type (one server for each type), with 100 to 200 elements of 10 to 200 bytes besides
names of 16, are written for 300 seconds: half of the requests write an element anew, a quarter adds one, a quarter
removes one (lists at both ends; streams by XDEL, and now and then by XTRIM). All servers get the same requests. The
highest proportional set size of each tenth of the time, above that of the empty server, over the payload of its moment
(names, values and scores, without keys and IDs).

Rewrites: 2,000 hashes of 100 fields get values of 100, 1,000 and 10 bytes, all fields each time, and that five times;
memory at its highest after one of them, and five seconds after the last.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.datasets import NOISE_BYTES
from benchmarks.mixed import FIELD, FIRST_MS, NAME_LEN, SCORE_BYTES, SCORES, Part, request
from benchmarks.options import Options, positive
from benchmarks.population import LETTERS, Population
from benchmarks.report import Report
from benchmarks.servers import Server, all_running, in_turns, running

SECONDS = 300.0
PERIODS = 10
KINDS = ("hash", "set", "zset", "list", "stream")
COLLECTIONS = 500
ELEMENTS = (100, 200)
VALUE_LENS = (10, 200)
BATCH = 200  # requests to one server before the next one's turn
TRIMMED = 10  # entries that an XTRIM removes
SAMPLES = 10  # of the memory in each tenth of the time

REWRITTEN = 2000
REWRITTEN_FIELDS = 100
REWRITTEN_LENS = (100, 1000, 10)
REWRITTEN_TIMES = 5
REWRITTEN_SETTLE_S = 5.0
SETTLE_S = 2.0

Edit = Iterator[list[bytes]]


def run(options: Options, seconds: float = SECONDS) -> Iterator[Report]:
    yield elements(options, seconds)
    yield rewrites(options)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=positive, default=SECONDS, help="how long elements change (default: %(default)g)"
    )


# -- elements


@dataclass
class Element:
    number: int
    value_len: int


@dataclass
class Crowd:
    """Collections of one type as they must be, and random edits of them."""

    kind: str
    count: int
    seed: int
    collections: list[list[Element]] = field(init=False)
    payload_bytes: int = 0
    added: int = 0

    def __post_init__(self) -> None:
        self.random = Random(f"{self.seed}-{self.kind}")
        self.noise = self.random.randbytes(NOISE_BYTES + VALUE_LENS[1]).translate(LETTERS)
        self.collections = [[] for _ in range(self.count)]
        self.overhead = {"list": 0, "stream": len(FIELD), "zset": NAME_LEN + SCORE_BYTES}.get(self.kind, NAME_LEN)

    def key(self, number: int) -> bytes:
        return b"%b:%010d" % (self.kind.encode(), number)

    def fill(self) -> Iterator[tuple[bytes, int]]:
        """The fewest elements of each collection."""
        for number in range(self.count):
            words = [words for _ in range(ELEMENTS[0]) for words in self.add(number)]
            yield b"".join(map(request, words)), len(words)

    def edits(self, count: int) -> tuple[bytes, int]:
        """Requests of so many random edits, and their number."""
        words = [words for _ in range(count) for words in self.edit(self.random.randrange(self.count))]
        return b"".join(map(request, words)), len(words)

    def edit(self, number: int) -> Edit:
        size, chance = len(self.collections[number]), self.random.random()
        if ELEMENTS[0] < size < ELEMENTS[1] and chance < 0.5:
            return self.update(number)
        return (
            self.add(number) if size <= ELEMENTS[0] or (size < ELEMENTS[1] and chance < 0.75) else self.remove(number)
        )

    def add(self, number: int) -> Edit:
        element = self.new_element()
        first = self.kind == "list" and self.random.random() < 0.5
        self.collections[number].insert(0 if first else len(self.collections[number]), element)
        key, value = self.key(number), self.value(element.value_len)
        if self.kind == "list":
            yield [b"LPUSH" if first else b"RPUSH", key, value]
        elif self.kind == "stream":
            yield [b"XADD", key, entry_id(element), FIELD, value]
        elif self.kind == "hash":
            yield [b"HSET", key, name(element), value]
        elif self.kind == "set":
            yield [b"SADD", key, self.member(element)]
        else:
            yield [b"ZADD", key, self.score(), self.member(element)]

    def remove(self, number: int) -> Edit:
        collection, key = self.collections[number], self.key(number)
        if self.kind == "list":
            first = self.random.random() < 0.5
            self.forget(collection.pop(0 if first else -1))
            yield [b"LPOP" if first else b"RPOP", key]
        elif self.kind == "stream" and self.random.random() < 1 / TRIMMED:
            left = max(ELEMENTS[0], len(collection) - TRIMMED)
            while len(collection) > left:
                self.forget(collection.pop(0))
            yield [b"XTRIM", key, b"MAXLEN", b"%d" % left]
        else:
            yield self.removal(number, self.random.randrange(len(collection)))

    def removal(self, number: int, index: int) -> list[bytes]:
        element = self.collections[number].pop(index)
        self.forget(element)
        if self.kind == "stream":
            return [b"XDEL", self.key(number), entry_id(element)]
        if self.kind == "hash":
            return [b"HDEL", self.key(number), name(element)]
        return [{"set": b"SREM", "zset": b"ZREM"}[self.kind], self.key(number), self.member(element)]

    def update(self, number: int) -> Edit:
        """A new value or score; sets and streams have neither, there a new element replaces one."""
        collection, key = self.collections[number], self.key(number)
        index = self.random.randrange(len(collection))
        if self.kind in ("set", "stream"):
            yield self.removal(number, index)
            yield from self.add(number)
        elif self.kind == "zset":
            yield [b"ZADD", key, self.score(), self.member(collection[index])]
        else:
            self.forget(collection[index])
            collection[index] = element = self.new_element(collection[index].number)
            value = self.value(element.value_len)
            yield [b"LSET", key, b"%d" % index, value] if self.kind == "list" else [b"HSET", key, name(element), value]

    def new_element(self, number: int | None = None) -> Element:
        if number is None:
            number, self.added = self.added, self.added + 1
        element = Element(number, self.random.randint(*VALUE_LENS))
        self.payload_bytes += self.overhead + element.value_len
        return element

    def forget(self, element: Element) -> None:
        self.payload_bytes -= self.overhead + element.value_len

    def value(self, nbytes: int) -> bytes:
        start = self.random.randrange(NOISE_BYTES)
        return self.noise[start : start + nbytes]

    def member(self, element: Element) -> bytes:
        """Always the same of an element."""
        start = element.number * 7919 % NOISE_BYTES
        return name(element) + self.noise[start : start + element.value_len]

    def score(self) -> bytes:
        return b"%d" % self.random.randrange(SCORES)

    def verify(self, client: Client) -> None:
        """Fail if a collection is not as long as it must be: a server that loses data is not measured."""
        length = {"hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "list": "LLEN", "stream": "XLEN"}[self.kind]
        for number, collection in enumerate(self.collections):
            if client.command(length, self.key(number)) != len(collection):
                raise RuntimeError(f"the server has lost elements of {self.key(number)!r}")


def name(element: Element) -> bytes:
    return b"member:%09d" % element.number


def entry_id(element: Element) -> bytes:
    return b"%d-0" % (FIRST_MS + element.number)


@dataclass
class Churn:
    """A crowd, and the servers that hold it."""

    crowd: Crowd
    servers: list[Server]

    def __post_init__(self) -> None:
        self.clients = [server.client() for server in self.servers]
        self.empty = {server.name: processes.pss(server.pid) for server in self.servers}

    def fill(self) -> None:
        for batch in self.crowd.fill():
            self.send(*batch)

    def send(self, requests: bytes, count: int) -> None:
        """The same to all servers, which work on it at the same time."""
        for client in self.clients:
            client.socket.sendall(requests)
        for client in self.clients:
            client.skip(count)

    def over_payload(self) -> dict[str, float]:
        """Memory above the empty server's, by server."""
        grown = {server.name: processes.pss(server.pid) - self.empty[server.name] for server in self.servers}
        return {name: nbytes / self.crowd.payload_bytes for name, nbytes in grown.items()}


def elements(options: Options, seconds: float) -> Report:
    """Does memory stay flat while elements of collections are written, added and removed?"""
    report = options.report("churn-elements", elements.__doc__)
    report.options["seconds"] = seconds
    for turn in range(options.rounds):
        with contextlib.ExitStack() as stack:
            specs = in_turns(options.servers, turn)
            running_servers = [stack.enter_context(all_running(specs, options.directory)) for _ in KINDS]
            time.sleep(SETTLE_S)  # with all of them: processes of one program share its pages
            crowds = [Crowd(kind, options.scaled(COLLECTIONS), options.seed + turn) for kind in KINDS]
            churns = [Churn(crowd, servers) for crowd, servers in zip(crowds, running_servers, strict=True)]
            for churn in churns:
                churn.fill()
            for period in range(PERIODS):
                for churn, peaks in zip(churns, churned(churns, seconds / PERIODS), strict=True):
                    for server, peak in peaks.items():
                        figure = f"{churn.crowd.kind}, highest memory in part {period + 1} of {PERIODS}"
                        report.add(figure, "times the payload", server, peak)
            for churn in churns:
                report.note(f"{churn.crowd.kind}: {churn.crowd.added:,} elements added in round {turn + 1}")
                for client in churn.clients:
                    churn.crowd.verify(client)
    report.figures.sort(key=lambda figure: figure.name.split(",")[0])  # each type's course in one piece
    return report


def churned(churns: list[Churn], seconds: float) -> list[dict[str, float]]:
    """Edit for so many seconds; the highest memory over payload, by server, of each."""
    peaks: list[dict[str, float]] = [{} for _ in churns]
    began = time.monotonic()
    for sample in range(1, SAMPLES + 1):
        while True:
            for churn in churns:
                churn.send(*churn.crowd.edits(BATCH))
            if time.monotonic() >= began + seconds * sample / SAMPLES:
                break
        for churn, peak in zip(churns, peaks, strict=True):
            for server, now in churn.over_payload().items():
                peak[server] = max(now, peak.get(server, 0.0))
    return peaks


# -- rewrites


def rewrites(options: Options) -> Report:
    """Does memory come back when all values of hashes get shorter?"""
    report = options.report("churn-rewrites", rewrites.__doc__)
    keys = options.scaled(REWRITTEN)
    parts = [Part("hash", keys, REWRITTEN_FIELDS, nbytes) for nbytes in REWRITTEN_LENS]
    versions = [Population([part], options.seed) for part in parts]
    for turn in range(options.rounds):
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                rewrite(server, versions, report)
    return report


def rewrite(server: Server, versions: list[Population], report: Report) -> None:
    client = server.client()
    time.sleep(SETTLE_S)
    empty = highest = processes.pss(server.pid)
    for data in REWRITTEN_TIMES * versions:
        data.load(client)
        highest = max(highest, processes.pss(server.pid))
    time.sleep(REWRITTEN_SETTLE_S)
    left = processes.pss(server.pid) - empty
    versions[-1].verify(client)
    largest = max(data.payload_bytes for data in versions)
    report.add("highest memory after a rewriting", "MB", server.name, (highest - empty) / 1e6)
    report.add(
        "highest memory after a rewriting", "times the largest payload", server.name, (highest - empty) / largest
    )
    report.add("memory five seconds after the last", "MB", server.name, left / 1e6)
    report.add(
        "memory five seconds after the last", "times its payload", server.name, left / versions[-1].payload_bytes
    )

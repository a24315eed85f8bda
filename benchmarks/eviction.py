"""How good is a cache with room for a tenth of the keys, and what does eviction cost?

100,000 keys with values of 100 bytes, of which a tenth fits: maxmemory is what each server uses with so many. Keys are
asked for by popularity (zipf); a key that is missed is written. 600,000 requests, in pipelines of 50; hits are counted
in the second half. The CPU time of the server per request covers reads, writes and evictions. The same again with the
memory that the first server needs. Last, writes of new keys only, each of which evicts one.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from benchmarks import processes
from benchmarks.client import Client, encode
from benchmarks.keys import Distribution
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import Server, in_turns, running

KEYS = 100_000
SHARE = 10  # one key in so many fits
VALUE = b"v" * 100
REQUESTS = 600_000
WRITES = 200_000
PIPELINE = 50
POLICIES = ("allkeys-lru", "allkeys-lfu", "volatile-lru", "allkeys-random")
EXPIRY_S = 100_000


def key(number: int) -> bytes:
    return b"key:%010d" % number


def run(options: Options) -> Report:
    report = options.report("eviction", __doc__)
    keys = options.scaled(KEYS)
    for turn in range(options.rounds):
        memory: dict[str, int] = {}
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                memory[spec.name] = room_for(server.client(), keys // SHARE)
        first = memory[options.servers[0].name]
        for policy in POLICIES:
            for spec in in_turns(options.servers, turn):
                for limit, told in ((memory[spec.name], "a tenth of the keys"), (first, "the same memory")):
                    if policy != "allkeys-lru" and told == "the same memory":
                        continue
                    with running(spec, parent_dir=options.directory) as server:
                        limited(server.client(), policy, limit)
                        measure(server, policy, told, keys, options, turn, report)
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                limited(server.client(), "allkeys-lru", memory[spec.name])
                write_new(server, options.scaled(WRITES), report)
    return report


def room_for(client: Client, keys: int) -> int:
    """What the server uses with so many keys."""
    for number in range(keys):
        client.send("SET", key(number), VALUE, "EX", EXPIRY_S)
        client.receive()
    return int(client.info("memory")["used_memory"])


def limited(client: Client, policy: str, limit: int) -> None:
    client.command("CONFIG", "SET", "maxmemory-policy", policy)
    client.command("CONFIG", "SET", "maxmemory", limit)


def measure(server: Server, policy: str, told: str, keys: int, options: Options, turn: int, report: Report) -> None:
    """Ask for keys, write those that are missed."""
    client = server.client()
    batches = Distribution.parse("zipf", keys).batches(PIPELINE, options.seed + turn)
    count = options.scaled(REQUESTS) // PIPELINE
    requests = hits = asked = 0
    cpu_before = processes.run_s(server.pid)
    for index, numbers in enumerate(islice(batches, count)):
        missed = ask(client, numbers)
        requests += PIPELINE + len(missed)
        if index >= count // 2:
            asked += PIPELINE
            hits += PIPELINE - len(missed)
    used = processes.run_s(server.pid) - cpu_before
    report.add(f"{policy}, {told}: hits", "%", server.name, 100 * hits / asked)
    report.add(f"{policy}, {told}: CPU", "us per request", server.name, 1e6 * used / requests)


def ask(client: Client, numbers: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> list[int]:
    """Read keys; those that are missed, which are written then."""
    wanted = numbers.tolist()
    client.socket.sendall(b"".join([encode("GET", key(number)) for number in wanted]))
    missed = [number for number in wanted if client.receive() is None]
    client.socket.sendall(b"".join([encode("SET", key(number), VALUE, "EX", EXPIRY_S) for number in missed]))
    client.skip(len(missed))
    return missed


def write_new(server: Server, count: int, report: Report) -> None:
    """Write keys that are not there."""
    client = server.client()
    numbers = iter(range(10**9, 10**9 + count))
    cpu_before = processes.run_s(server.pid)
    while batch := list(islice(numbers, PIPELINE)):
        client.pipeline([(b"".join([encode("SET", key(number), VALUE) for number in batch]), len(batch))])
    used = processes.run_s(server.pid) - cpu_before
    report.add("allkeys-lru, new keys: CPU", "us per SET", server.name, 1e6 * used / count)
    memory = client.info("memory")
    share = int(memory["used_memory_rss"]) / 1e6
    report.add("resident at the end", "MB", server.name, share)

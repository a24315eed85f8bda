"""A snapshot child gets nothing of the server's heap, not even of what has grown since the server was ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server, WireClient, encode
from tests.harness.saving import held_save

StartServer = Callable[..., Server]

pytestmark = pytest.mark.own_interpreter

MB = 1 << 20
GROWTH = 50 * MB


def private_memory(pid: int) -> set[tuple[int, int]]:
    """Start and end of the anonymous mappings that the process may write to."""
    found = set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, perms, _offset, _device, inode, *path = line.split(maxsplit=5)
        if perms == "rw-p" and inode == "0" and path in ([], ["[heap]"]):
            start, end = (int(address, 16) for address in span.split("-"))
            found.add((start, end))
    return found


def overlap(left: set[tuple[int, int]], right: set[tuple[int, int]]) -> int:
    """Bytes that lie in both."""
    return sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in left for b in right)


def nbytes(mappings: set[tuple[int, int]]) -> int:
    return sum(end - start for start, end in mappings)


def queue_in_transaction(client: WireClient, size: int) -> None:
    """Let a client own GROWTH bytes of the server's heap, in values of this size."""
    client.value("MULTI")
    at_once = max(1, MB // size)
    for _ in range(0, GROWTH, at_once * size):
        client.send_raw(encode(("ECHO", b"v" * size)) * at_once)
        for _ in range(at_once):
            assert client.read() == b"+QUEUED\r\n"


@pytest.mark.parametrize("size", [400, 50_000, MB, GROWTH])
def test_the_child_has_nothing_of_a_heap_that_has_grown(start_minikv: StartServer, size: int) -> None:
    server = start_minikv()
    server.call("SET a-key-to-wait-for 1")
    before = private_memory(server.pid)
    with server.connect() as client:
        queue_in_transaction(client, size)
        grown = private_memory(server.pid)
        child = held_save(server)
        assert nbytes(grown) - overlap(grown, before) >= GROWTH
        inherited = private_memory(child.pid)
        inherited_growth = overlap(grown, inherited) - overlap(before, inherited)
        assert inherited_growth <= 0


def test_the_child_has_neither_heap_nor_interpreter(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call("SET a-key-to-wait-for 1")
    maps = Path(f"/proc/{held_save(server).pid}/maps").read_text()
    assert "[heap]" not in maps
    assert "libcrypto" not in maps
    assert "uvloop" not in maps

"""The whole content of a server, read by ordinary commands, so that two servers can be compared key by key.

A string stands for itself, any other value for its digest; that of a stream leaves its groups out, so they are added.
"""

from __future__ import annotations

import shutil
from typing import Any

from tests.harness.process import Server, wait_until
from tests.harness.wire import Value, WireClient, Word, encode, parse, words

BATCH = 1000
MOST_DIFFERENCES = 10
UNIX_MS_DIGITS = 13
Dataset = dict[int, dict[bytes, tuple[bytes, int]]]  # database -> key -> (value, expiry in Unix ms or -1)


def pipeline(client: WireClient, commands: list[list[Word]]) -> list[Any]:
    """The payloads of the replies to commands that are sent in batches."""
    payloads = []
    for start in range(0, len(commands), BATCH):
        batch = commands[start : start + BATCH]
        client.send_raw(b"".join(encode(command) for command in batch))
        for command in batch:
            reply = parse(client.read())
            assert reply.kind not in (b"-", b"!"), f"{words(command)[:3]}: {reply.payload!r}"
            payloads.append(reply.payload)
    return payloads


def contents(server: Server, databases: int = 16) -> Dataset:
    """Every key of every database with its value and its time."""
    found: Dataset = {}
    with server.connect() as client:
        for number in range(databases):
            client.value(f"SELECT {number}")
            keys = [_payload(element) for element in client.value("KEYS *")]
            kinds = pipeline(client, [["TYPE", key] for key in keys])
            values = pipeline(client, [reading(kind, key) for kind, key in zip(kinds, keys, strict=True)])
            streams = [key for kind, key in zip(kinds, keys, strict=True) if kind == b"stream"]
            abouts = pipeline(client, [["XINFO", "STREAM", key, "FULL", "COUNT", "0"] for key in streams])
            shown = {key: repr(without_times(about)).encode() for key, about in zip(streams, abouts, strict=True)}
            values = [shown.get(key, b"") + _text(value) for key, value in zip(keys, values, strict=True)]
            times = pipeline(client, [["PEXPIRETIME", key] for key in keys])
            if keys:
                found[number] = {key: (value, int(at)) for key, value, at in zip(keys, values, times, strict=True)}
    return found


def reading(kind: bytes, key: bytes) -> list[Word]:
    """The command whose reply stands for the value of a key of this type."""
    return ["GET", key] if kind == b"string" else ["DEBUG", "DIGEST-VALUE", key]


def without_times(payload: Any) -> Any:
    """The payload of a reply without its Unix times, and without what tells of the shape of Redis's radix trees."""
    if isinstance(payload, Value):
        if payload.kind == b":" and len(payload.payload) >= UNIX_MS_DIGITS:
            return b"a time"
        return without_times(payload.payload)
    if not isinstance(payload, list):
        return payload
    items = [without_times(item) for item in payload]
    if b"radix-tree-nodes" in items:
        items[items.index(b"radix-tree-nodes") + 1] = b"nodes"
    return items


def _payload(element: Value) -> bytes:
    payload: bytes = element.payload
    return payload


def _text(reply: Any) -> bytes:
    """A string, or the digest of one value."""
    return reply if isinstance(reply, bytes) else _payload(reply[0])


def differences(actual: Dataset, expected: Dataset, *, slack_ms: int = 0) -> list[str]:
    """What is not the same, in words; empty if nothing.

    slack_ms: how far apart two times may be, if they were set by commands to two servers, one after the other.
    """
    found = []
    for number in sorted(actual.keys() | expected.keys()):
        left, right = actual.get(number, {}), expected.get(number, {})
        for key in sorted(left.keys() | right.keys()):
            if not _same(left.get(key), right.get(key), slack_ms):
                found.append(f"db {number} {key!r}: {left.get(key)!r:.200} instead of {right.get(key)!r:.200}")
    return found[:MOST_DIFFERENCES]


def _same(left: tuple[bytes, int] | None, right: tuple[bytes, int] | None, slack_ms: int) -> bool:
    if left == right:
        return True
    if left is None or right is None or left[0] != right[0] or min(left[1], right[1]) < 0:
        return False
    return abs(left[1] - right[1]) <= slack_ms


def load_dump(loader: Server, source: Server) -> Dataset:
    """Gives the source's dump to another server, which replaces its data by it; what that server then holds."""
    shutil.copyfile(source.dump_path, loader.dump_path)
    reply = loader.call("DEBUG RELOAD NOSAVE")
    assert reply == b"+OK\r\n", f"{reply!r}\n{loader.log()}"
    return contents(loader)


def background_save(server: Server) -> None:
    """BGSAVE, and its end."""
    assert server.call("BGSAVE") == b"+Background saving started\r\n"
    wait_for_save(server)


def wait_for_save(server: Server, timeout_s: float = 60.0) -> None:
    """Waits until no child saves; the last save must have succeeded."""
    wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", "the save ends", timeout_s)
    status = server.info("persistence")["rdb_last_bgsave_status"]
    assert status == "ok", f"{status}\n{server.log()}"

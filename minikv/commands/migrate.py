"""MIGRATE: move keys to another server, or copy them there.

As in Redis, the whole server waits for the other one, for no longer than the timeout that the client gives; a server
that migrates to itself gets no answer. All keys go out in one piece, then the replies are read: a key is deleted here
once the other server has said that it has it.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hiredis

from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.spec import MOVABLEKEYS, WRITE, KeySpec, command
from minikv.errors import CommandError
from minikv.keyspace import NO_EXPIRY
from minikv.protocol.reply import OK, SimpleString
from minikv.rdb import payload
from minikv.tls import Tls

if TYPE_CHECKING:
    from minikv.dispatch.client import Client

DEFAULT_TIMEOUT_MS = 1000  # where none, or a negative one, is given
LONGEST_TIMEOUT_MS = 1 << 40  # what is longer is no time for the system
RECEIVE_LEN = 1 << 16
NO_REPLY = object()  # the parser wants more bytes
NOT_READ = "IOERR error or timeout reading to target instance"
NOT_WRITTEN = "IOERR error or timeout writing to target instance"
NOT_EMPTY = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"


@dataclass(slots=True)
class Options:
    """The arguments after the timeout. credentials: arguments of AUTH."""

    keys: tuple[bytes, ...]
    copy: bool = False
    replace: bool = False
    credentials: tuple[bytes, ...] = ()


@command(
    "MIGRATE",
    arity=-6,
    flags=WRITE | MOVABLEKEYS,
    keys=(3, 3, 1),
    keyspecs=[
        KeySpec("RW access delete", ("index", 3), ("range", 0, 1, 0)),
        KeySpec("RW access delete incomplete", ("keyword", "KEYS", -2), ("range", -1, 1, 0)),
    ],
    categories="keyspace dangerous",
    tips=["nondeterministic_output"],
)
def migrate(
    ctx: Client, host: bytes, port: bytes, key: bytes, number: bytes, timeout: bytes, *words: bytes
) -> SimpleString:
    options = parse_options(key, words)
    timeout_ms = integer(timeout)
    database = integer(number)
    requests = restore_requests(ctx, options)
    if not requests:
        return SimpleString(b"NOKEY")
    timeout_s = min(timeout_ms if timeout_ms > 0 else DEFAULT_TIMEOUT_MS, LONGEST_TIMEOUT_MS) / 1000
    tls = ctx.server.tls if ctx.server.config.tls_cluster else None
    with Peer(host, port, timeout_s, tls) as peer:
        before = [(b"AUTH", *options.credentials)] if options.credentials else []
        before.append((b"SELECT", b"%d" % database))
        peer.send([*before, *requests.values()])
        errors = [reply for reply in [peer.reply() for _ in before] if isinstance(reply, hiredis.ReplyError)]
        elsewhere = bool(errors)  # in another database, say: whatever the target takes is not where it belongs
        for moved in requests:
            reply = peer.reply()
            if isinstance(reply, hiredis.ReplyError):
                errors.append(reply)
            elif not elsewhere and not options.copy:
                ctx.db.delete(moved)
    if errors:
        raise CommandError(f"ERR Target instance replied with error: {errors[0]}")
    return OK


def parse_options(key: bytes, words: tuple[bytes, ...]) -> Options:
    options = Options((key,))
    at = 0
    while at < len(words):
        word, left = words[at].lower(), len(words) - at - 1
        if word == b"copy":
            options.copy = True
        elif word == b"replace":
            options.replace = True
        elif word == b"auth" and left >= 1:
            options.credentials = words[at + 1 : at + 2]
            at += 1
        elif word == b"auth2" and left >= 2:
            options.credentials = words[at + 1 : at + 3]
            at += 2
        elif word == b"keys":
            if key:
                raise CommandError(NOT_EMPTY)
            options.keys = words[at + 1 :]
            break
        else:
            raise CommandError(SYNTAX_ERROR)
        at += 1
    return options


def restore_requests(ctx: Client, options: Options) -> dict[bytes, tuple[bytes, ...]]:
    """A RESTORE for each key that there is."""
    requests: dict[bytes, tuple[bytes, ...]] = {}
    for key in options.keys:
        value = ctx.db.dump(key, ctx.server.config.rdbcompression)
        if value is None:
            continue
        expire_at_ms = ctx.db.expire_at(key)
        ttl_ms = max(expire_at_ms - ctx.keyspace.now_ms, 1) if expire_at_ms != NO_EXPIRY else 0
        replace = (b"REPLACE",) if options.replace else ()
        requests[key] = (b"RESTORE", key, b"%d" % ttl_ms, payload.seal(value), *replace)
    return requests


class Peer:
    """The other server, spoken to for a limited time each way, by TLS if `tls-cluster` is on. Errors are MIGRATE's."""

    def __init__(self, host: bytes, port: bytes, timeout_s: float, tls: Tls | None) -> None:
        try:
            self._socket = socket.create_connection((host.decode(), port_number(port)), timeout_s)
            if tls is not None:
                self._socket = tls.connect(self._socket)
        except (TimeoutError, socket.gaierror, ssl.SSLError, ValueError):
            raise CommandError("IOERR error or timeout connecting to the client") from None
        except OSError:
            raise CommandError(NOT_WRITTEN) from None  # Redis notices a refused connection only then
        self._parser = hiredis.Reader(notEnoughData=NO_REPLY)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def send(self, requests: list[tuple[bytes, ...]]) -> None:
        data = b"".join(encode(request) for request in requests)
        try:
            self._socket.sendall(data)
        except OSError:
            raise CommandError(NOT_WRITTEN) from None

    def reply(self) -> object:
        """The next reply; an error is a hiredis.ReplyError, not raised."""
        try:
            while (reply := self._parser.gets()) is NO_REPLY:
                data = self._socket.recv(RECEIVE_LEN)
                if not data:
                    raise CommandError(NOT_READ)
                self._parser.feed(data)
        except (OSError, hiredis.ProtocolError):
            raise CommandError(NOT_READ) from None
        return reply


def port_number(text: bytes) -> int:
    """The digits that the text begins with, as Redis reads it."""
    digits = re.match(rb"[0-9]*", text)
    return int(digits[0] or b"0") & 0xFFFF if digits else 0


def encode(request: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n" % len(request) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in request)

"""Copies of the data for those who ask for one over their connection: SYNC and PSYNC, `redis-cli --rdb`.

    ask()     the reader waits, until no child is running and repl-diskless-sync-delay is over
    start()   one snapshot child for all readers that wait
    Transfer  what the child writes goes to each of them (transfer.py)
    closed    minikv has no replication stream, so nothing follows the dump

A reader that is sent no keys (rdb-filter-only) needs no child: its dump is made here.

If all readers know the form without a length (`capa eof`), the child writes into a pipe and the dump leaves while it is
made. Else the length must come first: the child writes a file that has no name, which is sent when it is complete.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from minikv.errors import SaveError
from minikv.rdb.crc64 import checksum
from minikv.saving.settings import SaveSettings
from minikv.snapshot.controller import SnapshotController
from minikv.snapshot.output import SYNC
from minikv.snapshot.transfer import FileTransfer, PipeTransfer, Reader, Transfer

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.log import Log

OP_EOF = b"\xff"
PING_S = 1.0  # a reader that waits gets an empty line this often, as from Redis, and sees that we are alive
FAILED = b"-ERR BGSAVE failed, replication can't continue\r\n"


class Peer(Protocol):
    """A connection, as far as it matters here."""

    id: int
    addr: bytes

    def begin_feed(self, on_room: Callable[[], object]) -> None: ...
    def feed(self, data: bytes, at: int) -> int: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Announced:
    """What a client has said of itself by REPLCONF.

    ip, port: where it listens. takes_eof: it knows the form without a length. dump_only: it wants no stream.
    content: of the dump, "all", "functions" or "nothing".
    """

    ip: bytes = b""
    port: int = 0
    takes_eof: bool = False
    dump_only: bool = False
    content: str = "all"


class RemoteCopies:
    """All readers, and the transfers to them. replication_id: as PSYNC answers it."""

    def __init__(
        self,
        config: Config,
        keyspace: Any,
        log: Log,
        snapshots: SnapshotController,
        replication_id: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._keyspace = keyspace
        self._log = log
        self._snapshots = snapshots
        self._replication_id = replication_id
        self._monotonic = monotonic
        self._loop: AbstractEventLoop | None = None
        self._announced: dict[Peer, Announced] = {}
        self._readers: dict[Peer, Reader] = {}
        self._waiting: list[Reader] = []
        self._transfers: list[Transfer] = []
        self._waiting_since = 0.0
        self._pinged_at = 0.0
        self._start_is_near = False

    def attach(self, loop: AbstractEventLoop) -> None:
        """Transfers need the event loop."""
        self._loop = loop

    # -- who asks

    def announced(self, client: Peer) -> Announced:
        """What the client has announced, to be changed."""
        return self._announced.setdefault(client, Announced())

    def is_reader(self, client: Peer) -> bool:
        """Whether it has asked for a copy, and is still connected."""
        return client in self._readers

    @property
    def readers(self) -> Iterable[Reader]:
        return self._readers.values()

    def ask(self, client: Peer, *, with_id: bool) -> None:
        """The client wants a copy. with_id: the dump follows a line with the replication id and an offset."""
        wanted = self._announced.get(client) or Announced()
        name = f"{wanted.ip.decode('utf-8', 'replace')}:{wanted.port}" if wanted.ip and wanted.port else ""
        head = f"+FULLRESYNC {self._replication_id()} 0\r\n".encode() if with_id else b""
        reader = Reader(
            client,
            name or client.addr.decode("utf-8", "surrogateescape"),
            head,
            port=wanted.port,
            takes_eof=wanted.takes_eof,
            dump_only=wanted.dump_only,
            log=self._log,
        )
        self._log.notice(f"Replica {reader.name} asks for synchronization")
        self._snapshots.status.counters.syncs += 1
        self._readers[client] = reader
        client.begin_feed(reader.send)
        if wanted.content == "all":
            self._wait(reader)
        else:
            self._send_without_keys(reader, with_functions=wanted.content == "functions")

    def _wait(self, reader: Reader) -> None:
        delay_s = self._delay_s
        if self._snapshots.in_progress:
            self._log.notice("Waiting for the end of the current BGSAVE for SYNC")
        elif delay_s and not self._waiting:
            self._log.notice("Delay next BGSAVE for diskless SYNC")
        if not self._waiting:
            self._waiting_since = self._pinged_at = self._monotonic()
        self._waiting.append(reader)
        self._start_soon()

    def _send_without_keys(self, reader: Reader, *, with_functions: bool) -> None:
        functions = self._snapshots.loader.functions if with_functions else ()
        dump = self._settings(functions).head() + OP_EOF
        dump += (checksum(dump) if self._config.rdbchecksum else 0).to_bytes(8, "little")
        transfer = Transfer([reader], self._log)
        transfer.begin(b"$EOF:%b\r\n" % transfer.mark)
        transfer.add(dump + transfer.mark)
        transfer.end()

    def _settings(self, functions: tuple[bytes, ...]) -> SaveSettings:
        return SaveSettings.of(
            self._config, functions, self._keyspace.used_bytes, has_field_ttls=self._keyspace.has_field_ttls
        )

    def forget(self, client: Peer) -> None:
        """The client has disconnected."""
        self._announced.pop(client, None)
        reader = self._readers.pop(client, None)
        if reader is None:
            return
        if not reader.is_done:
            self._log.warning(f"Connection with replica {reader.name} lost.")
        if reader in self._waiting:
            self._waiting.remove(reader)
        for transfer in self._transfers:
            transfer.forget(reader)

    # -- the transfers

    @property
    def _delay_s(self) -> int:
        """How long readers wait for others."""
        enough = self._config.repl_diskless_sync_max_replicas
        if enough and len(self._waiting) >= enough:
            return 0
        return self._config.repl_diskless_sync_delay

    @property
    def _is_due(self) -> bool:
        return (
            bool(self._waiting)
            and not self._snapshots.in_progress
            and not self._snapshots.loading
            and self._monotonic() - self._waiting_since >= self._delay_s
        )

    def _start_soon(self) -> None:
        """Start at the end of this round of the event loop, so that those who ask in the same round share a child."""
        if self._loop is not None and not self._start_is_near and self._is_due:
            self._start_is_near = True
            self._loop.call_soon(self._start_if_due)

    def _start_if_due(self) -> None:
        self._start_is_near = False
        if self._is_due:
            self.start()

    def start(self) -> None:
        """One child for all that wait."""
        assert self._loop is not None
        readers, self._waiting = self._waiting, []
        is_pipe = self._config.repl_diskless_sync and all(reader.takes_eof for reader in readers)
        self._log.notice(f"Starting BGSAVE for SYNC with target: {'replicas sockets' if is_pipe else 'disk'}")
        transfer: PipeTransfer | FileTransfer | None = None
        try:
            if is_pipe:
                transfer = PipeTransfer(readers, self._log, self._loop)
            else:
                transfer = FileTransfer(readers, self._log, self._loop, self._config.dir)
            transfer.on_abandoned = self._snapshots.cancel
            self._transfers.append(transfer)
            self._snapshots.bgsave(SYNC, transfer)
        except (SaveError, OSError) as error:
            if transfer is not None:
                transfer.discard()
                self._transfers.remove(transfer)
            self._log.warning(f"BGSAVE for replication failed: {error}")
            for reader in readers:
                reader.refuse(FAILED)
            return
        if is_pipe:
            transfer.begin(b"$EOF:%b\r\n" % transfer.mark)

    def cron(self) -> None:
        """Ten times a second: start what is due, close readers that take nothing, tell those who wait that we live."""
        now = self._monotonic()
        self._transfers = [transfer for transfer in self._transfers if not transfer.is_over]
        for reader in list(self._readers.values()):
            reader.check(now, self._config.repl_timeout)
        for transfer in self._transfers:
            transfer.check(now)
        if self._is_due:
            self.start()
        if self._waiting and now - self._pinged_at >= PING_S:
            self._pinged_at = now
            for reader in list(self._waiting):
                reader.ping()

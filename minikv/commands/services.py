"""What command handlers may ask of the server (`ctx.server`), as types: commands never import the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from minikv.commands.client import Client
    from minikv.commands.stats import Stats
    from minikv.commands.table import CommandTable


class SlowLog(Protocol):
    """The log of slow commands; the table calls add only above slowlog-log-slower-than."""

    def add(self, client: Client, args: Sequence[bytes], duration_us: int) -> None: ...


class LatencyMonitor(Protocol):
    """Latency events by name (`command`, `fast-command`, `fork`, ...); drops what is under latency-monitor-threshold."""

    def add(self, event: str, duration_ms: int) -> None: ...


class Snapshots(Protocol):
    """The part of persistence's SnapshotController that commands and the server use."""

    @property
    def writes_denied(self) -> bool:
        """MISCONF holds: stop-writes-on-bgsave-error, save points exist and the last save failed."""


class Services(Protocol):
    """The running server, as handlers see it."""

    config: Any
    table: CommandTable
    keyspace: Any
    stats: Stats
    clients: dict[int, Client]
    monitors: set[Client]
    snapshots: Any
    slowlog: Any
    latency: Any
    log: Any
    started_at: float
    run_id: str
    replication_id: str
    startup_bytes: int
    loading: bool
    executable: str
    config_file: str
    tcp_port: int
    pause_until_ms: int
    pause_writes_only: bool

    def refresh_gates(self) -> None:
        """Look again at what may stop commands (loading, failed save, pause, monitors). Call it when one changes."""

    def pause(self, until_ms: int, writes_only: bool) -> None:
        """CLIENT PAUSE until a Unix time in milliseconds."""

    def unpause(self) -> None:
        """CLIENT UNPAUSE: postponed commands run now."""

    def kill(self, clients: Iterable[Client]) -> None:
        """Close connections; the client that is being served is closed after its reply."""

    def authenticate(self, username: bytes, password: bytes) -> bool:
        """Whether the user may come in."""

    def request_shutdown(self, *, save: bool | None, now: bool, force: bool) -> None:
        """SHUTDOWN: save (None: if save points exist), then end; raises CommandError if the save fails."""

    def abort_shutdown(self) -> bool:
        """SHUTDOWN ABORT; False if none is in progress."""

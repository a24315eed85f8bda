"""What command handlers may ask of the server (`ctx.server`), as types: commands never import the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from minikv.acl.log import AclLog
from minikv.acl.users import Users
from minikv.config import Config
from minikv.dispatch.switches import Switches
from minikv.keyspace import Keyspace
from minikv.latency import LatencyMonitor
from minikv.log import Log
from minikv.pubsub.registry import Registry
from minikv.slowlog import SlowLog
from minikv.snapshot.controller import SnapshotController
from minikv.snapshot.foreground_saves import ForegroundSaves
from minikv.snapshot.questions import Questions
from minikv.snapshot.remote_copies import RemoteCopies
from minikv.tls import Tls

if TYPE_CHECKING:
    from minikv.dispatch.blocking import Blocking
    from minikv.dispatch.census import Census
    from minikv.dispatch.client import Client
    from minikv.dispatch.memory_limit import MemoryLimit
    from minikv.dispatch.stats import Stats
    from minikv.dispatch.table import CommandTable
    from minikv.dispatch.tracking import Tracking


class Services(Protocol):
    """The running server, as handlers see it.

    clients: by number. monitors: those that said MONITOR. postponed: those whose command waits for the end of a
    pause. startup_bytes: what used_memory is of an empty server. interpreter_bytes: private memory of the process at
    the start, without the keyspace's. pause_until_ms: monotonic, 0 without a CLIENT PAUSE.
    """

    config: Config
    table: CommandTable
    keyspace: Keyspace
    memory_limit: MemoryLimit
    stats: Stats
    clients: dict[int, Client]
    blocking: Blocking
    postponed: set[Client]
    monitors: set[Client]
    pubsub: Registry
    tracking: Tracking
    scripts: Any  # minikv.scripting.scripts.Scripts
    functions: Any  # minikv.scripting.functions.Functions
    snapshots: SnapshotController
    saves: ForegroundSaves
    copies: RemoteCopies
    questions: Questions
    switches: Switches
    slowlog: SlowLog
    tls: Tls
    latency: LatencyMonitor
    log: Log
    users: Users
    acl_log: AclLog
    startup_bytes: int
    interpreter_bytes: int
    run_id: str
    replication_id: str
    executable: str
    config_file: str
    pause_until_ms: int
    pause_writes_only: bool

    @property
    def loading(self) -> bool:
        """A dump is being read."""
        ...

    @property
    def serving(self) -> Client | None:
        """The client whose request is being executed."""
        ...

    @property
    def tcp_port(self) -> int:
        """The port that clients connect to, 0 without TCP."""
        ...

    def uptime_s(self) -> float:
        """Seconds since the start, by a clock that nobody sets."""
        ...

    def count_clients(self) -> Census:
        """The largest input and output of a client."""
        ...

    def count_memory(self) -> int:
        """What maxmemory limits, counted at this moment."""
        ...

    def resident_bytes(self) -> int:
        """Resident memory of the process, at most a tenth of a second old."""
        ...

    def refresh_gates(self) -> None:
        """Look again at what may stop commands (loading, failed save, pause, monitors). Call it when one changes."""
        ...

    def pause(self, until_ms: int, writes_only: bool) -> None:
        """CLIENT PAUSE until a Unix time in milliseconds."""
        ...

    def unpause(self) -> None:
        """CLIENT UNPAUSE: postponed commands run now."""
        ...

    def set_no_touch(self, client: Client, no_touch: bool) -> None:
        """CLIENT NO-TOUCH."""
        ...

    def serve_others(self) -> bool:
        """Serve other clients while a command runs; False if the server is to stop."""
        ...

    def kill(self, clients: Iterable[Client]) -> None:
        """Close connections; the client that is being served is closed after its reply."""
        ...

    def forget(self, client: Client) -> None:
        """Remove the client from the monitors."""
        ...

    def request_shutdown(self, *, save: bool | None, now: bool, force: bool) -> None:
        """SHUTDOWN: save (None: if save points exist), then end; raises CommandError if the save fails."""
        ...

    def abort_shutdown(self) -> bool:
        """SHUTDOWN ABORT; False if none is in progress."""
        ...

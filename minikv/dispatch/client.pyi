from asyncio import TimerHandle
from collections.abc import Callable

from minikv.acl.user import User
from minikv.dispatch.services import Services
from minikv.dispatch.table import Command
from minikv.dispatch.tracking import Tracker
from minikv.errors import CommandError
from minikv.keyspace import Database, Keyspace, Watch
from minikv.protocol.reply import Marker, Transcript
from minikv.pubsub.registry import Subscriptions

REPLY_ON: int
REPLY_OFF: int
REPLY_SKIP_NEXT: int
REPLY_SKIP: int
CLIENT_BYTES: int

class Transaction:
    queued: list[Command]
    failed: bool
    flags: int
    common_flags: int
    queued_bytes: int

class Waiting:
    client: Client
    database: Database
    keys: list[bytes]
    kind: int
    serve: Callable[[Client, bytes], object]
    lost: CommandError | None
    ends_at: float
    late: object
    timer: TimerHandle | None
    command: Command
    request: list[bytes]
    elapsed_ns: int
    def __init__(
        self,
        client: Client,
        keys: list[bytes],
        kind: int,
        serve: Callable[[Client, bytes], object],
        lost: CommandError | None,
        ends_at: float,
        interest: object = None,
        late: object = ...,
    ) -> None: ...

class Client:
    server: Services
    keyspace: Keyspace
    db: Database
    id: int
    resp: int
    fd: int
    name: bytes
    lib_name: bytes
    lib_ver: bytes
    user: User
    addr: bytes
    laddr: bytes
    authenticated: bool
    unrestricted: bool
    must_log_in: bool
    is_unix: bool
    is_monitor: bool
    no_evict: bool
    no_touch: bool
    in_exec: bool
    created_ns: int
    last_interaction_ns: int
    transaction: Transaction | None
    watch: Watch | None
    last_command: Command | None
    blocked: Waiting | None
    tracker: Tracker | None
    close_after_reply: bool
    paused: bool
    subscriptions: Subscriptions | None
    reply_mode: int
    def __init__(self, server: Services, client_id: int = 0) -> None: ...
    def discard_transaction(self) -> None: ...
    def unwatch(self) -> None: ...
    def log_in(self, user: User) -> None: ...
    def log_out(self) -> None: ...
    def review(self) -> None: ...
    def resume(self) -> None: ...
    def note_memory(self) -> None: ...
    def check_output(self) -> None: ...
    def answer(self, value: object) -> None: ...
    def begin_feed(self, on_room: Callable[[], object]) -> None: ...
    def feed(self, data: bytes, at: int) -> int: ...
    def begin_array(self, count: int) -> Transcript | Marker: ...
    def fail(self, error: BaseException) -> None: ...
    def push(self, value: object) -> None: ...
    def push_wire(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def is_local(self) -> bool: ...
    def input_bytes(self) -> int: ...
    def args_bytes(self) -> int: ...
    def query_bytes(self) -> int: ...
    def reply_bytes(self) -> int: ...
    def reply_pieces(self) -> int: ...
    def output_bytes(self) -> int: ...
    def queued_bytes(self) -> int: ...
    def entries_bytes(self) -> int: ...
    def memory_bytes(self) -> int: ...

from asyncio import TimerHandle
from collections import OrderedDict
from collections.abc import Callable, Iterable

from minikv.dispatch.client import Client, Waiting
from minikv.dispatch.table import CommandTable
from minikv.errors import CommandError
from minikv.keyspace import Keyspace

Serve = Callable[[Client, bytes], object]
Queue = OrderedDict[Waiting, None]

def block(
    ctx: Client,
    keys: Iterable[bytes],
    timeout_ms: int,
    kind: int,
    serve: Serve,
    *,
    lost: CommandError | None = None,
    interest: object = None,
    otherwise: object = ...,
    late: object = ...,
) -> object: ...
def wait_for_time(ctx: Client, timeout_ms: int, value: object) -> object: ...
def first_ready(
    ctx: Client, keys: Iterable[bytes], timeout_ms: int, kind: int, serve: Serve, *, otherwise: object = ...
) -> object: ...
def timeout_in_seconds(text: bytes) -> int: ...

class Blocking:
    queues: dict[tuple[int, bytes], Waiting | dict[int, Queue]]
    count: int
    timeouts: int
    def __init__(self, table: CommandTable, keyspace: Keyspace, call_later: Callable[..., TimerHandle]) -> None: ...
    def add(self, waiting: Waiting) -> None: ...
    def remove(self, waiting: Waiting) -> None: ...
    def forget(self, client: Client) -> None: ...
    def serve(self, waiting: Waiting, key: bytes) -> bool: ...
    def unblock(self, client: Client, value: object) -> bool: ...
    def wake(self) -> None: ...

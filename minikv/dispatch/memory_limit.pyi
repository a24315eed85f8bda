from collections.abc import Callable

from minikv.keyspace import Keyspace
from minikv.keyspace.eviction import Evictor

class MemoryLimit:
    keyspace: Keyspace
    evictor: Evictor
    limit: int
    client_bytes: int
    other_bytes: int
    on_unfinished: Callable[[], object] | None
    on_delay: Callable[[str, int], object] | None
    exceeded_ns: int
    def __init__(self, keyspace: Keyspace) -> None: ...
    def set_tenacity(self, tenacity: int) -> None: ...
    def make_room(self) -> bool: ...
    def reset_stats(self) -> None: ...
    @property
    def used_bytes(self) -> int: ...
    @property
    def is_exceeded(self) -> bool: ...
    @property
    def current_exceeded_ns(self) -> int: ...

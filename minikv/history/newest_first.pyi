from collections.abc import Callable

from minikv.keyspace.database import Keyspace
from minikv.rdb.keyspace_target import EngineTarget

class Newest:
    has_changes: bool
    def __init__(self) -> None: ...
    def begin(self, position: int, places: list[int]) -> None: ...

class NewestTarget(EngineTarget):
    def __init__(
        self,
        keyspace: Keyspace,
        newest: Newest,
        merge: bool = False,
        other_aux: Callable[[bytes, bytes], None] | None = None,
    ) -> None: ...
    def on_aux(self, name: bytes, value: bytes) -> None: ...

from collections.abc import Callable

from minikv.history.newest_first import Newest
from minikv.keyspace.database import Keyspace
from minikv.rdb.keyspace_target import EngineTarget

KEY_LEN_SIZE: int

class LayerTarget(EngineTarget):
    removed: int
    def __init__(
        self,
        keyspace: Keyspace,
        merge: bool = False,
        other_aux: Callable[[bytes, bytes], None] | None = None,
        newest: Newest | None = None,
    ) -> None: ...
    def on_aux(self, name: bytes, value: bytes) -> None: ...

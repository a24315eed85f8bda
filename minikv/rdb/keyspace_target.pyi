from minikv.keyspace.database import Keyspace
from minikv.rdb.target import LoadTarget

class EngineTarget(LoadTarget):
    functions: list[bytes]
    modules: dict[bytes, tuple[int, int]]
    def __init__(self, keyspace: Keyspace, merge: bool = False) -> None: ...
    def abandon(self) -> None: ...

from minikv.keyspace.database import Keyspace
from minikv.persistence.rdb_reader import LoadTarget

class EngineTarget(LoadTarget):
    def __init__(self, keyspace: Keyspace, merge: bool = False) -> None: ...

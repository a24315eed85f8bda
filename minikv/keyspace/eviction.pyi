from minikv.keyspace.database import Keyspace

class Evictor:
    choice: int
    is_volatile: bool
    samples: int
    lazily: bool
    def __init__(self, keyspace: Keyspace) -> None: ...
    def set_policy(self, policy: str) -> None: ...
    def evict(self) -> bool: ...

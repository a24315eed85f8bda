from minikv.keyspace.database import Database

def seal(value: bytes) -> bytes: ...
def is_sound(payload: bytes, check: bool = True) -> bool: ...
def restore(
    database: Database,
    key: bytes,
    payload: bytes,
    expire_at_ms: int = 0,
    idle_s: int = 0,
    frequency: int = -1,
) -> bool: ...

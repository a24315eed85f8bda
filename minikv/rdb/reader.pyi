from collections.abc import Callable

from minikv.rdb.target import LoadTarget

class RdbReader:
    version: int
    unchecked: bool
    code: int
    keys_loaded: int
    keys_expired: int
    keys_empty: int
    empty_keys: list[bytes]
    trailing: int
    def __init__(
        self,
        fd: int,
        target: LoadTarget,
        databases: int,
        now_ms: int,
        verify: bool = True,
        on_aux: Callable[[bytes, bytes], None] | None = None,
    ) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def direct_bytes(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def remarks(self) -> list[str]: ...
    def seek(self, offset: int, database: int) -> None: ...
    def step(self, budget_bytes: int, max_keys: int = 0) -> bool: ...

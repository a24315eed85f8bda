from collections.abc import Callable

class LoadTarget: ...

class RecordTarget(LoadTarget):
    def __init__(self, receive: Callable[[int, bytes, bytes, int], None]) -> None: ...

class RdbReader:
    size: int
    version: int
    unchecked: bool
    keys_loaded: int
    keys_expired: int
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
    def offset(self) -> int: ...
    def step(self, budget_bytes: int, max_keys: int = 0) -> bool: ...

from collections.abc import Callable
from typing import Any

class LoadTarget: ...

class RecordTarget(LoadTarget):
    def __init__(self, receive: Callable[[int, bytes, Any, int], None]) -> None: ...

class RdbReader:
    size: int
    version: int
    unchecked: bool
    code: int
    keys_loaded: int
    keys_expired: int
    keys_empty: int
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
    @property
    def key(self) -> bytes | None: ...
    def step(self, budget_bytes: int, max_keys: int = 0) -> bool: ...

from collections.abc import Callable

from minikv.persistence.rdb_target import LoadTarget

class Visitor:
    takes_pieces: bool
    takes_elements: bool
    def begin(self, record: Record) -> bool | None: ...
    def piece(self, data: bytes) -> None: ...
    def element(self, name: bytes, value: bytes | float | None) -> bool | None: ...
    def timed_field(self, field: bytes, value: bytes, expire_at_ms: int) -> bool | None: ...
    def end(self, record: Record) -> None: ...
    def function(self, code: bytes) -> None: ...
    def module_aux(self, module: bytes) -> None: ...
    def select(self, number: int) -> None: ...

class Record:
    database: int
    key: bytes
    kind: int
    rdb_type: int
    string_encoding: int
    expire_at_ms: int | None
    offset: int
    nbytes: int
    arena_bytes: int
    elements: int
    largest: int
    module: bytes | None
    idle_s: int | None
    frequency: int | None

class VisitorTarget(LoadTarget):
    def __init__(self, visitor: Visitor, wants: Callable[[Record], bool] | None = None) -> None: ...

from collections.abc import Callable

from minikv.rdb.reader import RdbReader
from minikv.rdb.target import LoadTarget

OP_RECORD: int
OP_DEL: int
OP_REM: int
OP_DELTA: int

class Operations(LoadTarget):
    databases: int
    records: int
    removed: int
    functions: list[bytes]
    def __init__(self) -> None: ...
    def attach(self, reader: RdbReader) -> None: ...
    def on_aux(self, name: bytes, value: bytes) -> None: ...

class OperationList(Operations):
    def __init__(self, receive: Callable[[int, int, bytes, int, int, int, int | None], None]) -> None: ...

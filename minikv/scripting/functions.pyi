from collections.abc import Callable

from minikv.dispatch.client import Client
from minikv.dispatch.services import Services
from minikv.log import Log
from minikv.scripting.interpreter import Interpreter
from minikv.scripting.scripts import Scripts

class Function:
    name: bytes
    description: bytes | None
    reference: int
    flags: int
    library: Library
    def flag_names(self) -> list[bytes]: ...

class Library:
    name: bytes
    code: bytes
    functions: dict[bytes, Function]

class Functions:
    libraries: dict[bytes, Library]
    functions: dict[bytes, Function]
    interpreter: Interpreter | None
    unusable: list[bytes]
    def __init__(
        self,
        server: Services,
        scripts: Scripts,
        log: Log,
        on_change: Callable[[tuple[bytes, ...]], None],
    ) -> None: ...
    def fcall(
        self, caller: Client, name: bytes, numkeys: bytes, arguments: tuple[bytes, ...], read_only: bool = False
    ) -> object: ...
    def promises(self, command: bytes, name: bytes) -> tuple[bool, bool] | None: ...
    def load(self, code: bytes, replace: bool) -> bytes: ...
    def delete(self, name: bytes) -> None: ...
    def flush(self) -> None: ...
    def take(self, encoded: tuple[bytes, ...]) -> None: ...
    def dump(self) -> bytes: ...
    def restore(self, data: bytes, policy: bytes) -> None: ...
    def kept_bytes(self) -> int: ...

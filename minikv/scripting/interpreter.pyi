from collections.abc import Callable

from minikv.dispatch.script_client import ScriptClient

class Interpreter:
    client: ScriptClient
    on_busy: Callable[[], bool] | None
    @property
    def used_bytes(self) -> int: ...
    def forget(self, reference: int) -> None: ...

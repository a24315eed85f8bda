from minikv.dispatch.client import Client
from minikv.dispatch.script_client import ScriptClient
from minikv.dispatch.services import Services
from minikv.dispatch.table import CommandTable
from minikv.log import Log
from minikv.scripting.interpreter import Interpreter

class Script:
    sha: bytes
    name: bytes
    body: bytes
    reference: int
    flags: int

class Scripts:
    server: Services
    log: Log
    table: CommandTable
    client: ScriptClient
    by_sha: dict[bytes, Script]
    by_body: dict[bytes, Script]
    interpreter: Interpreter | None
    kept_bytes: int
    running: object
    is_busy: bool
    began_ns: int
    def __init__(self, server: Services, table: CommandTable, log: Log) -> None: ...
    def eval(
        self, caller: Client, body: bytes, numkeys: bytes, arguments: tuple[bytes, ...], read_only: bool = False
    ) -> object: ...
    def evalsha(
        self, caller: Client, sha: bytes, numkeys: bytes, arguments: tuple[bytes, ...], read_only: bool = False
    ) -> object: ...
    def load(self, body: bytes) -> Script: ...
    def promises(self, command: bytes, text: bytes) -> tuple[bool, bool] | None: ...
    def flush(self) -> None: ...
    def kill(self, of_eval: bool) -> None: ...
    def busy_text(self) -> str: ...
    def declared_keys(self) -> tuple[bytes, ...]: ...
    def on_count(self) -> bool: ...
    @property
    def request(self) -> tuple[bytes, ...]: ...

def promises_of(flags: int) -> tuple[bool, bool]: ...

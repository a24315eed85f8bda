from minikv.dispatch.client import Client
from minikv.dispatch.services import Services

class ScriptClient(Client):
    caller: Client | None
    read_only: bool
    allow_oom: bool
    out_of_memory: bool
    wrote: bool
    def __init__(self, server: Services) -> None: ...
    def begin(self, caller: Client, read_only: bool, allow_oom: bool, out_of_memory: bool) -> None: ...

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType

from minikv.commands.client import Client
from minikv.commands.histogram import Histogram
from minikv.commands.services import Services
from minikv.commands.spec import CommandSpec
from minikv.commands.stats import Stats

class Command:
    spec: CommandSpec
    handler: Callable[..., object] | None
    full_name: bytes
    arity: int
    flags: int
    calls: int
    usec: int
    rejected: int
    failed: int
    histogram: Histogram
    subcommands: dict[bytes, Command] | None
    def __init__(self, spec: CommandSpec, handler: Callable[..., object] | None) -> None: ...
    def reset_stats(self) -> None: ...

class CommandTable:
    commands: dict[bytes, Command]
    stats: Stats
    keeps_histograms: bool
    def __init__(self, services: Services, stats: Stats) -> None: ...
    @staticmethod
    def build(modules: Iterable[ModuleType], services: Services, stats: Stats) -> CommandTable: ...
    def __iter__(self) -> Iterator[Command]: ...
    def __len__(self) -> int: ...
    def lookup(self, *words: bytes) -> Command | None: ...
    def set_slow_limits(self, slow_us: int, latency_ms: int) -> None: ...
    def set_gates(
        self,
        *,
        loading: bool,
        misconf: bool,
        limited_memory: bool,
        paused: bool,
        writes_paused: bool,
        monitors: bool,
    ) -> None: ...
    def dispatch(self, client: Client, args: Sequence[bytes]) -> object: ...
    def run(self, client: Client, command: Command | None, args: Sequence[bytes]) -> object: ...
    def explain_unknown(self, args: Sequence[bytes]) -> str: ...
    def reset_stats(self) -> None: ...

def quoted(argument: bytes) -> bytes: ...

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., object])

WRITE: int
READONLY: int
DENYOOM: int
MODULE: int
ADMIN: int
PUBSUB: int
NOSCRIPT: int
BLOCKING: int
LOADING: int
STALE: int
SKIP_MONITOR: int
SKIP_SLOWLOG: int
ASKING: int
FAST: int
NO_AUTH: int
MAY_REPLICATE: int
NO_MANDATORY_KEYS: int
NO_ASYNC_LOADING: int
NO_MULTI: int
MOVABLEKEYS: int
ALLOW_BUSY: int
PROTECTED: int

FLAG_NAMES: tuple[tuple[int, bytes], ...]
CATEGORIES: tuple[str, ...]

@dataclass(frozen=True)
class KeySpec:
    flags: str
    begin: tuple[Any, ...]
    find: tuple[Any, ...]
    notes: str = ""

@dataclass(frozen=True)
class CommandSpec:
    name: str
    arity: int
    flags: int = 0
    keys: tuple[int, int, int] = (0, 0, 0)
    categories: tuple[str, ...] = ()
    tips: tuple[str, ...] = ()
    keyspecs: tuple[KeySpec, ...] = ()
    @property
    def full_name(self) -> bytes: ...
    @property
    def parent(self) -> str | None: ...
    def flag_names(self) -> list[bytes]: ...
    def category_names(self) -> list[bytes]: ...

def describe(
    name: str,
    *,
    arity: int,
    flags: int = 0,
    keys: tuple[int, int, int] = (0, 0, 0),
    key_flags: str = "",
    keyspecs: Sequence[KeySpec] = (),
    categories: Sequence[str] | str = (),
    tips: Sequence[str] = (),
) -> CommandSpec: ...
def command(name: str, **spec: Any) -> Callable[[Handler], Handler]: ...
def in_category(categories: str) -> Callable[..., Callable[[Handler], Handler]]: ...
def container(name: str, **spec: Any) -> CommandSpec: ...

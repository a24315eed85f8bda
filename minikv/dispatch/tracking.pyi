from collections.abc import Callable

from minikv.dispatch.client import Client
from minikv.dispatch.services import Services
from minikv.keyspace.database import ChangeListener

TRACKING: int
BROADCAST: int
OPT_IN: int
OPT_OUT: int
NO_LOOP: int
CACHING: int
BROKEN_REDIRECT: int

class Tracker:
    id: int
    redirect: int
    flags: int
    is_spent: bool
    prefixes: dict[bytes, None]
    def __init__(self, client_id: int) -> None: ...
    @property
    def letters(self) -> bytes: ...
    @property
    def words(self) -> list[bytes]: ...

class Tracking(ChangeListener):
    on_broadcast: Callable[[], object] | None
    max_keys: int
    clients: int
    items: int
    table_bytes: int
    outside_call: bool
    has_broadcasts: bool
    def __init__(self, services: Services) -> None: ...
    @property
    def keys(self) -> int: ...
    @property
    def prefix_count(self) -> int: ...
    def turn_on(self, client: Client, redirect: int, options: int, prefixes: list[bytes]) -> None: ...
    def turn_off(self, client: Client) -> None: ...
    def remember(self, tracker: Tracker, key: bytes) -> None: ...
    def limit(self) -> None: ...
    def broadcast(self) -> None: ...
    def begin_serving(self, client: Client) -> None: ...
    def end_serving(self) -> None: ...

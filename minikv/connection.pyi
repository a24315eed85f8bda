import socket
from asyncio import AbstractEventLoop

from minikv.dispatch.client import Client
from minikv.dispatch.services import Services
from minikv.dispatch.stats import Stats
from minikv.dispatch.table import CommandTable
from minikv.log import Log
from minikv.protocol.reply import Sink
from minikv.protocol.request import Limits
from minikv.sockets import Listener

class Hub(Sink):
    limits: Limits
    clients: dict[int, Client]
    last_id: int
    max_clients: int
    hard_limit: int
    soft_limit: int
    pubsub_hard_limit: int
    pubsub_soft_limit: int
    pubsub_soft_seconds: int
    soft_seconds: int
    keepalive_seconds: int
    password_needed: bool
    local_only: bool
    def __init__(
        self, server: Services, table: CommandTable, stats: Stats, loop: AbstractEventLoop, log: Log
    ) -> None: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    @property
    def serving(self) -> Client | None: ...
    def ask_for_round(self) -> None: ...
    def listen(self, sock: socket.socket) -> Listener: ...
    def stop_listening(self, listener: Listener) -> None: ...
    def send_unsent(self) -> None: ...
    def serve_others(self) -> None: ...
    def give_back(self, least: int) -> None: ...
    def close_strangers(self) -> None: ...
    def is_serving(self, client: Client) -> bool: ...

class Connection(Client):
    def __init__(self, hub: Hub, client_id: int) -> None: ...

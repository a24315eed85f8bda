import socket

class Poller:
    fd: int
    def close(self) -> None: ...

class Listener:
    fd: int
    unix_name: bytes
    def __init__(self, sock: socket.socket, newcomer: object = None) -> None: ...
    def close(self) -> None: ...

from minikv.connection import Connection, Hub
from minikv.tls import Tls

class TlsConnection(Connection):
    def __init__(self, tls: Tls, hub: Hub, client_id: int) -> None: ...

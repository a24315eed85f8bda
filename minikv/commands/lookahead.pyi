from minikv.keyspace import Database
from minikv.protocol.request import Lookahead

KEYS_MIN: int

class KeyLookahead(Lookahead):
    database: Database

def largest(databases: list[Database]) -> Database | None: ...

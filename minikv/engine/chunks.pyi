from minikv.engine.arena import Arena
from minikv.engine.memory import BlockPool
from minikv.engine.table import Tables

class Chunks:
    def __init__(self, arena: Arena, tables: Tables, pool: BlockPool, databases: int) -> None: ...

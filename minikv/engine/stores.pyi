from minikv.engine.arena import Arena
from minikv.engine.memory import BlockPool

class Stores:
    arena: Arena
    pool: BlockPool
    databases: int
    spreads: int
    def __init__(self, arena: Arena, pool: BlockPool, databases: int) -> None: ...

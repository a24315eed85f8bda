from minikv.engine.arena import Arena
from minikv.engine.memory import BlockPool

class Chains:
    def __init__(self, arena: Arena, pool: BlockPool) -> None: ...

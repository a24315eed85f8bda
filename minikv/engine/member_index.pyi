from minikv.engine.memory import BlockPool

class MemberIndexes:
    def __init__(self, pool: BlockPool) -> None: ...

from minikv.engine.arena import Arena
from minikv.engine.ordered import OrderedIndex
from minikv.engine.stores import Stores

class KeyStore:
    arena: Arena
    stores: Stores
    expiry: OrderedIndex
    number: int
    def __init__(self, stores: Stores, number: int) -> None: ...
    def check(self) -> None: ...

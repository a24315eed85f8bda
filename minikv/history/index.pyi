from collections.abc import Mapping

from minikv.history.operations import Operations

SUFFIX: str

def hash_of(database: int, key: bytes) -> int: ...

class Indexer(Operations):
    def encoded(self, digest: int, file: object, origins: Mapping[int, int | None]) -> bytes: ...

def find(path: str, digest: int, nbytes: int, hashes: tuple[int, ...]) -> tuple[object, ...] | None: ...

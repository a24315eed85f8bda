from collections.abc import Iterator

from minikv.engine.arena import Arena

def wire_tail(arena: Arena, tail: bytes) -> Iterator[bytes]: ...

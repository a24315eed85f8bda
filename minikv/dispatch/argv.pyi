from collections.abc import Iterable

class Argv:
    def __init__(self, request: Iterable[bytes]) -> None: ...

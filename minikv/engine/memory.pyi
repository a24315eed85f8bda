class BlockPool:
    capacity: int
    used: int
    poison: bool
    def __init__(self, nbytes: int, huge_pages: bool = False) -> None: ...

class LinkPool:
    capacity: int
    used: int
    def __init__(self, nbytes: int) -> None: ...

class Arena:
    segment_count: int
    segments_used: int
    high_water: int
    segment_limit: int
    poison: bool
    def __init__(self, nbytes: int, huge_pages: bool = True) -> None: ...
    def check(self) -> dict[int, tuple[int, int]]: ...

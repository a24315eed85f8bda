class Arena:
    segment_count: int
    segments_used: int
    high_water: int
    def __init__(self, nbytes: int, huge_pages: bool = True) -> None: ...

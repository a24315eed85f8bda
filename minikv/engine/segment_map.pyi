from minikv.engine.arena import Arena

class SegmentMap:
    segment_bytes: int
    address: int
    kinds: bytes
    states: bytes
    live_bytes: list[int]
    databases: list[int]
    stores: list[int]
    def __init__(self, arena: Arena, databases: dict[int, int]) -> None: ...

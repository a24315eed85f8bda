from minikv.dispatch.client import Client

class Census:
    memory_bytes: int
    input_peak: int
    output_peak: int
    def __init__(self, clients: dict[int, Client]) -> None: ...
    def go_on(self, count: int) -> int: ...

from minikv.rdb.target import LoadTarget

class CheckTarget(LoadTarget):
    functions: list[bytes]
    def __init__(self) -> None: ...

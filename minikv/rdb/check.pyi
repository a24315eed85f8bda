from minikv.rdb.target import LoadTarget

class CheckTarget(LoadTarget):
    def __init__(self) -> None: ...

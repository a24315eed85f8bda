from minikv.keyspace.database import Database

class Builder:
    def __init__(self, database: Database, kind: int) -> None: ...

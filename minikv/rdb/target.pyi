from collections.abc import Callable
from typing import Any

class LoadTarget: ...

class RecordTarget(LoadTarget):
    def __init__(self, receive: Callable[[int, bytes, Any, int], None]) -> None: ...

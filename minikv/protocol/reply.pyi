from collections.abc import Iterable, Sequence
from typing import Any

class SimpleString:
    text: bytes
    def __init__(self, text: bytes) -> None: ...

class Decimal:
    digits: bytes
    def __init__(self, digits: bytes) -> None: ...

class Verbatim:
    form: bytes
    data: bytes
    def __init__(self, form: bytes, data: bytes) -> None: ...

class Push:
    items: Sequence[Any]
    def __init__(self, items: Sequence[Any]) -> None: ...

class Set:
    items: Sequence[Any]
    def __init__(self, items: Sequence[Any]) -> None: ...

class Transcript:
    count: int
    items: list[tuple[Any, int]]
    def __init__(self, count: int, items: list[tuple[Any, int]]) -> None: ...

class Draws:
    count: int
    portions: Iterable[list[Any]]
    def __init__(self, count: int, portions: Iterable[list[Any]]) -> None: ...

class Raw:
    data: bytes
    def __init__(self, data: bytes) -> None: ...

class Marker:
    def __init__(self, name: str) -> None: ...

OK: SimpleString
PONG: SimpleString
QUEUED: SimpleString
NULL_ARRAY: Marker
NO_REPLY: Marker
POSTPONED: Marker

class Sink: ...

class ReplyBuffer:
    def __init__(self, sink: Sink | None = None) -> None: ...
    def add(self, value: object, resp: int = 2) -> None: ...
    def take(self) -> bytes: ...

def format_double(number: float) -> bytes: ...
def encode(value: object, resp: int = 2) -> bytes: ...

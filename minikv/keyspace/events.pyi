from collections.abc import Callable

EVENT_GENERIC: int
EVENT_STRING: int
EVENT_LIST: int
EVENT_SET: int
EVENT_HASH: int
EVENT_SORTED_SET: int
EVENT_EXPIRED: int
EVENT_EVICTED: int
EVENT_STREAM: int
EVENT_MISSED: int
EVENT_MODULE: int
EVENT_NEW: int

# reader(class, event, database number, key)
Reader = Callable[[int, bytes, int, bytes], object]

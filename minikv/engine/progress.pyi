KEYS_DONE: int
BYTES_WRITTEN: int
RANK_PASSED: int
PRIVATE_DIRTY: int
PHASE: int
ERRNO: int
RANK_TOTAL: int
PRIVATE_DIRTY_PEAK: int
PRIVATE_DIRTY_AVERAGE: int
BYTES_VERIFIED: int
DIGEST: int
BYTES_SHARED: int

PHASE_START: int
PHASE_WALKING: int
PHASE_SYNCING: int
PHASE_RENAMED: int
PHASE_VERIFYING: int
PHASE_PUBLISHING: int
PHASE_NAMES: tuple[str, ...]

EXIT_SAVED: int
EXIT_FAILED: int
EXIT_KILLED_ON_PURPOSE: int

class Progress:
    def __init__(self, page: bytearray | memoryview) -> None: ...
    def store(self, word: int, number: int) -> None: ...
    def load(self, word: int) -> int: ...

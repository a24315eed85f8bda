# cython: language_level=3
# distutils: extra_compile_args = -O3
"""The server's counters, as INFO shows them: plain C integers, so that counting costs nothing."""

import cython

# INFO's instantaneous figures are the mean over this many samples, taken by the cron 10 times a second.
SAMPLES = 16


@cython.cclass
class Stats:
    """Counters since start or CONFIG RESETSTAT.

    errors: error code (b"ERR", b"WRONGTYPE") -> count. ops_per_sec, input_kbps, output_kbps are refreshed by `sample`.
    """

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.connections_received = self.connections_rejected = self.commands_processed = 0
        self.net_input_bytes = self.net_output_bytes = self.reads_processed = self.writes_processed = 0
        self.error_replies = self.unexpected_error_replies = self.evicted_clients = 0
        self.ops_per_sec = 0
        self.input_kbps = self.output_kbps = 0.0
        self.errors = {}
        self.samples = []

    def sample(self, now_ms: int) -> None:
        """Take a sample of the counters at a time in milliseconds (any clock that does not jump)."""
        current = (now_ms, self.commands_processed, self.net_input_bytes, self.net_output_bytes)
        self.samples.append(current)
        if len(self.samples) > SAMPLES:
            del self.samples[0]
        oldest = self.samples[0]
        elapsed_ms = now_ms - oldest[0]
        if elapsed_ms <= 0:
            return
        self.ops_per_sec = (current[1] - oldest[1]) * 1000 // elapsed_ms
        self.input_kbps = (current[2] - oldest[2]) * 1000 / 1024 / elapsed_ms
        self.output_kbps = (current[3] - oldest[3]) * 1000 / 1024 / elapsed_ms

    @cython.cfunc
    def count_error(self, text: str) -> cython.void:
        self.error_replies += 1
        code = text.partition(" ")[0].encode("utf-8", "replace")
        self.errors[code] = self.errors.get(code, 0) + 1

# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
"""What all clients together hold, for INFO and MEMORY STATS.

A server may have ten thousand clients and be asked every second. So they are visited in rounds, some with each tick of
the cron, and the figures are those of the last complete round, or the present one where it has found more. Where the
clients are few, one call is a round, and the figures are exact.
"""

import cython

from minikv.dispatch.client import Client


@cython.cclass
class Census:
    """memory_bytes: of all clients. input_peak, output_peak: the largest input and unread replies of one client."""

    def __init__(self, clients: dict):
        self.clients = clients
        self.waiting = []

    def go_on(self, count: cython.Py_ssize_t) -> cython.int:
        """Visit up to `count` more clients, but not beyond the end of a round."""
        client: Client
        if not self.waiting:
            self.begin()
        while self.waiting and count > 0:
            count -= 1
            client = self.clients.get(self.waiting.pop())
            if client is not None:
                self.round_memory += client.memory_bytes()
                self.round_input = max(self.round_input, client.input_bytes())
                self.round_output = max(self.round_output, client.output_bytes())
        self.memory_bytes = max(self.memory_bytes, self.round_memory)
        self.input_peak = max(self.input_peak, self.round_input)
        self.output_peak = max(self.output_peak, self.round_output)
        if not self.waiting:
            self.memory_bytes, self.input_peak, self.output_peak = (
                self.round_memory,
                self.round_input,
                self.round_output,
            )
        return 0

    def begin(self) -> None:
        """Start a round."""
        self.waiting = list(self.clients)
        self.round_memory = self.round_input = self.round_output = 0

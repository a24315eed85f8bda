class Stats:
    connections_received: int
    connections_rejected: int
    commands_processed: int
    net_input_bytes: int
    net_output_bytes: int
    reads_processed: int
    writes_processed: int
    error_replies: int
    unexpected_error_replies: int
    evicted_clients: int
    ops_per_sec: int
    input_kbps: float
    output_kbps: float
    errors: dict[bytes, int]
    def reset(self) -> None: ...
    def sample(self, now_ms: int) -> None: ...

cdef class Stats:
    cdef public long long connections_received, connections_rejected, commands_processed
    cdef public long long net_input_bytes, net_output_bytes, reads_processed, writes_processed
    cdef public long long error_replies, unexpected_error_replies, evicted_clients
    cdef public long long ops_per_sec
    cdef public double input_kbps, output_kbps
    cdef public dict errors
    cdef list samples

    cdef void count_error(self, str text)

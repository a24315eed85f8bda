"""What the tests of a running server share: processes, a client that sees the wire, and the comparison with Redis."""

from tests.harness.compare import (
    ClientPair,
    Comparison,
    Outcome,
    exact,
    exchange,
    same_error_code,
    same_kind,
    same_shape,
    unordered,
    within,
)
from tests.harness.process import MINIKV, Server, ServerFailed, free_port, wait_until
from tests.harness.wire import ConnectionLost, ReplySplitter, Value, WireClient, Word, Words, encode, parse, words

__all__ = [
    "MINIKV",
    "ClientPair",
    "Comparison",
    "ConnectionLost",
    "Outcome",
    "ReplySplitter",
    "Server",
    "ServerFailed",
    "Value",
    "WireClient",
    "Word",
    "Words",
    "encode",
    "exact",
    "exchange",
    "free_port",
    "parse",
    "same_error_code",
    "same_kind",
    "same_shape",
    "unordered",
    "wait_until",
    "within",
    "words",
]

"""A timer that is a descriptor (timerfd): readable at moments that the kernel knows to the microsecond.

The event loop's own timers are accurate to a millisecond, too little to measure its stalls with.
"""

from __future__ import annotations

import ctypes
import os
import time

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Interval(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "first_s", "first_ns")]


class Timer:
    """Readable every `interval_s` seconds from `start` on; OSError if there can be none."""

    def __init__(self) -> None:
        self.fd: int = _checked(_libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))

    def start(self, interval_s: float) -> float:
        """Start, or start again; returns when it will be readable first, on the monotonic clock."""
        interval_ns = int(interval_s * 1e9)
        first_ns = time.monotonic_ns() + interval_ns
        interval = _Interval(*divmod(interval_ns, 1_000_000_000), *divmod(first_ns, 1_000_000_000))
        _checked(_libc.timerfd_settime(self.fd, _ABSOLUTE, ctypes.byref(interval), None))
        return first_ns / 1e9

    def read(self) -> int:
        """How many intervals have passed since it was read last."""
        try:
            return int.from_bytes(os.read(self.fd, 8), "little")
        except BlockingIOError:
            return 0

    def close(self) -> None:
        os.close(self.fd)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

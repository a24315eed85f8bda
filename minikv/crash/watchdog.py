"""The watchdog: what the server is doing while it does not answer.

    watchdog.feed()       from the cron: all is well

If the next call does not come within watchdog-period milliseconds, the stack of Python goes to the log, written by a
thread that needs no lock of the interpreter. The period is at least twice the cron's.
"""

from __future__ import annotations

import faulthandler
import os

from minikv.config import Config
from minikv.log import Log


class Watchdog:
    """Off until watchdog-period is set."""

    def __init__(self, config: Config, log: Log) -> None:
        self._config = config
        self._log = log
        self._fd = -1

    def feed(self) -> None:
        """Start the time anew, or end the watch if the setting is 0 again."""
        period_ms = self._config.watchdog_period
        if not period_ms:
            self._stop()
            return
        if self._fd < 0:
            path = self._log.path
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC) if path else os.dup(self._log.fd)
        faulthandler.dump_traceback_later(max(period_ms / 1000, 2 / self._config.hz), file=self._fd)

    def _stop(self) -> None:
        if self._fd >= 0:
            faulthandler.cancel_dump_traceback_later()
            os.close(self._fd)
            self._fd = -1

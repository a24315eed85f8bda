"""Keeps the history within `history-keep` and `history-max-bytes`, in a process of its own beside the server.

    due      the bound is exceeded; there are a tenth more points than the last time; an hour has passed; new settings
    start    a new interpreter runs tools/history_keep.py, with low priority, one at a time
    report   how far it is; at the end what the history is then

It does not start while a base is being written. A save that begins while it runs waits for it only where the manifest
is swapped. Killed at any moment, it leaves files that the next one removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from minikv.snapshot.cost import megabytes

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.log import Log
    from minikv.snapshot.points import Points

WORKER = "import sys; sys.path[:] = {path!r}; from minikv.tools.history_keep import main; sys.exit(main())"
BUSY = 2  # exit code: another process compacts the history
NEW_LEAST = 60  # points that have come, before the rules are looked at again within the hour
NEW_SHARE = 10  # or this part of those that are there
LONGEST_WAIT_S = 3600.0
REST_TIMES = 4  # the last run's duration, before the next one
REST_LEAST_S = 1.0
RETRY_S = 60.0  # after a failure
ERROR_LEN = 1000
READ_LEN = 1 << 16


class Compactor:
    """What a server runs; see the module's head."""

    def __init__(
        self, config: Config, log: Log, points: Points, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._log = log
        self._points = points
        self._monotonic = monotonic
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = -1
        self._line = b""  # of the output, not whole yet
        self._state: dict[str, int] | None = None  # its last line
        self._asked = False  # the settings have changed
        self._began_at = self._ended_at = monotonic()
        self._not_before = 0.0
        self._bound_failed_at = 0  # bytes of the history when the bound could not be kept; 0: it was
        self.progress = ""
        self.percent = 0.0
        self.ok = True
        self.duration_s = -1

    @property
    def active(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def ask(self) -> None:
        """Look at the history soon."""
        self._asked = True
        self._not_before = 0.0
        self._bound_failed_at = 0

    def cron(self, *, base_is_written: bool) -> None:
        """Ten times a second."""
        if self._process is not None:
            self._follow(self._process)
        elif self._points.is_open and not base_is_written and self._monotonic() >= self._not_before:
            why = self._why()
            if why:
                self._start(why)

    def _why(self) -> str:
        """Why there is something to do; empty: there is not."""
        config, points = self._config, self._points
        if points.changed_by_others:
            return "another process has changed the history"
        if config.history_max_bytes and points.nbytes > max(config.history_max_bytes, self._bound_failed_at):
            return f"it has {megabytes(points.nbytes)}, and history-max-bytes is {megabytes(config.history_max_bytes)}"
        if not (config.history_keep or config.history_max_bytes):
            return ""
        if self._asked:
            return "the settings have changed"
        if not config.history_keep or points.new == 0:
            return ""
        if points.new >= max(NEW_LEAST, points.count // NEW_SHARE):
            return f"{points.new} points are new"
        return "an hour has passed" if self._monotonic() - self._ended_at >= LONGEST_WAIT_S else ""

    def _start(self, why: str) -> None:
        self._asked = False
        self._began_at = self._monotonic()
        self._points.compaction_begins()
        self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        script = WORKER.format(path=[os.path.abspath(path) for path in sys.path])
        config = self._config
        command = [sys.executable, "-c", script, os.path.abspath(self._points.directory)]
        try:
            self._process = subprocess.Popen(
                [*command, config.history_keep, str(config.history_max_bytes)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            self._forget()
            self._failed(f"it cannot be started: {error.strerror}")
            return
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._line = b""
        self._state = None
        self._log.notice(f"History: compaction started by PID {self._process.pid}: {why}")

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        code = process.poll()
        assert process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            while data := os.read(process.stdout.fileno(), READ_LEN):
                self._take(data)
        if code is None:
            return
        error = os.pread(self._errors, ERROR_LEN, 0).decode("utf-8", "replace").replace("\n", " ").strip()
        self._forget()
        now = self._monotonic()
        self.duration_s = int(now - self._began_at)
        self._ended_at = now
        if code or self._state is None:
            self._failed(error or f"its process ended with {code}", quietly=code == BUSY)
        else:
            self._not_before = now + max(REST_TIMES * (now - self._began_at), REST_LEAST_S)
            self._succeeded(self._state)

    def _take(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            found = json.loads(line)
            if "what" in found:
                self.progress, self.percent = found["what"], found["percent"]
            else:
                self._state = found

    def _succeeded(self, state: dict[str, int]) -> None:
        points, limit = self._points, self._config.history_max_bytes
        gone, freed = points.compacted(state)
        self.ok = True
        self._log.notice(
            f"History: compaction ended: {gone} points are gone, {points.count} are left with"
            f" {megabytes(points.nbytes)} ({megabytes(max(freed, 0))} less), {self.duration_s} s"
        )
        self._bound_failed_at = 0
        if limit and points.nbytes > limit:
            self._bound_failed_at = points.nbytes + points.nbytes // NEW_SHARE
            self._log.warning(
                f"History: history-max-bytes is {megabytes(limit)}, but the newest points alone take"
                f" {megabytes(points.nbytes)}. Saves go on and the bound is not kept"
            )

    def _failed(self, reason: str, *, quietly: bool = False) -> None:
        self._not_before = self._monotonic() + RETRY_S
        self._points.compaction_failed()
        if quietly:
            self._log.notice(f"History: no compaction: {reason}")
        else:
            self.ok = False
            self._log.warning(f"History: compaction failed: {reason}")

    def _forget(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        self.progress, self.percent = "", 0.0
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1

    def kill(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()
            self._points.compaction_failed()

    def info_fields(self) -> dict[str, int | str]:
        fields: dict[str, int | str] = {"minikv_history_compaction_in_progress": int(self.active)}
        if self.active:
            fields["minikv_history_compaction_step"] = self.progress
            fields["minikv_history_compaction_perc"] = f"{self.percent:.1f}"
        fields["minikv_history_last_compaction_status"] = "ok" if self.ok else "err"
        fields["minikv_history_last_compaction_time_sec"] = self.duration_s
        if self._config.history_max_bytes:
            fields["minikv_history_bound_kept"] = int(self._points.nbytes <= self._config.history_max_bytes)
        return fields

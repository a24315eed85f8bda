"""Saves in the server's own process: SAVE, FLUSHALL, SHUTDOWN and DEBUG RELOAD.

Which of them clears `dirty`, and sets the status and the time of the last save, follows redis-server 7.0.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from minikv.errors import MinikvError, SaveError
from minikv.saving import foreground
from minikv.saving.settings import SaveSettings
from minikv.snapshot.controller import IN_PROGRESS, SnapshotController

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.log import Log


class ForegroundSaves:
    """Never runs beside a snapshot child: it is waited for, killed, or a reason to refuse."""

    def __init__(self, config: Config, keyspace: Any, log: Log, snapshots: SnapshotController) -> None:
        self._config = config
        self._keyspace = keyspace
        self._log = log
        self._snapshots = snapshots

    def save(self) -> None:
        """SAVE: write the dump and block; SaveError."""
        if self._snapshots.in_progress:
            raise SaveError(IN_PROGRESS)
        self._snapshots.status.counters.saves += 1  # as in Redis, other saves in this process are not counted
        self._write()

    def after_flush_all(self) -> None:
        """FLUSHALL also empties the dump if there are save points; failures are logged."""
        self._snapshots.kill_child()
        if self._config.save:
            with contextlib.suppress(SaveError):
                self._write()

    def before_exit(self, save: bool | None = None, force: bool = False) -> bool:
        """The last save. save: None saves if there are save points. Returns False if the server must not exit."""
        if self._snapshots.in_progress:
            self._log.warning("There is a child saving an .rdb. Killing it!")
            self._snapshots.kill_child()
        if not (bool(self._config.save) if save is None else save):
            return True
        self._log.notice("Saving the final RDB snapshot before exiting.")
        try:
            self._write()
        except SaveError:
            if force:
                self._log.warning("Error trying to save the DB. Exit anyway.")
                return True
            self._log.warning("Error trying to save the DB, can't exit.")
            return False
        return True

    def reload(self, save: bool = True, flush: bool = True, merge: bool = False) -> None:
        """DEBUG RELOAD: write the dump and read it again, at once; SaveError. See Loader.reload."""
        if self._snapshots.in_progress:
            raise SaveError(IN_PROGRESS)
        if save:
            self._write(plain=True)
        try:
            self._snapshots.loader.reload(flush=flush, merge=merge)
        finally:
            self._snapshots.points.lose("the data set was reloaded")
        self._log.warning("DB reloaded by DEBUG RELOAD")

    def _write(self, *, plain: bool = False) -> None:
        """plain: the dump, even if saves add points to a history."""
        snapshots, keyspace = self._snapshots, self._keyspace
        if snapshots.in_progress:  # it could not be killed
            raise SaveError(IN_PROGRESS)
        settings = SaveSettings.of(
            self._config,
            snapshots.loader.functions,
            keyspace.used_bytes,
            has_field_ttls=keyspace.has_field_ttls,
        )
        points = snapshots.points
        saved = False
        try:
            plan = points.plan() if points.on and not plain else None
            if plan is not None:
                settings = points.begin(plan, settings)
            layer = plan is not None and plan.is_layer
            foreground.save(snapshots.job, keyspace.walker(True) if layer else keyspace.walker(), settings)
            saved = True
        except MinikvError as error:
            self._log.warning(str(error))
            if isinstance(error, SaveError):
                raise
            raise SaveError(str(error)) from error
        finally:
            points.end(snapshots.page, saved=saved)
        self._log.notice("DB saved on disk")
        keyspace.dirty = 0
        snapshots.status.succeeded()

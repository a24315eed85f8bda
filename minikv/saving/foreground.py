"""A save in the server's own process: everything waits for it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from minikv.engine.walker import Walker
from minikv.errors import SaveError
from minikv.saving.save_job import SaveJob
from minikv.saving.settings import SaveSettings
from minikv.saving.verify import verify


@dataclass(frozen=True, slots=True)
class Saved:
    """What a finished save wrote."""

    keys: int
    nbytes: int


def save(job: SaveJob, walker: Walker, settings: SaveSettings) -> Saved:
    """Write what the walker gives and replace the dump with it.

    Raises SaveError with Redis's log line; the old dump is then untouched and no temporary file is left.
    (Exception: if the fsync of the directory fails, the new dump is in place but may not survive a power cut.)
    """
    try:
        job.prepare(walker, settings)
    except OSError as error:
        raise SaveError(f"Failed opening the temp RDB file for saving: {error.strerror}") from error
    done = False
    try:
        if job.write():
            if settings.verify:
                _verify(job, settings)
            done = job.commit()
        saved = Saved(job.keys, job.nbytes)
    finally:
        message = "" if done else job.abort()
        job.release()
    if message:
        raise SaveError(message) from OSError(job.errno, os.strerror(job.errno))
    return saved


def _verify(job: SaveJob, settings: SaveSettings) -> None:
    try:
        with open(job.temp_path, "rb", buffering=0) as file:
            verify(file.fileno(), keys=job.keys, nbytes=job.nbytes, checksum=settings.checksum)
    except OSError as error:  # the directory has gone away
        raise SaveError(f"Verifying the new dump failed: {error.strerror}") from error

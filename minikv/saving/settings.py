"""What a save is given before it begins: the settings of that moment, the head of the file, what a child needs."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import minikv
from minikv.rdb import format as rdb_format

REDIS_VERSION = "7.0.15"  # whose files these are

# Run by the child, which cannot verify itself. It must find the reader where this process found it.
VERIFIER = "import sys; sys.path[:] = {path!r}; from minikv.saving.verify import main; main()"


@dataclass(frozen=True, slots=True)
class PointSettings:
    """A save that adds a point to a history: paths of its manifest and the lock of that, what of the line is known."""

    manifest: str
    lock: str
    line: bytes


@dataclass(frozen=True, slots=True)
class SaveSettings:
    """The settings of one save, as they were when it began."""

    directory: str
    filename: str
    compress: bool = True
    checksum: bool = True
    incremental_fsync: bool = True
    key_delay_us: int = 0  # sleep per key; -n: one microsecond per n keys
    verify: bool = False  # read it back before it replaces the old dump
    functions: tuple[bytes, ...] = ()  # libraries, as strings of the format
    used_memory: int = 0  # bytes, for the AUX field
    has_field_ttls: bool = False  # fields of hashes expire
    time_ms: int = 0  # of the data, in Unix ms; 0: now
    fields: bytes = b""  # further AUX fields, encoded
    share_blocks: bool = False  # with the dump before, if the file system can
    dump_before: str = ""  # its path, if it is not the one that the save replaces
    point: PointSettings | None = None
    output: int = -1  # descriptor that a child writes to, instead of making a dump
    is_pipe: bool = False  # that it leads into one

    @classmethod
    def of(
        cls, config: Any, functions: tuple[bytes, ...] = (), used_memory: int = 0, *, has_field_ttls: bool = False
    ) -> SaveSettings:
        """The current settings."""
        return cls(
            directory=config.dir,
            filename=config.dbfilename,
            compress=config.rdbcompression,
            checksum=config.rdbchecksum,
            incremental_fsync=config.rdb_save_incremental_fsync,
            key_delay_us=config.rdb_key_save_delay,
            verify=config.rdb_verify,
            share_blocks=config.rdb_share_blocks == "auto",
            functions=functions,
            used_memory=used_memory,
            has_field_ttls=has_field_ttls,
        )

    def into(self, output: int, *, is_pipe: bool) -> SaveSettings:
        """The same for a child that writes to a descriptor."""
        return replace(self, output=output, is_pipe=is_pipe, verify=False)

    def head(self) -> bytes:
        """The file up to its first database: version, AUX fields, libraries of functions."""
        fields = (
            ("redis-ver", REDIS_VERSION),
            ("redis-bits", 64),
            ("ctime", self.time_ms // 1000 or int(time.time())),
            ("used-mem", self.used_memory),
            ("aof-base", 0),
            ("minikv-ver", minikv.__version__),
        )
        opcode = bytes((rdb_format.OP_FUNCTION2,))
        return b"".join(
            (
                rdb_format.header(self.has_field_ttls),
                self.fields,
                *(rdb_format.encode_aux(name, value) for name, value in fields),
                *(opcode + library for library in self.functions),
            )
        )

    def verifier(self) -> list[bytes]:
        """The command with which a child has its dump read back; empty without rdb-verify."""
        if not self.verify:
            return []
        script = VERIFIER.format(path=[os.path.abspath(path) for path in sys.path])
        return [os.fsencode(word) for word in (sys.executable, "-c", script, str(int(self.checksum)))]


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """What a child needs besides: where and what it logs, and how it offers itself to the OOM killer.

    log_path: empty for the descriptor log_fd. verifier: a command that gets the numbers of keys and of bytes as further
    arguments; none if empty.
    """

    log_path: bytes = b""
    log_fd: int = -1
    log_threshold: int = 2
    utc_offset_s: int = 0
    oom_score: int = 0
    verifier: tuple[bytes, ...] | list[bytes] = ()

"""Write files of a history: a whole keyspace as a base, or pieces of other files as a layer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from minikv.history.head import Head
from minikv.history.manifest import BASE, LAYER, TEMPORARY, Point, sync
from minikv.keyspace.database import Keyspace
from minikv.rdb import format as rdb_format
from minikv.rdb.crc64 import checksum
from minikv.saving import foreground
from minikv.saving.save_job import SaveJob
from minikv.saving.settings import SaveSettings

PIECE_LEN = 1 << 20


@dataclass(frozen=True, slots=True)
class HistorySettings(SaveSettings):
    """Those of a save into a history: what precedes the libraries, and what precedes the first record."""

    aux: bytes = b""
    operations: bytes = b""

    def head(self) -> bytes:
        plain = SaveSettings.head(self)
        start = rdb_format.HEADER_LEN
        return plain[:start] + self.aux + plain[start:] + self.operations


@dataclass(frozen=True, slots=True)
class Written:
    """A file: its records, bytes and digest."""

    keys: int
    nbytes: int
    digest: int


def save_keyspace(
    keyspace: Keyspace,
    path: str,
    functions: Sequence[bytes] = (),
    *,
    aux: bytes = b"",
    operations: bytes = b"",
    time_ms: int = 0,
    like: str = "",
) -> Written:
    """A dump of the keyspace, which replaces a file of that name once it is complete. time_ms: 0 for now. SaveError.

    like: a dump to share blocks with, if it is one of minikv's that is prepared for it.
    """
    settings = HistorySettings(
        directory=os.path.dirname(os.path.abspath(path)),
        filename=os.path.basename(path),
        functions=tuple(functions),
        used_memory=keyspace.used_bytes,
        has_field_ttls=keyspace.has_field_ttls,
        time_ms=time_ms,
        aux=aux,
        operations=operations,
        share_blocks=bool(like),
        dump_before=like,
    )
    saved = foreground.save(SaveJob(), keyspace.walker(), settings)
    return Written(saved.keys, saved.nbytes, digest_of(path))


def digest_of(path: str) -> int:
    """What a file says its CRC-64 is."""
    with open(path, "rb") as file:
        file.seek(-rdb_format.CHECKSUM_LEN, os.SEEK_END)
        return int.from_bytes(file.read(), "little")


class RdbWriter:
    """Writes a file piece by piece and keeps its checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pieces: list[bytes | memoryview] = []
        self._waiting = 0
        self._crc = 0
        self.nbytes = 0

    def write(self, piece: bytes | memoryview) -> None:
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting >= PIECE_LEN:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pieces)
        self._crc = checksum(data, self._crc)
        self._file.write(data)
        self.nbytes += len(data)
        self._pieces.clear()
        self._waiting = 0

    def end(self) -> int:
        """The end of the file; returns its digest."""
        self.write(bytes((rdb_format.OP_EOF,)))
        self._flush()
        self._file.write(self._crc.to_bytes(rdb_format.CHECKSUM_LEN, "little"))
        self.nbytes += rdb_format.CHECKSUM_LEN
        return self._crc


@contextlib.contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """A file that is there under its name once it is complete and synced; nothing is left of it otherwise."""
    temporary = path + TEMPORARY
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        sync(os.path.dirname(path) or ".")
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def head_of_layer(head: Head, version: int, functions: Iterable[bytes]) -> bytes:
    """The bytes of a layer up to its first operation."""
    plain = SaveSettings("", "", functions=tuple(functions)).head()
    magic = rdb_format.MAGIC + b"%04d" % version
    return magic + head.encoded() + plain[rdb_format.HEADER_LEN :]


def selected(database: int) -> bytes:
    return bytes((rdb_format.OP_SELECTDB,)) + rdb_format.encode_length(database)


def removal(key: bytes) -> bytes:
    """The operation that removes a key."""
    return bytes((rdb_format.OP_AUX,)) + rdb_format.encode_string(b"minikv-del") + rdb_format.encode_string(key)


def encoded_record(key: bytes, value: bytes, expire_at_ms: int | None) -> bytes:
    """A record; value: as DUMP has it, type first."""
    prefix = b"" if not expire_at_ms else bytes((rdb_format.OP_EXPIRETIME_MS,)) + expire_at_ms.to_bytes(8, "little")
    return prefix + value[:1] + rdb_format.encode_string(key) + value[1:]


def name_of(kind: str, id: int, parent: int | None = None) -> str:
    """The name of a file; parent: of a merged layer."""
    return f"{kind}-{id:010}.rdb" if parent is None else f"{LAYER}-{parent:010}-{id:010}.rdb"


def rewritten(point: Point, kind: str, file: str, written: Written) -> Point:
    """The point with another file, which its children know as before."""
    made = replace(point, kind=kind, file=file, keys=written.keys, nbytes=written.nbytes, digest=written.digest)
    return replace(made, removed=0) if kind == BASE else made

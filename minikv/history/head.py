"""The head of a file of a history: whose it is, which point it leads to and from where, and what it does to databases.

AUX minikv-history  <history ID>
AUX minikv-point    <id> <parent> <parent's digest, 16 hex digits>
AUX minikv-origin   <database> <origin>     it begins as what that database was; "-": empty
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from minikv.errors import HistoryError
from minikv.history.manifest import Point, as_hex, open_regular
from minikv.rdb import format as rdb_format

FIRST_READ = 4096  # bytes, which most heads fit into
HEAD_MAX = 4 << 20  # bytes that are searched for AUX fields: there may be functions among them
HISTORY, POINT, ORIGIN = b"minikv-history", b"minikv-point", b"minikv-origin"
OF_THE_HEAD = (HISTORY, POINT, ORIGIN, b"minikv-ver")
EMPTY = "-"
NUMBER_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Head:
    """origins: of each database whose content does not come from itself; None: it begins empty."""

    history: str = ""
    id: int = 0
    parent: int = 0
    parent_digest: int = 0
    origins: Mapping[int, int | None] = field(default_factory=dict)
    ctime: int | None = None  # Unix s

    def encoded(self) -> bytes:
        """The AUX fields."""
        fields = [
            ("minikv-history", self.history),
            ("minikv-point", f"{self.id} {self.parent} {as_hex(self.parent_digest)}"),
            *(
                ("minikv-origin", f"{database} {EMPTY if origin is None else origin}")
                for database, origin in sorted(self.origins.items())
            ),
        ]
        return b"".join(rdb_format.encode_aux(name, value) for name, value in fields)

    def is_of(self, history: str, point: Point) -> bool:
        return (self.history, self.id, self.parent, self.parent_digest) == (
            history,
            point.id,
            point.parent,
            point.parent_digest,
        )


def read_head(path: str) -> Head:
    """The head of a file; HistoryError names the file, also if it is no RDB file. OSError."""
    with open(open_regular(path), "rb", buffering=0) as file:
        return head_of(file.fileno(), os.path.basename(path))


def head_of(fd: int, name: str) -> Head:
    """The same of an open file."""
    data = os.pread(fd, FIRST_READ, 0)
    if len(data) == FIRST_READ and not is_whole(data):
        data = os.pread(fd, HEAD_MAX, 0)
    if not data.startswith(rdb_format.MAGIC):
        raise HistoryError(f"{name}: no RDB file")
    history, point, origins = "", "", {}
    ctime: int | None = None
    at = rdb_format.HEADER_LEN
    while True:
        while (
            data[at : at + 1] == bytes((rdb_format.OP_FUNCTION2,)) and (library := string_at(data, at + 1)) is not None
        ):
            at = library[1]
        if (aux := _aux(data, at)) is None:
            break
        label, value, at = aux
        text = value.decode("ascii", "replace")
        if label == HISTORY:
            history = text
        elif label == POINT:
            point = text
        elif label == b"ctime" and text.isdigit() and len(text) < 12:
            ctime = int(text)
        elif label == ORIGIN:
            database, origin = _origin(name, text)
            if database in origins:
                raise HistoryError(f"{name}: two origins of database {database}")
            origins[database] = origin
        elif is_operation(label):
            break
    wanted = [origin for origin in origins.values() if origin is not None]
    wanted += [origin for origin in wanted if origin not in origins]
    if len(set(wanted)) < len(wanted):
        raise HistoryError(f"{name}: two databases have one origin")
    if not history and not point:
        return Head(origins=origins, ctime=ctime)
    found = re.fullmatch(r"([0-9]{1,15}) ([0-9]{1,15}) ([0-9a-f]{16})", point)
    if found is None:
        raise HistoryError(f"{name}: no point of a history")
    return Head(history, int(found[1]), int(found[2]), int(found[3], 16), origins, ctime)


def is_operation(label: bytes) -> bool:
    """Whether an AUX field is one of those that come after the head."""
    return label.startswith(b"minikv-") and label not in OF_THE_HEAD


def is_whole(data: bytes) -> bool:
    """Whether something that belongs to no head is among the first bytes."""
    at: int | None = rdb_format.HEADER_LEN
    while at is not None and at < len(data):
        if data[at] == rdb_format.OP_FUNCTION2:
            library = string_at(data, at + 1)
            at = None if library is None else library[1]
        elif data[at] == rdb_format.OP_AUX:
            aux = _aux(data, at)
            if aux is not None and is_operation(aux[0]):
                return True
            at = None if aux is None else aux[2]
        else:
            return True
    return False


def _origin(name: str, text: str) -> tuple[int, int | None]:
    found = re.fullmatch(rf"([0-9]{{1,{NUMBER_DIGITS}}}) (-|[0-9]{{1,{NUMBER_DIGITS}}})", text)
    if found is None:
        raise HistoryError(f"{name}: {text!r} is no origin of a database")
    return int(found[1]), None if found[2] == EMPTY else int(found[2])


def _aux(data: bytes, at: int) -> tuple[bytes, bytes, int] | None:
    """The AUX field at this offset and the next one; None if there is none, or it is cut."""
    if data[at : at + 1] != bytes((rdb_format.OP_AUX,)):
        return None
    strings = []
    at += 1
    for _ in range(2):
        found = string_at(data, at)
        if found is None:
            return None
        text, at = found
        strings.append(text)
    return strings[0], strings[1], at


def string_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    """A plain string or an integer of the format; None if it is cut or compressed."""
    first = data[at] if at < len(data) else None
    if first is None:
        return None
    if first >= rdb_format.SPECIAL_STRING:
        width = {0: 1, 1: 2, 2: 4}.get(first & 0x3F)
        if width is None or at + 1 + width > len(data):
            return None
        return str(int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True)).encode(), at + 1 + width
    found = length_at(data, at)
    if found is None:
        return None
    length, at = found
    return (data[at : at + length], at + length) if at + length <= len(data) else None


def length_at(data: bytes, at: int) -> tuple[int, int] | None:
    """A length, and the offset behind it; None if it is cut."""
    first = data[at] if at < len(data) else None
    if first is None or first >= rdb_format.SPECIAL_STRING:
        return None
    if first < rdb_format.LENGTH_14_BITS:
        return first, at + 1
    if first < rdb_format.LENGTH_32_BITS:
        return ((first & 0x3F) << 8 | data[at + 1], at + 2) if at + 1 < len(data) else None
    width = {rdb_format.LENGTH_32_BITS: 4, rdb_format.LENGTH_64_BITS: 8}.get(first)
    if width is None or at + 1 + width > len(data):
        return None
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width

"""The manifest: a text file with a line for each point of a history. It is only appended to, or swapped as a whole.

    history id=<32 hex digits> version=1 checksum=...
    point id=7 parent=6 kind=layer file=layer-0000000007.rdb time=... digest=... parent-digest=... ... checksum=...

A line is fields `name=value`; the last one is the CRC-64 (Redis's) of all before it. Fields that are not known are
kept. A line without its end is one that a crash has cut, and is left out; any other damage is a HistoryError.

Whoever appends or swaps holds an exclusive flock on `manifest.lock`, and opens the manifest by its name after that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from minikv.errors import HistoryError
from minikv.rdb.crc64 import checksum

MANIFEST = "manifest"
MANIFEST_LOCK = "manifest.lock"
TEMPORARY = ".tmp"  # behind the names of files that are not whole yet
VERSION = 1
ID_HEX = 32
DIGEST_HEX = 16
TAIL_LEN = 4096  # more than any line
NUMBER_DIGITS = 20
BASE, LAYER = "base", "layer"
ID_MAX = 10**15  # far beyond what a history reaches, and an exact double for whoever reads the JSON

FILE_NAME = re.compile(r"(base|layer)-[0-9]{10,15}(-[0-9]{10,15})?\.rdb")

NUMBER, DIGEST = rb"([0-9]{1,20})", rb"([0-9a-f]{16})"
START = rb"point id=%b parent=%b kind=(base|layer) file=(%b) time=%b " % (
    *(NUMBER,) * 2,
    FILE_NAME.pattern.replace("(", "(?:").encode(),
    NUMBER,
)
SEAL = rb" checksum=(?P<seal>[0-9a-f]{16})"
LINE_OF_SAVE = re.compile(  # saving/save.py
    START
    + rb"parent-digest=%b db-keys=%b changes=%b digest=%b keys=%b removed=%b bytes=%b(?: fork-us=%b)? save-ms=%b"
    % (DIGEST, *(NUMBER,) * 2, DIGEST, *(NUMBER,) * 5)
    + SEAL
)
LINE_OF_POINT = re.compile(  # Point.line
    START
    + rb"digest=%b parent-digest=%b keys=%b removed=%b bytes=%b(?: db-keys=%b)? changes=%b fork-us=%b save-ms=%b"
    % (*(DIGEST,) * 2, *(NUMBER,) * 7)
    + rb"(?: known-as=%b)?" % DIGEST
    + SEAL
)


@dataclass(frozen=True, slots=True)
class Point:
    """A line of the manifest: a state that can be restored, and the file that leads to it from its parent's.

    time_ms: of the fork, Unix time. keys: records in the file; removed: deleted keys; db_keys: keys in all. changes:
    the dirty counter that it covers. known_as: the digest that its children name as their parent's, which is that of
    the file that was there first (compaction replaces files).
    """

    id: int
    parent: int
    kind: str
    file: str
    time_ms: int
    digest: int
    parent_digest: int
    nbytes: int
    keys: int = 0
    removed: int = 0
    db_keys: int | None = None
    changes: int = 0
    fork_us: int = 0
    save_ms: int = 0
    known_as: int = 0
    others: dict[str, str] = field(default_factory=dict)

    def line(self) -> bytes:
        """The line of the manifest, its end included."""
        fields: dict[str, object] = {
            "id": self.id,
            "parent": self.parent,
            "kind": self.kind,
            "file": self.file,
            "time": self.time_ms,
            "digest": as_hex(self.digest),
            "parent-digest": as_hex(self.parent_digest),
            "keys": self.keys,
            "removed": self.removed,
            "bytes": self.nbytes,
        }
        if self.db_keys is not None:
            fields["db-keys"] = self.db_keys
        fields |= {"changes": self.changes, "fork-us": self.fork_us, "save-ms": self.save_ms}
        if self.known_as != self.digest:
            fields["known-as"] = as_hex(self.known_as)
        return sealed("point", fields | self.others)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the file says. cut: bytes at its end that are no whole line."""

    history: str
    points: tuple[Point, ...]
    cut: int = 0


def as_hex(digest: int) -> str:
    return f"{digest:016x}"


def sealed(word: str, fields: dict[str, object]) -> bytes:
    """A line with its checksum."""
    text = " ".join((word, *(f"{name}={value}" for name, value in fields.items())))
    return f"{text} checksum={as_hex(checksum(text.encode()))}\n".encode()


def read(directory: str) -> Manifest:
    """The manifest of a history. HistoryError, OSError."""
    with open(open_regular(os.path.join(directory, MANIFEST)), "rb") as file:
        return parse(file.read())


def open_regular(path: str) -> int:
    """A descriptor to read from; a pipe in a file's place would keep whoever opens it waiting. OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "Not a regular file", path)


def ends_with(directory: str, history: str, newest: int) -> bool:
    """Whether the manifest there is of this history and its last line this point's, 0 for none; little is read."""
    try:
        fd = open_regular(os.path.join(directory, MANIFEST))
        try:
            head = os.pread(fd, TAIL_LEN, 0)
            end = os.pread(fd, TAIL_LEN, max(0, os.fstat(fd).st_size - TAIL_LEN))
        finally:
            os.close(fd)
    except OSError:
        return False
    last = end.removesuffix(b"\n").rpartition(b"\n")[2]
    expected = b"point id=%d " % newest if newest else b"history "
    return head.startswith(b"history id=%b " % history.encode()) and end.endswith(b"\n") and last.startswith(expected)


def parse(data: bytes) -> Manifest:
    """HistoryError names the line that is damaged."""
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].split(b"\n")[:-1]
    if not lines:
        raise HistoryError("manifest: it is empty" if not data else "manifest: its first line is cut")
    head = fields_of(lines[0], 1, "history")
    version = number(head, "version", 1)
    if version > VERSION:
        raise HistoryError(f"manifest: version {version} is not known; this is minikv for version {VERSION}")
    history = head.get("id", "")
    if not re.fullmatch(f"[0-9a-f]{{{ID_HEX}}}", history):
        raise HistoryError("manifest: line 1: no history ID")
    points: list[Point] = []
    for place, line in enumerate(lines[1:], 2):
        point = plain_point(line) or point_of(fields_of(line, place, "point"), place)
        if points and point.id <= points[-1].id:
            raise HistoryError(f"manifest: line {place}: point {point.id} follows {points[-1].id}")
        if point.parent >= point.id:
            raise HistoryError(f"manifest: line {place}: point {point.id} has parent {point.parent}")
        points.append(point)
    return Manifest(history, tuple(points), len(data) - whole)


def plain_point(line: bytes) -> Point | None:
    """The point of a sound line whose fields are as they are written here or by a save: most are."""
    found = LINE_OF_SAVE.fullmatch(line)
    if found is not None:
        id, parent, kind, file, time_ms, parent_digest, db_keys, changes, digest, keys, removed = found.groups()[:11]
        nbytes, fork_us, save_ms, known_as = *found.groups()[11:14], None
    else:
        found = LINE_OF_POINT.fullmatch(line)
        if found is None:
            return None
        id, parent, kind, file, time_ms, digest, parent_digest, keys, removed, nbytes = found.groups()[:10]
        db_keys, changes, fork_us, save_ms, known_as = found.groups()[10:15]
    if int(found["seal"], 16) != checksum(line[: found.start("seal") - len(b" checksum=")]):
        return None
    point = Point(
        int(id),
        int(parent),
        kind.decode(),
        file.decode(),
        int(time_ms),
        int(digest, 16),
        int(parent_digest, 16),
        int(nbytes),
        int(keys),
        int(removed),
        None if db_keys is None else int(db_keys),
        int(changes),
        int(fork_us or 0),
        int(save_ms),
        int(digest if known_as is None else known_as, 16),
    )
    return point if 0 < point.id < ID_MAX and (point.parent or point.kind == BASE) else None


def fields_of(line: bytes, place: int, word: str) -> dict[str, str]:
    """The fields of a line whose checksum is right."""
    body, separator, seal = line.rpartition(b" checksum=")
    if not separator or seal != as_hex(checksum(body)).encode():
        raise HistoryError(f"manifest: line {place} is damaged: its checksum is wrong")
    first, *words = body.decode("ascii", "replace").split(" ")
    if first != word:
        raise HistoryError(f"manifest: line {place}: {first!r} where {word!r} is expected")
    fields = {name: value for name, _, value in (text.partition("=") for text in words)}
    if len(fields) < len(words):
        raise HistoryError(f"manifest: line {place}: a field occurs twice")
    return fields


def point_of(fields: dict[str, str], place: int) -> Point:
    kind, file = fields.pop("kind", ""), fields.pop("file", "")
    if kind not in (BASE, LAYER):
        raise HistoryError(f"manifest: line {place}: kind {kind!r} is not known")
    if not FILE_NAME.fullmatch(file):
        raise HistoryError(f"manifest: line {place}: {file!r} is no name of a file of a history")
    digest = hexadecimal(fields, "digest", place)
    point = Point(
        id=number(fields, "id", place),
        parent=number(fields, "parent", place),
        kind=kind,
        file=file,
        time_ms=number(fields, "time", place),
        digest=digest,
        parent_digest=hexadecimal(fields, "parent-digest", place),
        nbytes=number(fields, "bytes", place),
        keys=number(fields, "keys", place, 0),
        removed=number(fields, "removed", place, 0),
        db_keys=number(fields, "db-keys", place) if "db-keys" in fields else None,
        changes=number(fields, "changes", place, 0),
        fork_us=number(fields, "fork-us", place, 0),
        save_ms=number(fields, "save-ms", place, 0),
        known_as=hexadecimal(fields, "known-as", place) if "known-as" in fields else digest,
        others=fields,
    )
    if not 0 < point.id < ID_MAX:
        raise HistoryError(f"manifest: line {place}: no point has ID {point.id}")
    if kind == LAYER and point.parent == 0:
        raise HistoryError(f"manifest: line {place}: layer {point.id} has no parent")
    return point


def number(fields: dict[str, str], name: str, place: int, default: int | None = None) -> int:
    """Takes the field out."""
    text = fields.pop(name, None)
    if text is None and default is not None:
        return default
    if text is None or not (text.isdigit() and text.isascii() and len(text) <= NUMBER_DIGITS):
        raise HistoryError(f"manifest: line {place}: field {name} is missing or no number")
    return int(text)


def hexadecimal(fields: dict[str, str], name: str, place: int) -> int:
    """The same for a digest."""
    text = fields.pop(name, "")
    if len(text) != DIGEST_HEX or text.strip("0123456789abcdef"):
        raise HistoryError(f"manifest: line {place}: field {name} is missing or no number")
    return int(text, 16)


# Changes


@contextlib.contextmanager
def locked(directory: str, name: str = MANIFEST_LOCK, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive flock on a file of the directory. BlockingIOError if another holds it and wait is False."""
    fd = os.open(os.path.join(directory, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(fd)


def create(directory: str, history: str | None = None, points: Iterable[Point] = ()) -> Manifest:
    """A new history, in a directory that has none. FileExistsError, OSError."""
    manifest = Manifest(history or secrets.token_hex(ID_HEX // 2), tuple(points))
    os.makedirs(directory, exist_ok=True)
    with locked(directory):
        if os.path.lexists(os.path.join(directory, MANIFEST)):
            raise FileExistsError(17, "there is a history already", directory)
        swap(directory, manifest)
    return manifest


def append(directory: str, point: Point) -> None:
    """Add a point. A line that a crash has cut goes first. OSError, HistoryError if it does not follow the last one."""
    with locked(directory):
        found = read(directory)
        if found.points and point.id <= found.points[-1].id:
            raise HistoryError(f"point {point.id} is there already, or a later one")
        fd = os.open(os.path.join(directory, MANIFEST), os.O_RDWR | os.O_CLOEXEC)
        try:
            end = os.lseek(fd, 0, os.SEEK_END) - found.cut
            os.truncate(fd, end)
            write_all(fd, point.line(), end)
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(fd: int, data: bytes, at: int) -> None:
    """Write at the end of a file, or leave the file as it is. OSError."""
    done = 0
    try:
        while done < len(data):
            done += os.pwrite(fd, data[done:], at + done)
    except OSError:
        os.truncate(fd, at)
        raise


def repair(directory: str) -> int:
    """Remove a line that a crash has cut; returns its bytes. HistoryError, OSError."""
    with locked(directory):
        found = read(directory)
        if found.cut:
            path = os.path.join(directory, MANIFEST)
            os.truncate(path, os.path.getsize(path) - found.cut)
            sync(path)
        return found.cut


def update(directory: str, change: Callable[[Manifest], Iterable[Point]]) -> Manifest:
    """Swap the manifest for one with the points that `change` makes of those of this moment."""
    with locked(directory):
        found = read(directory)
        made = replace(found, points=tuple(change(found)), cut=0)
        swap(directory, made)
        return made


def swap(directory: str, manifest: Manifest) -> None:
    """Write the file and rename it into its place; the caller holds the lock."""
    path = os.path.join(directory, MANIFEST)
    temporary = f"{path}{TEMPORARY}"
    with open(temporary, "wb") as file:
        file.write(encoded(manifest))
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    sync(directory)


def encoded(manifest: Manifest) -> bytes:
    """The bytes of the file."""
    first = sealed("history", {"id": manifest.history, "version": VERSION})
    return first + b"".join(point.line() for point in manifest.points)


def sync(path: str) -> None:
    """fsync of a file or directory."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

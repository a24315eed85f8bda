"""Copy a history to another place and back: a directory, S3 and other object stores, SFTP, whatever fsspec reaches.

Only files that the other side lacks go over; a file is there under its name once it is complete, so a copy that was
interrupted goes on where it was. The manifest comes last: before that the other side is what it was. What the new
manifest does not name any more is removed after it.

The two sides must be one history, and the side that is written to must not know points that the other does not.

fsspec and the library of each kind of store are optional: pip install minikv[store]. Credentials are looked for where
these libraries always look (the environment, ~/.aws, the instance; ~/.ssh, the agent).
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minikv.errors import HistoryError
from minikv.history import manifest
from minikv.history.chain import History
from minikv.history.compaction import sweep
from minikv.history.copying import copy_into
from minikv.history.manifest import MANIFEST, TEMPORARY, Manifest, Point
from minikv.rdb import format as rdb_format

WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"}  # an object is there when it is complete

Progress = Callable[[int], object]  # bytes of a file that went over


class Store:
    """A directory elsewhere. HistoryError, which names the URL, for whatever goes wrong there."""

    def __init__(self, url: str) -> None:
        self.url = url
        with self.named():
            self._files, self._root = filesystem(url)
        protocol = self._files.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_whole = bool(protocols & WHOLE)
        self._is_local = "file" in protocols

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        try:
            yield
        except HistoryError:
            raise
        except Exception as error:  # each library has errors of its own
            text = " ".join(str(error).split()) or type(error).__name__
            raise HistoryError(f"{self.url}: {text}") from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def manifest(self) -> Manifest | None:
        """None if there is no history."""
        with self.named():
            try:
                data = self._files.cat_file(self._path(MANIFEST))
            except FileNotFoundError:
                return None
        try:
            return manifest.parse(data)
        except HistoryError as error:
            raise HistoryError(f"{self.url}: {error}") from None

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        with self.named():
            self._files.invalidate_cache(self._root)
            try:
                found = self._files.ls(self._root, detail=True)
            except FileNotFoundError:
                return {}
            return {entry["name"].rsplit("/", 1)[-1]: entry["size"] for entry in found if entry["type"] == "file"}

    def has(self, point: Point, sizes: dict[str, int]) -> bool:
        """Whether a point's file is there: its size and digest are right."""
        if sizes.get(point.file) != point.nbytes:
            return False
        with self.named():
            start = point.nbytes - rdb_format.CHECKSUM_LEN
            tail = self._files.cat_file(self._path(point.file), start=start, end=point.nbytes)
        return bool(int.from_bytes(tail, "little") == point.digest)

    def put(self, source: str, name: str, progress: Progress) -> None:
        """Copy a local file there; under its name it is there as a whole."""
        path = self._path(name)
        target = path if self._is_whole else path + TEMPORARY
        with self.named():
            if not self._is_whole:
                self._files.makedirs(self._root, exist_ok=True)
            if self._is_local:
                with open(target, "wb") as out:
                    copy_into(source, out)
                manifest.sync(target)
            else:
                self._files.put_file(source, target)
            if not self._is_whole:
                self._files.mv(target, path)
            if self._is_local:
                manifest.sync(self._root)
        progress(os.path.getsize(source))

    def get(self, name: str, target: str, progress: Progress) -> None:
        with self.named():
            if self._is_local:
                with open(target, "wb") as out:
                    copy_into(self._path(name), out)
            else:
                self._files.get_file(self._path(name), target)
        progress(os.path.getsize(target))

    def remove(self, name: str) -> None:
        with self.named(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))


def library(name: str) -> Any:
    """A library that is not always there. HistoryError."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise HistoryError("a history is copied by libraries that are not here: pip install minikv[store]") from None


def filesystem(url: str) -> tuple[Any, str]:
    """What works on the files of a URL, and the path in it."""
    files, root = library("fsspec.core").url_to_fs(url)
    return files, root.rstrip("/")


def lacking(points: Sequence[Point], has: Callable[[Point], bool]) -> list[Point]:
    return [point for point in points if not has(point)]


def compare(source: Manifest, target: Manifest, place: str) -> None:
    """Whether the target is an older, or differently compacted, state of the source. HistoryError."""
    if source.history != target.history:
        raise HistoryError(f"{place}: another history, {target.history}")
    newest = source.points[-1].id if source.points else 0
    if target.points and target.points[-1].id > newest:
        raise HistoryError(f"{place}: it has point {target.points[-1].id}, and the newest here is {newest}")
    known = {point.id: point.known_as for point in source.points}
    for point in target.points:
        if known.get(point.id, point.known_as) != point.known_as:
            raise HistoryError(f"{place}: its point {point.id} is another one: the histories went apart before it")


def push(history: History, store: Store, start: Callable[[int, int], Progress]) -> tuple[int, int]:
    """Bring the store to the state of the history; returns the files and bytes that went over. HistoryError, OSError.

    start: gets the files and bytes that will go over; what it returns is told of progress.
    """
    there = store.manifest()
    if there is not None:
        compare(history.manifest, there, store.url)
    sizes = store.sizes()
    wanted = lacking(history.points, lambda point: store.has(point, sizes))
    nbytes = sum(point.nbytes for point in wanted)
    progress = start(len(wanted), nbytes)
    for point in wanted:
        history.check_file(point, contents=True)  # the copy may be all that is left one day
        store.put(history.path(point), point.file, progress)
    if there is None or there.points != history.points:
        with tempfile_of(history) as path:
            store.put(path, MANIFEST, lambda _: None)
    names = {point.file for point in history.points}
    for point in there.points if there is not None else ():
        if point.file not in names:
            store.remove(point.file)
    return len(wanted), nbytes


@contextlib.contextmanager
def tempfile_of(history: History) -> Iterator[str]:
    """A file with the manifest as it was when the history was opened: the server may have added points meanwhile."""
    fd = os.memfd_create("manifest", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(manifest.encoded(history.manifest))
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def pull(store: Store, directory: str, start: Callable[[int, int], Progress]) -> tuple[int, int]:
    """Bring a directory, which may not be there, to the state of the store. HistoryError, OSError.

    Nobody else may work on the history meanwhile. Each file is read throughout before the manifest names it.
    """
    there = store.manifest()
    if there is None:
        raise HistoryError(f"{store.url}: no history, for it has no manifest")
    here = None
    if os.path.lexists(os.path.join(directory, MANIFEST)):
        here = manifest.read(directory)
        compare(there, here, directory)
    history = History(directory, there)

    def is_here(point: Point) -> bool:
        try:
            history.check_file(point, contents=True)
        except HistoryError:
            return False
        return True

    wanted = lacking(there.points, is_here)
    nbytes = sum(point.nbytes for point in wanted)
    progress = start(len(wanted), nbytes)
    for point in wanted:
        path = history.path(point)
        store.get(point.file, path + TEMPORARY, progress)
        manifest.sync(path + TEMPORARY)
        os.rename(path + TEMPORARY, path)
        history.check_file(point, contents=True)
    manifest.sync(directory)
    if here is None:
        manifest.create(directory, there.history, there.points)
    elif here.points != there.points:
        manifest.update(directory, lambda _: there.points)
    sweep(directory)
    return len(wanted), nbytes

"""Commands that list records without their contents: keys, memory, largest."""

from __future__ import annotations

import csv
import heapq
from typing import TextIO

from minikv.tools.record_types import encoding_name, type_name
from minikv.tools.text import in_a_line
from minikv.tools.visitor import Record, Visitor

COLUMNS = (
    "database",
    "type",
    "key",
    "file_bytes",
    "arena_bytes",
    "encoding",
    "elements",
    "largest_element_bytes",
    "expire_at_ms",
)


class Keys(Visitor):
    """Writes keys, one per line."""

    def __init__(self, out: TextIO) -> None:
        self._write = out.write

    def begin(self, record: Record) -> None:
        self._write(in_a_line(record.key) + "\n")


class MemoryTable:
    """CSV with a line for each record."""

    def __init__(self, out: TextIO) -> None:
        self._writer = csv.writer(out, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def add(self, record: Record) -> None:
        self._writer.writerow(
            (
                record.database,
                type_name(record),
                in_a_line(record.key),
                record.nbytes,
                record.arena_bytes,
                encoding_name(record),
                record.elements,
                record.largest,
                "" if record.expire_at_ms is None else record.expire_at_ms,
            )
        )


class Memory(Visitor):
    """Writes what every record takes."""

    def __init__(self, out: TextIO) -> None:
        self.end = MemoryTable(out).add  # type: ignore[method-assign]


class Largest(Visitor):
    """Keeps the records that take most of the arena; among equals the first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[int, int, Record]] = []

    def end(self, record: Record) -> None:
        entry = (record.arena_bytes, -record.offset, record)
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def report(self, out: TextIO) -> None:
        """Write them in the form of the memory command, largest first."""
        table = MemoryTable(out)
        for _, _, record in sorted(self._heap, reverse=True):
            table.add(record)

"""Which records of a file a command works on."""

from __future__ import annotations

from dataclasses import dataclass

from minikv.keyspace.glob import glob_match
from minikv.tools.record_types import type_name
from minikv.tools.visitor import Record


@dataclass(frozen=True, slots=True)
class Filter:
    """By database, type and key pattern; an empty filter accepts everything."""

    databases: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    pattern: bytes | None = None

    def wants(self, record: Record) -> bool:
        if self.databases and record.database not in self.databases:
            return False
        if self.types and type_name(record) not in self.types:
            return False
        return self.pattern is None or glob_match(self.pattern, record.key)

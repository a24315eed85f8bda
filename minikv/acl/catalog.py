"""The commands as rules name them: a number for each, and which of them a category has.

A set of commands is an integer with a bit for each command's number. One bit more, FUTURE, says whether commands that
do not exist yet are allowed; `+@all` sets it.

Rules may also name the commands of Redis 7.0 that this server lacks (REDIS_ONLY), so that its users and ACL files
load unchanged and are written back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

# Name and categories. What the server has itself by now is ignored.
REDIS_ONLY = (
    ("bgrewriteaof", "admin slow dangerous"),
    ("client|caching", "slow connection"),
    ("client|tracking", "slow connection"),
    ("failover", "admin slow dangerous"),
    ("module|load", "admin slow dangerous"),
    ("module|loadex", "admin slow dangerous"),
    ("module|unload", "admin slow dangerous"),
    ("psync", "admin slow dangerous"),
    ("replconf", "admin slow dangerous"),
    ("sync", "admin slow dangerous"),
)


class Described(Protocol):
    """What is asked of a command's spec."""

    def category_names(self) -> list[bytes]:
        """With the @."""
        ...


class Known(Protocol):
    """What is asked of the server's commands (dispatch.table.Command)."""

    full_name: bytes

    @property
    def spec(self) -> Described:
        """See above."""
        ...


@dataclass(slots=True)
class Entry:
    """A command, or a subcommand of `parent`. everything: the bits of itself and of its subcommands."""

    id: int
    name: bytes
    parent: Entry | None
    everything: int
    children: dict[bytes, Entry] = field(default_factory=dict)
    is_container: bool = False


class Catalog:
    """All commands. categories: in Redis's order. newer: names of the commands that Redis 7.0 lacks, asked for once."""

    def __init__(
        self, commands: Iterable[Known], categories: Iterable[str], newer: Callable[[], Collection[bytes]] = tuple
    ) -> None:
        self.categories = tuple(category.encode() for category in categories)
        self.entries: list[Entry] = []
        self.by_name: dict[bytes, Entry] = {}
        self.members = dict.fromkeys(self.categories, 0)
        self.touched = dict.fromkeys(self.categories, 0)
        self._newer = newer
        for command in commands:
            self._add(command.full_name, [name[1:] for name in command.spec.category_names()])
        for name, words in REDIS_ONLY:
            if name.encode() not in self.by_name:
                self._add(name.encode(), words.encode().split())
        self.future = 1 << len(self.entries)
        self.everything = (self.future << 1) - 1
        for entry in self.entries:
            for category in self.categories:
                if self.members[category] >> entry.id & 1:
                    self.touched[category] |= entry.everything

    def __len__(self) -> int:
        return len(self.entries)

    def _add(self, name: bytes, categories: list[bytes]) -> None:
        container, bar, word = name.partition(b"|")
        parent = self.by_name.get(container) if bar else None
        entry = Entry(len(self.entries), name, parent, 1 << len(self.entries))
        self.entries.append(entry)
        self.by_name[name] = entry
        for category in categories:
            self.members[category] |= 1 << entry.id
        if parent is not None:
            parent.children[word] = entry
            parent.everything |= 1 << entry.id

    def lookup(self, name: bytes) -> Entry | None:
        """`get`, or `config|get`, in any case."""
        return self.by_name.get(name.lower())

    @cached_property
    def counted(self) -> int:
        """The commands that a description is computed from: those of Redis 7.0, so that it comes out as Redis's."""
        newer = self._newer()
        return sum(1 << entry.id for entry in self.entries if entry.name not in newer)

    @cached_property
    def in_order(self) -> list[Entry]:
        """Each command before its subcommands."""
        found = []
        for entry in self.entries:
            if entry.parent is None:
                found += [entry, *entry.children.values()]
        return found

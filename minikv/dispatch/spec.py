# cython: language_level=3
# ruff: noqa: F821
"""What a command is, before any server exists: its name, arity, flags and keys.

`@command` attaches a CommandSpec to a handler and changes nothing else; CommandTable.build collects the specs of
the modules that it is given. A spec never changes: what a server counts about a command lives in table.Command.

Flags (spec.pxd), categories and key specifications follow COMMAND INFO of Redis 7.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., object])

FLAG_NAMES: tuple[tuple[int, bytes], ...] = (
    (WRITE, b"write"),
    (READONLY, b"readonly"),
    (DENYOOM, b"denyoom"),
    (MODULE, b"module"),
    (ADMIN, b"admin"),
    (PUBSUB, b"pubsub"),
    (NOSCRIPT, b"noscript"),
    (BLOCKING, b"blocking"),
    (LOADING, b"loading"),
    (STALE, b"stale"),
    (SKIP_MONITOR, b"skip_monitor"),
    (SKIP_SLOWLOG, b"skip_slowlog"),
    (ASKING, b"asking"),
    (FAST, b"fast"),
    (NO_AUTH, b"no_auth"),
    (NO_MANDATORY_KEYS, b"no_mandatory_keys"),
    (NO_ASYNC_LOADING, b"no_async_loading"),
    (NO_MULTI, b"no_multi"),
    (MOVABLEKEYS, b"movablekeys"),
    (ALLOW_BUSY, b"allow_busy"),
)

CATEGORIES = (
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
)


@dataclass(frozen=True)
class KeySpec:
    """Where the keys are among the arguments (COMMAND INFO, eighth entry).

    begin: ("index", position) or ("keyword", word, start_from) or ("unknown",)
    find:  ("range", last_key, step, limit) or ("keynum", key_num_index, first_key, step) or ("unknown",)
    """

    flags: str
    begin: tuple[Any, ...]
    find: tuple[Any, ...]
    notes: str = ""


@dataclass(frozen=True)
class CommandSpec:
    """One command or subcommand as COMMAND INFO describes it.

    name is in upper case; a subcommand's is "CLIENT|ID". arity counts the name (and the subcommand's name); negative
    means "at least". What only COMMAND DOCS shows is in docs.json.
    """

    name: str
    arity: int
    flags: int = 0
    keys: tuple[int, int, int] = (0, 0, 0)
    categories: tuple[str, ...] = ()
    tips: tuple[str, ...] = ()
    keyspecs: tuple[KeySpec, ...] = ()

    @property
    def full_name(self) -> bytes:
        """The name as errors and statistics show it: b"client|id"."""
        return self.name.lower().encode()

    @property
    def parent(self) -> str | None:
        """The container's name, for a subcommand."""
        container_name, bar, _ = self.name.partition("|")
        return container_name if bar else None

    def flag_names(self) -> list[bytes]:
        """The flags as COMMAND INFO lists them."""
        return [name for bit, name in FLAG_NAMES if self.flags & bit]

    def category_names(self) -> list[bytes]:
        """All ACL categories, the implied ones included, in Redis's order."""
        found = set(self.categories)
        if self.flags & WRITE:
            found.add("write")
        if self.flags & READONLY and "scripting" not in found:
            found.add("read")
        if self.flags & ADMIN:
            found |= {"admin", "dangerous"}
        if self.flags & PUBSUB:
            found.add("pubsub")
        if self.flags & BLOCKING:
            found.add("blocking")
        found.add("fast" if self.flags & FAST else "slow")
        return [b"@" + name.encode() for name in CATEGORIES if name in found]


def describe(
    name: str,
    *,
    arity: int,
    flags: int = 0,
    keys: tuple[int, int, int] = (0, 0, 0),
    key_flags: str = "",
    keyspecs: Sequence[KeySpec] = (),
    categories: Sequence[str] | str = (),
    tips: Sequence[str] = (),
) -> CommandSpec:
    """A CommandSpec; `keys` with `key_flags` ("RO access") becomes the key specification unless `keyspecs` says more.

    keys: first, last and step among the arguments; with `key_flags` alone, the first argument is the only key.
    categories: those which the flags do not imply ("string"), as words or a sequence.
    """
    if key_flags and keys == (0, 0, 0):
        keys = (1, 1, 1)
    if keys != (0, 0, 0) and not keyspecs:
        first, last, step = keys
        relative_last = last - first if last >= 0 else last
        keyspecs = (KeySpec(key_flags, ("index", first), ("range", relative_last, step, 0)),)
    named = tuple(categories.split()) if isinstance(categories, str) else tuple(categories)
    unknown = set(named) - set(CATEGORIES)
    assert not unknown, f"{name}: unknown categories {unknown}"
    return CommandSpec(
        name=name.upper(),
        arity=arity,
        flags=flags,
        keys=keys,
        categories=named,
        tips=tuple(tips),
        keyspecs=tuple(keyspecs),
    )


def command(name: str, **spec: Any) -> Callable[[Handler], Handler]:
    """Mark a handler as the command `name`; keyword arguments as `describe`. One handler may carry several names."""
    described = describe(name, **spec)

    def attach(handler: Handler) -> Handler:
        specs = (*getattr(handler, "__command_specs__", ()), described)
        handler.__command_specs__ = specs  # type: ignore[attr-defined]
        return handler

    return attach


def in_category(categories: str) -> Callable[..., Callable[[Handler], Handler]]:
    """`command` for a module whose commands share ACL categories; `categories=` on a command replaces them."""
    return partial(command, categories=categories)


def container(name: str, **spec: Any) -> CommandSpec:
    """The spec of a command that only has subcommands; bind it to a name of the module."""
    return describe(name, **spec)

"""COMMAND: the commands, their arguments and the positions of their keys.

What a server checks (arity, flags, key positions, ACL categories, tips) comes from the table; what only people and
redis-cli's hints want (summary, since, group, complexity, arguments) from docs.json, in the form of COMMAND DOCS.
Both are encoded on first use and cached: all of them are 60 and 250 KB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minikv.commands.help import help_lines
from minikv.dispatch.arguments import SYNTAX_ERROR
from minikv.dispatch.client import Client
from minikv.dispatch.keys import find_keys, has_keys, key_flags
from minikv.dispatch.spec import LOADING, NO_MANDATORY_KEYS, STALE, KeySpec, in_category
from minikv.dispatch.table import Command, CommandTable
from minikv.errors import CommandError
from minikv.keyspace.glob import glob_match
from minikv.protocol.reply import Raw, Set, SimpleString, encode

command = in_category("connection")

ORDER_TIP = "nondeterministic_output_order"

# Keys of Command.replies, with the version of RESP.
INFO, DOCS = "info", "docs"

# What no release of Redis has.
OWN_CONTAINERS = frozenset({"snapshot"})

# Fields of COMMAND DOCS that are sets of words, not texts.
WORD_SETS = frozenset({"flags", "doc_flags"})


@command("COMMAND", arity=-1, flags=LOADING | STALE, tips=[ORDER_TIP])
def command_(ctx: Client) -> Raw:
    return encoded_list([encoded_description(found, ctx.resp) for found in ctx.server.table.commands.values()])


@command("COMMAND|COUNT", arity=2, flags=LOADING | STALE)
def command_count(ctx: Client) -> int:
    return len(ctx.server.table)


@command("COMMAND|INFO", arity=-2, flags=LOADING | STALE, tips=[ORDER_TIP])
def command_info(ctx: Client, *names: bytes) -> Raw:
    if not names:
        return command_(ctx)
    found = map(by_full_name(ctx), names)
    unknown = encode(None, ctx.resp)
    return encoded_list([unknown if each is None else encoded_description(each, ctx.resp) for each in found])


@command("COMMAND|LIST", arity=-2, flags=LOADING | STALE, tips=[ORDER_TIP])
def command_list(ctx: Client, *options: bytes) -> list[bytes]:
    commands: Iterable[Command] = ctx.server.table
    if not options:
        return [found.full_name for found in commands]
    if len(options) != 3 or options[0].lower() != b"filterby":
        raise CommandError(SYNTAX_ERROR)
    kind, wanted = options[1].lower(), options[2]
    if kind == b"module":
        return []
    if kind == b"aclcat":
        category = b"@" + wanted.lower()
        return [found.full_name for found in commands if category in found.spec.category_names()]
    if kind == b"pattern":
        return [found.full_name for found in commands if glob_match(wanted, found.full_name, True)]
    raise CommandError(SYNTAX_ERROR)


@command("COMMAND|DOCS", arity=-2, flags=LOADING | STALE, tips=[ORDER_TIP])
def command_docs(ctx: Client, *names: bytes) -> Raw:
    table, resp = ctx.server.table, ctx.resp
    found = [each for each in map(by_full_name(ctx), names) if each is not None] if names else table.commands.values()
    if any((DOCS, resp) not in each.replies for each in found):
        keep_documentation(table, resp)
    head = b"%%%d\r\n" % len(found) if resp > 2 else b"*%d\r\n" % (2 * len(found))
    return Raw(b"".join([head, *(each.replies[DOCS, resp] for each in found)]))


@command("COMMAND|GETKEYS", arity=-4, flags=LOADING | STALE)
def command_getkeys(ctx: Client, *request: bytes) -> list[bytes]:
    return [key for key, _ in keys_of(ctx, request)]


@command("COMMAND|GETKEYSANDFLAGS", arity=-4, flags=LOADING | STALE)
def command_getkeysandflags(ctx: Client, *request: bytes) -> list[list[object]]:
    return [[key, word_set(flags)] for key, flags in keys_of(ctx, request)]


@command("COMMAND|HELP", arity=2, flags=LOADING | STALE)
def command_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "COMMAND",
        [
            "(no subcommand)",
            "    Describe every command.",
            "COUNT",
            "    Number of commands.",
            "LIST",
            "    Names of all commands.",
            "INFO [<command-name> ...]",
            "    Describe the named commands: arity, flags, keys, categories.",
            "    Names of subcommands are written as container|subcommand.",
            "    Without a name, describe all commands.",
            "DOCS [<command-name> ...]",
            "    Documentation of the named commands.",
            "    Names of subcommands are written as container|subcommand.",
            "    Without a name, that of all commands.",
            "GETKEYS <full-command>",
            "    Tell which arguments of a command are keys.",
            "GETKEYSANDFLAGS <full-command>",
            "    Tell which arguments of a command are keys, and how it uses them.",
        ],
    )


def by_full_name(ctx: Client) -> Any:
    """A function that finds a command by `name` or `container|name`."""
    table = ctx.server.table
    return lambda name: table.lookup(*name.split(b"|", 1))


def keys_of(ctx: Client, request: Sequence[bytes]) -> list[tuple[bytes, list[str]]]:
    """The keys of a request with their flags; errors as COMMAND GETKEYS words them."""
    table = ctx.server.table
    found = table.lookup(request[0])
    if found is not None and found.subcommands and len(request) > 1:
        found = table.lookup(*request[:2])
    if found is None:
        raise CommandError("ERR Invalid command specified")
    if not has_keys(found.spec):
        raise CommandError("ERR The command has no key arguments")
    arity = found.spec.arity
    if len(request) != arity if arity > 0 else len(request) < -arity:
        raise CommandError("ERR Invalid number of arguments specified for command")
    keys = find_keys(found.spec, request)
    if not keys and not found.spec.flags & NO_MANDATORY_KEYS:
        raise CommandError("ERR Invalid arguments specified for command")
    return keys


def encoded_list(items: list[bytes]) -> Raw:
    """An array of items that are encoded already."""
    return Raw(b"".join([b"*%d\r\n" % len(items), *items]))


def encoded_description(found: Command, resp: int) -> bytes:
    """A command as COMMAND INFO describes it, encoded and cached."""
    reply = found.replies.get((INFO, resp))
    if reply is None:
        reply = found.replies[INFO, resp] = encode(description(found), resp)
    return reply


def keep_documentation(table: CommandTable, resp: int) -> None:
    """Encode what COMMAND DOCS says of every command, its name first.

    The bytes take a tenth of what the objects of docs.json take, and whoever asks once mostly asks for all.
    """
    all_documents = documents()
    for found in table:
        told = documentation(found, all_documents)
        found.replies[DOCS, resp] = encode(found.full_name, resp) + encode(told, resp)


def description(found: Command) -> list[object]:
    """A command as COMMAND INFO describes it."""
    spec = found.spec
    return [
        found.full_name,
        spec.arity,
        Set([SimpleString(name) for name in spec.flag_names()]),
        *spec.keys,
        Set([SimpleString(name) for name in spec.category_names()]),
        Set([tip.encode() for tip in spec.tips]),
        Set([key_specification(keyspec) for keyspec in spec.keyspecs]),
        [description(child) for child in found.subcommands.values()] if found.subcommands else Set([]),
    ]


def key_specification(spec: KeySpec) -> dict[bytes, object]:
    """A key specification as COMMAND INFO describes it."""
    reply: dict[bytes, object] = {b"notes": spec.notes.encode()} if spec.notes else {}
    reply[b"flags"] = word_set(key_flags(spec))
    reply[b"begin_search"] = search_step(spec.begin, {"index": ["index"], "keyword": ["keyword", "startfrom"]})
    reply[b"find_keys"] = search_step(
        spec.find, {"range": ["lastkey", "keystep", "limit"], "keynum": ["keynumidx", "firstkey", "keystep"]}
    )
    return reply


def search_step(step: tuple[Any, ...], names: dict[str, list[str]]) -> dict[bytes, object]:
    """One of the two steps of a key specification."""
    kind, *values = step
    fields = zip(names.get(kind, []), values, strict=True)
    return {
        b"type": kind.encode(),
        b"spec": {name.encode(): value.encode() if isinstance(value, str) else value for name, value in fields},
    }


def documentation(found: Command, documents: dict[str, dict[str, Any]]) -> dict[bytes, object]:
    """A command as COMMAND DOCS describes it. documents: docs.json, by full name."""
    reply = as_reply(documents.get(found.full_name.decode(), {}))
    if found.subcommands:
        children = found.subcommands.values()
        reply[b"subcommands"] = {child.full_name: documentation(child, documents) for child in children}
    return reply


def documents() -> dict[str, dict[str, Any]]:
    """docs.json: what COMMAND DOCS says of each command and subcommand, by full name."""
    loaded: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("docs.json").read_text())
    return loaded


def newer_commands() -> frozenset[bytes]:
    """Names of the commands that Redis 7.0 lacks: of later releases, and minikv's own."""
    return frozenset(
        name.encode()
        for name, told in documents().items()
        if tuple(map(int, told["since"].split(".")[:2])) > (7, 0) or name.partition("|")[0] in OWN_CONTAINERS
    )


def as_reply(fields: dict[str, Any]) -> dict[bytes, object]:
    """A JSON object in the form that a handler returns."""
    return {
        name.encode(): word_set(value) if name in WORD_SETS else reply_value(value) for name, value in fields.items()
    }


def reply_value(value: Any) -> object:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [as_reply(item) for item in value]
    return value


def word_set(words: Iterable[str]) -> Set:
    """Flags as Redis sends them: a set of simple strings."""
    return Set([SimpleString(word.encode()) for word in words])

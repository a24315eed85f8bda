"""MODULE: minikv loads no modules. It answers as a Redis that has none and cannot load the one that is asked for."""

from __future__ import annotations

from typing import NoReturn

from minikv.commands.help import help_lines
from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, LOADING, NO_ASYNC_LOADING, NOSCRIPT, PROTECTED, STALE, command, container
from minikv.errors import CommandError
from minikv.protocol.reply import SimpleString

MODULE = container("MODULE", arity=-2)

CHANGES = ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED
NOT_LOADED = "ERR Error loading the extension. Please check the server logs."
NOT_THERE = "ERR Error unloading module: no such module with that name"


@command("MODULE|LIST", arity=2, flags=ADMIN | NOSCRIPT, tips=["nondeterministic_output_order"])
def module_list(ctx: Client) -> list[object]:
    return []


@command("MODULE|LOAD", arity=-3, flags=CHANGES)
@command("MODULE|LOADEX", arity=-3, flags=CHANGES)
def module_load(ctx: Client, path: bytes, *words: bytes) -> NoReturn:
    ctx.server.log.warning(f"Module {path.decode(errors='replace')} failed to load: minikv loads no modules")
    raise CommandError(NOT_LOADED)


@command("MODULE|UNLOAD", arity=3, flags=CHANGES)
def module_unload(ctx: Client, name: bytes) -> NoReturn:
    raise CommandError(NOT_THERE)


@command("MODULE|HELP", arity=2, flags=LOADING | STALE)
def module_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "MODULE",
        [
            "LIST",
            "    List the loaded modules: minikv has none.",
            "LOAD <path> [<arg> ...]",
            "    Load a module: minikv refuses.",
            "LOADEX <path> [[CONFIG <name> <value>] ...] [ARGS ...]",
            "    The same with settings of the module.",
            "UNLOAD <name>",
            "    Unload a module: there is none.",
        ],
    )

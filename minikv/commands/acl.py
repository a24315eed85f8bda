"""ACL for the one user that there is: `default`, who may do everything once authenticated."""

from __future__ import annotations

from hashlib import sha256

from minikv.commands.help import help_lines
from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, CATEGORIES, LOADING, NOSCRIPT, STALE, command, container
from minikv.errors import CommandError, NamingError
from minikv.protocol.reply import SimpleString

ACL = container("ACL", arity=-2)


@command("ACL|WHOAMI", arity=2, flags=NOSCRIPT | LOADING | STALE)
def acl_whoami(ctx: Client) -> bytes:
    return ctx.user


@command("ACL|USERS", arity=2, flags=ADMIN | NOSCRIPT | LOADING | STALE)
def acl_users(ctx: Client) -> list[bytes]:
    return [b"default"]


@command("ACL|LIST", arity=2, flags=ADMIN | NOSCRIPT | LOADING | STALE)
def acl_list(ctx: Client) -> list[bytes]:
    password = ctx.server.config.requirepass
    secret = "#" + sha256(password).hexdigest() if password else "nopass"
    return [f"user default on {secret} ~* &* +@all".encode()]


@command("ACL|CAT", arity=-2, flags=NOSCRIPT | LOADING | STALE)
def acl_cat(ctx: Client, *categories: bytes) -> list[bytes]:
    if not categories:
        return [category.encode() for category in CATEGORIES]
    if len(categories) > 1:
        raise NamingError("ERR unknown subcommand or wrong number of arguments for '{}'. Try ACL HELP.")
    wanted = categories[0].lower()
    if wanted.decode("utf-8", "surrogateescape") not in CATEGORIES:
        raise CommandError(f"ERR Unknown category '{categories[0].decode('utf-8', 'surrogateescape')}'")
    return [found.full_name for found in ctx.server.table if b"@" + wanted in found.spec.category_names()]


@command("ACL|HELP", arity=2, flags=LOADING | STALE)
def acl_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "ACL",
        [
            "CAT [<category>]",
            "    Commands of a category; without a category, the categories.",
            "LIST",
            "    The users in the form of the configuration file.",
            "USERS",
            "    Names of the users.",
            "WHOAMI",
            "    User of this connection.",
        ],
    )

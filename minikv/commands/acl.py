"""ACL: users and what they may do."""

from __future__ import annotations

import secrets

from minikv.acl import file
from minikv.acl.description import channels, commands, flags, keys
from minikv.acl.rules import has_spaces
from minikv.acl.user import ALLOWED, DENIED_COMMAND, DENIED_KEY, Selector
from minikv.acl.users import DEFAULT, UsersError
from minikv.commands.help import help_lines
from minikv.dispatch.arguments import integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, CATEGORIES, LOADING, NOSCRIPT, STALE, command, container
from minikv.errors import CommandError, NamingError
from minikv.protocol.reply import OK, Set, SimpleString

ACL = container("ACL", arity=-2)

ANYONE = NOSCRIPT | LOADING | STALE
ADMINS = ADMIN | ANYONE

WRONG_NUMBER = "ERR unknown subcommand or wrong number of arguments for '{}'. Try ACL HELP."
NO_FILE = (
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER "
    "command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store "
    "users in the Redis configuration."
)
MAX_BITS = 4096
DEFAULT_BITS = 256
SHOWN_ENTRIES = 10

HELP = [
    "CAT [<category>]",
    "    Commands of a category; without a category, the categories.",
    "DELUSER <username> [<username> ...]",
    "    Remove users and close their connections.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Whether a user might run a command, which is not run.",
    "GENPASS [<bits>]",
    "    A random password of 256 bits, or of as many as you say.",
    "GETUSER <username>",
    "    What is known of a user.",
    "LIST",
    "    The users in the form of the configuration file.",
    "LOAD",
    "    Replace all users by those of the ACL file.",
    "LOG [<count> | RESET]",
    "    The newest refusals, or forget them.",
    "SAVE",
    "    Write all users to the ACL file.",
    "SETUSER <username> <rule> [<rule> ...]",
    "    Change a user, or make one.",
    "USERS",
    "    Names of the users.",
    "WHOAMI",
    "    User of this connection.",
]


def text(word: bytes) -> str:
    """An argument in an error, as C prints it."""
    return word.partition(b"\0")[0].decode("utf-8", "surrogateescape")


# -- users -------------------------------------------------------------------------------------------------------------


@command("ACL|WHOAMI", arity=2, flags=ANYONE)
def acl_whoami(ctx: Client) -> bytes:
    return ctx.user.name


@command("ACL|USERS", arity=2, flags=ADMINS)
def acl_users(ctx: Client) -> list[bytes]:
    return [user.name for user in ctx.server.users]


@command("ACL|LIST", arity=2, flags=ADMINS)
def acl_list(ctx: Client) -> list[bytes]:
    return ctx.server.users.lines()


@command("ACL|GETUSER", arity=3, flags=ADMINS)
def acl_getuser(ctx: Client, name: bytes) -> dict[bytes, object] | None:
    user = ctx.server.users.get(name)
    if user is None:
        return None
    root, *others = user.selectors
    return {
        b"flags": Set(flags(user)),
        b"passwords": user.passwords,
        **described(ctx, root),
        b"selectors": [described(ctx, selector) for selector in others],
    }


def described(ctx: Client, selector: Selector) -> dict[bytes, object]:
    return {
        b"commands": commands(selector, ctx.server.users.catalog),
        b"keys": keys(selector),
        b"channels": channels(selector),
    }


@command("ACL|SETUSER", arity=-3, flags=ADMINS)
def acl_setuser(ctx: Client, name: bytes, *rules: bytes) -> SimpleString:
    if has_spaces(name):
        raise CommandError("ERR Usernames can't contain spaces or null characters")
    try:
        ctx.server.users.change(name, rules)
    except UsersError as error:
        raise CommandError(f"ERR {error}") from None
    return OK


@command("ACL|DELUSER", arity=-3, flags=ADMINS)
def acl_deluser(ctx: Client, *names: bytes) -> int:
    if DEFAULT in names:
        raise CommandError("ERR The 'default' user cannot be removed")
    return sum(ctx.server.users.remove(name) for name in names)


@command("ACL|GENPASS", arity=-2, flags=ANYONE)
def acl_genpass(ctx: Client, *bits: bytes) -> bytes:
    if len(bits) > 1:
        raise NamingError(WRONG_NUMBER)
    wanted = integer(bits[0]) if bits else DEFAULT_BITS
    if not 0 < wanted <= MAX_BITS:
        raise CommandError(
            "ERR ACL GENPASS argument must be the number of bits for the output password, "
            f"a positive number up to {MAX_BITS}"
        )
    digits = (wanted + 3) // 4
    return secrets.token_hex((digits + 1) // 2)[:digits].encode()


# -- the file ----------------------------------------------------------------------------------------------------------


@command("ACL|LOAD", arity=2, flags=ADMINS)
def acl_load(ctx: Client) -> SimpleString:
    try:
        file.load(ctx.server.users, file_path(ctx))
    except UsersError as error:
        raise CommandError(f"ERR {error}") from None
    return OK


@command("ACL|SAVE", arity=2, flags=ADMINS)
def acl_save(ctx: Client) -> SimpleString:
    try:
        file.save(ctx.server.users, file_path(ctx))
    except OSError as error:
        ctx.server.log.warning(f"Writing the ACL file for ACL SAVE: {error.strerror}")
        raise CommandError(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information"
        ) from None
    return OK


def file_path(ctx: Client) -> str:
    path: str = ctx.server.config.aclfile
    if not path:
        raise CommandError(NO_FILE)
    return path


# -- what may be done --------------------------------------------------------------------------------------------------


@command("ACL|CAT", arity=-2, flags=ANYONE)
def acl_cat(ctx: Client, *categories: bytes) -> list[bytes]:
    if not categories:
        return [category.encode() for category in CATEGORIES]
    if len(categories) > 1:
        raise NamingError(WRONG_NUMBER)
    wanted = categories[0].partition(b"\0")[0].lower()
    if wanted.decode("utf-8", "surrogateescape") not in CATEGORIES:
        raise CommandError(f"ERR Unknown category '{text(categories[0][:128])}'")
    return [found.full_name for found in ctx.server.table if b"@" + wanted in found.spec.category_names()]


@command("ACL|DRYRUN", arity=-4, flags=ADMINS)
def acl_dryrun(ctx: Client, name: bytes, *request: bytes) -> SimpleString | bytes:
    user = ctx.server.users.get(name)
    if user is None:
        raise CommandError(f"ERR User '{text(name)}' not found")
    table = ctx.server.table
    found = table.lookup(request[0])
    if found is not None and found.subcommands and len(request) > 1:
        found = table.lookup(*request[:2])
    if found is None:
        raise CommandError(f"ERR Command '{text(request[0])}' not found")
    full_name = found.full_name.decode()
    if len(request) != found.arity if found.arity > 0 else len(request) < -found.arity:
        raise CommandError(f"ERR wrong number of arguments for '{full_name}' command")
    reason, place = found.requirements.refusal(user, request)
    if reason == ALLOWED:
        return OK
    if reason == DENIED_COMMAND:
        return f"This user has no permissions to run the '{full_name}' command".encode()
    kind = b"key" if reason == DENIED_KEY else b"channel"
    refused = request[place].partition(b"\0")[0]
    return b"This user has no permissions to access the '%b' %b" % (refused, kind)


@command("ACL|LOG", arity=-2, flags=ADMINS)
def acl_log(ctx: Client, *words: bytes) -> SimpleString | list[dict[bytes, object]]:
    log = ctx.server.acl_log
    if len(words) > 1:
        raise NamingError(WRONG_NUMBER)
    if words and words[0].lower() == b"reset":
        log.clear()
        return OK
    now_ms = log.now_ms()
    return [
        {
            b"count": entry.count,
            b"reason": entry.reason,
            b"context": entry.context,
            b"object": entry.object,
            b"username": entry.username,
            b"age-seconds": (now_ms - entry.changed_ms) / 1000,
            b"client-info": entry.client,
        }
        for entry in log.newest(integer(words[0]) if words else SHOWN_ENTRIES)
    ]


@command("ACL|HELP", arity=2, flags=LOADING | STALE)
def acl_help(ctx: Client) -> list[SimpleString]:
    return help_lines("ACL", HELP)

# cython: language_level=3
"""Commands about the connection itself: PING ECHO QUIT SELECT HELLO AUTH RESET MONITOR SHUTDOWN and CLIENT."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from minikv import REDIS_VERSION
from minikv.acl.log import AUTH, MULTI, TOPLEVEL
from minikv.commands.help import help_lines
from minikv.commands.roster import chosen_clients, client_line
from minikv.dispatch.arguments import INT32_MAX, INT32_MIN, SYNTAX_ERROR, integer, integer_between
from minikv.dispatch.client import REPLY_OFF, REPLY_ON, REPLY_SKIP_NEXT, Client
from minikv.dispatch.spec import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_AUTH,
    NO_MULTI,
    NOSCRIPT,
    STALE,
    container,
    in_category,
)
from minikv.errors import CommandError, NamingError
from minikv.protocol.reply import NO_REPLY, OK, PONG, Marker, SimpleString, Verbatim

command = in_category("connection")

ANYTIME = LOADING | STALE
WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."
CLIENT_TYPES = (b"normal", b"slave", b"replica", b"pubsub", b"master")


@command("PING", arity=-1, flags=FAST, tips=("request_policy:all_shards", "response_policy:all_succeeded"))
def ping(ctx: Client, *message: bytes) -> SimpleString | bytes | list[bytes]:
    if len(message) > 1:
        raise CommandError("ERR wrong number of arguments for 'ping' command")
    if ctx.subscriptions is not None and ctx.resp == 2:  # must look like a message
        return [b"pong", message[0] if message else b""]
    return message[0] if message else PONG


@command("ECHO", arity=2, flags=ANYTIME | FAST)
def echo(ctx: Client, message: bytes) -> bytes:
    return message


@command("QUIT", arity=-1, flags=ANYTIME | NOSCRIPT | FAST | NO_AUTH | ALLOW_BUSY)
def quit_(ctx: Client, *ignored: bytes) -> SimpleString:
    ctx.close_after_reply = True
    return OK


@command("SELECT", arity=2, flags=ANYTIME | FAST)
def select(ctx: Client, number: bytes) -> SimpleString:
    chosen = integer_between(number, INT32_MIN, INT32_MAX)
    if not 0 <= chosen < len(ctx.keyspace.databases):
        raise CommandError("ERR DB index is out of range")
    ctx.db = ctx.keyspace.databases[chosen]
    return OK


@command("AUTH", arity=-2, flags=ANYTIME | NOSCRIPT | FAST | NO_AUTH | ALLOW_BUSY)
def auth(ctx: Client, *words: bytes) -> SimpleString:
    if len(words) > 2:
        raise CommandError(SYNTAX_ERROR)
    if len(words) == 1 and ctx.server.users.default.nopass:
        raise CommandError(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    log_in(ctx, words[0] if len(words) == 2 else b"default", words[-1])
    return OK


def log_in(ctx: Client, username: bytes, password: bytes) -> None:
    """Authenticate the client or raise."""
    user = ctx.server.users.authenticate(username, password)
    if user is None:
        raise LoginError(ctx, username)
    ctx.log_in(user)


class LoginError(NamingError):
    """A wrong password, or no such user; ACL LOG names the command as the client spelled it."""

    def __init__(self, client: Client, username: bytes) -> None:
        super().__init__(WRONG_PASSWORD)
        self.client = client
        self.username = username

    def named(self, name: bytes) -> CommandError:
        context = MULTI if self.client.in_exec else TOPLEVEL
        self.client.server.acl_log.note(self.client, AUTH, context, name, self.username)
        return CommandError(WRONG_PASSWORD)


@command("HELLO", arity=-1, flags=ANYTIME | NOSCRIPT | FAST | NO_AUTH | ALLOW_BUSY)
def hello(ctx: Client, *words: bytes) -> dict[bytes, object]:
    resp = ctx.resp
    if words:
        resp = integer(words[0], "ERR Protocol version is not an integer or out of range")
        if resp not in (2, 3):
            raise CommandError("NOPROTO unsupported protocol version")
        obey_hello_options(ctx, words[1:])
    if not ctx.authenticated:
        raise CommandError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> "
            "option can be used to authenticate the client and select the RESP protocol version at the same time"
        )
    ctx.resp = resp
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": resp,
        b"id": ctx.id,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


def obey_hello_options(ctx: Client, words: Sequence[bytes]) -> None:
    """AUTH and SETNAME, each at once: what comes before an error has happened."""
    place = 0
    while place < len(words):
        option = words[place].lower()
        if option == b"auth" and place + 2 < len(words):
            log_in(ctx, words[place + 1], words[place + 2])
            place += 3
        elif option == b"setname" and place + 1 < len(words):
            ctx.name = checked_name(words[place + 1])
            place += 2
        else:
            shown = words[place].decode("utf-8", "surrogateescape")
            raise CommandError(f"ERR Syntax error in HELLO option '{shown}'")


def checked_name(name: bytes, what: str = "Client names") -> bytes:
    """A name that is valid in a line of CLIENT LIST."""
    if any(not 33 <= byte <= 126 for byte in name):
        raise CommandError(f"ERR {what} cannot contain spaces, newlines or special characters.")
    return name


@command("RESET", arity=1, flags=ANYTIME | NOSCRIPT | FAST | NO_AUTH | ALLOW_BUSY)
def reset(ctx: Client) -> SimpleString:
    ctx.discard_transaction()
    ctx.server.forget(ctx)
    ctx.is_monitor = False
    if ctx.keyspace is not None:
        ctx.db = ctx.keyspace.databases[0]
    ctx.resp = 2
    ctx.name = b""
    ctx.reply_mode = REPLY_ON
    ctx.no_evict = False
    ctx.log_out()
    return SimpleString(b"RESET")


@command("MONITOR", arity=1, flags=ANYTIME | NOSCRIPT | ADMIN, categories=())
def monitor(ctx: Client) -> SimpleString:
    if ctx.in_exec:
        raise CommandError("ERR MONITOR isn't allowed for DENY BLOCKING client")
    ctx.is_monitor = True
    ctx.server.monitors.add(ctx)
    ctx.server.refresh_gates()
    return OK


@command("SHUTDOWN", arity=-1, flags=ANYTIME | NOSCRIPT | ADMIN | NO_MULTI | ALLOW_BUSY, categories=())
def shutdown(ctx: Client, *words: bytes) -> Marker | SimpleString:
    options = {word.lower() for word in words}
    if options - {b"save", b"nosave", b"now", b"force", b"abort"}:
        raise CommandError(SYNTAX_ERROR)
    if {b"save", b"nosave"} <= options or (b"abort" in options and len(words) > 1):
        raise CommandError(SYNTAX_ERROR)
    if b"abort" in options:
        if ctx.server.abort_shutdown():
            return OK
        raise CommandError("ERR No shutdown in progress.")
    save = True if b"save" in options else False if b"nosave" in options else None
    if ctx.server.scripts.is_busy and b"nosave" not in options:
        raise CommandError(ctx.server.scripts.busy_text())
    ctx.server.request_shutdown(save=save, now=b"now" in options, force=b"force" in options)
    ctx.close_after_reply = True
    return NO_REPLY


# -- CLIENT ------------------------------------------------------------------------------------------------------------

CLIENT = container(
    "CLIENT",
    arity=-2,
)

OWN = ANYTIME | NOSCRIPT
OTHERS = OWN | ADMIN

HELP = """\
CACHING (YES|NO)
    Track the keys of the next command, or do not (OPTIN, OPTOUT).
GETNAME
    The name of this connection.
GETREDIR
    The connection that tracking reports to: 0 for this one, -1 without tracking.
ID
    The number of this connection.
INFO
    The line of CLIENT LIST for this connection.
KILL <ip:port>
    Close the connection that comes from there.
KILL <option> <value> [<option> <value> ...]
    Close connections. Options:
    * ADDR <ip:port> | LADDR <ip:port>
      By the peer's address, by the address that it connected to.
    * ID <client-id> | TYPE <type> | USER <name>
      By number, by type (NORMAL, MASTER, REPLICA, PUBSUB), by user.
    * SKIPME (YES|NO)
      Leave this connection open (default: yes).
LIST [TYPE <type> | ID <client-id> ...]
    A line for each connection.
NO-EVICT (ON|OFF)
    Keep this connection from being evicted.
NO-TOUCH (ON|OFF)
    Let the reads of this connection leave the keys' access times and frequencies as they are.
PAUSE <milliseconds> [WRITE|ALL]
    Let commands, or only those that write, wait.
REPLY (ON|OFF|SKIP)
    Whether this connection gets replies.
SETINFO (LIB-NAME|LIB-VER) <value>
    Say which client library this is.
SETNAME <name>
    Give this connection a name.
TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> ...] [OPTIN] [OPTOUT] [NOLOOP]
    Tell this connection, or another one, of the keys that change.
TRACKINGINFO
    How this connection tracks keys.
UNBLOCK <client-id> [TIMEOUT|ERROR]
    Wake the connection out of a blocking command.
UNPAUSE
    End a pause."""


@command("CLIENT|ID", arity=2, flags=OWN)
def client_id(ctx: Client) -> int:
    return ctx.id


@command("CLIENT|GETNAME", arity=2, flags=OWN)
def client_getname(ctx: Client) -> bytes | None:
    return ctx.name or None


@command("CLIENT|SETNAME", arity=3, flags=OWN)
def client_setname(ctx: Client, name: bytes) -> SimpleString:
    ctx.name = checked_name(name)
    return OK


@command("CLIENT|SETINFO", arity=4, flags=OWN)
def client_setinfo(ctx: Client, attribute: bytes, value: bytes) -> SimpleString:
    """Redis has it since 7.2; client libraries send it to any server."""
    word = attribute.lower()
    if word == b"lib-name":
        ctx.lib_name = checked_name(value, "lib-name")
    elif word == b"lib-ver":
        ctx.lib_ver = checked_name(value, "lib-ver")
    else:
        shown = attribute.decode("utf-8", "surrogateescape")
        raise CommandError(f"ERR Unrecognized option '{shown}'")
    return OK


@command("CLIENT|INFO", arity=2, flags=OWN, tips=("nondeterministic_output",))
def client_info(ctx: Client) -> Verbatim:
    return Verbatim(b"txt", client_line(ctx))


@command("CLIENT|LIST", arity=-2, flags=OTHERS, tips=("nondeterministic_output",))
def client_list(ctx: Client, *words: bytes) -> Verbatim:
    clients: dict[int, Client] = ctx.server.clients
    chosen: Iterable[Client] = clients.values()
    if words:
        option = words[0].lower()
        if option == b"type" and len(words) == 2:
            chosen = chosen_clients(ctx, {b"type": checked_type(words[1]), b"skipme": False})
        elif option == b"id" and len(words) > 1:
            ids = [integer(word, "ERR Invalid client ID") for word in words[1:]]
            chosen = [clients[number] for number in ids if number in clients]
        else:
            raise CommandError(SYNTAX_ERROR)
    return Verbatim(b"txt", b"".join([client_line(client) for client in chosen]))


def checked_type(name: bytes) -> bytes:
    """A class of clients, in lower case."""
    lower = name.lower()
    if lower not in CLIENT_TYPES:
        raise CommandError(f"ERR Unknown client type '{name.decode('utf-8', 'surrogateescape')}'")
    return lower


@command("CLIENT|KILL", arity=-3, flags=OTHERS)
def client_kill(ctx: Client, *words: bytes) -> SimpleString | int:
    if len(words) == 1:
        found = chosen_clients(ctx, {b"addr": words[0], b"skipme": False})
        if not found:
            raise CommandError("ERR No such client")
        ctx.server.kill(found[:1])
        return OK
    if len(words) % 2:
        raise CommandError(SYNTAX_ERROR)
    wanted: dict[bytes, object] = {b"skipme": True}
    for option, value in zip(words[::2], words[1::2], strict=True):
        wanted[option.lower()] = filter_value(ctx, option.lower(), value)
    found = chosen_clients(ctx, wanted)
    if found:
        ctx.server.kill(found)
    return len(found)


def filter_value(ctx: Client, word: bytes, value: bytes) -> object:
    """What CLIENT KILL asks of a client, by the word of the option."""
    if word == b"id":
        return kill_id(value)
    if word in (b"addr", b"laddr"):
        return value
    if word == b"type":
        return checked_type(value)
    if word == b"user":
        user = ctx.server.users.get(value)
        if user is None:
            raise CommandError(f"ERR No such user '{value.decode('utf-8', 'surrogateescape')}'")
        return user
    if word == b"maxage":  # since Redis 7.4
        seconds = integer(value, "ERR maxage is not an integer or out of range")
        if seconds <= 0:
            raise CommandError("ERR maxage should be greater than 0")
        return seconds
    if word == b"skipme" and value.lower() in (b"yes", b"no"):
        return value.lower() == b"yes"
    raise CommandError(SYNTAX_ERROR)


def kill_id(value: bytes) -> int:
    """A client's number."""
    number = integer(value, "ERR client-id should be greater than 0")
    if number < 1:
        raise CommandError("ERR client-id should be greater than 0")
    return number


@command("CLIENT|PAUSE", arity=-3, flags=OTHERS)
def client_pause(ctx: Client, timeout: bytes, *mode: bytes) -> SimpleString:
    writes_only = False
    if len(mode) > 1:
        raise CommandError(SYNTAX_ERROR)
    if mode:
        if mode[0].lower() not in (b"write", b"all"):
            raise CommandError("ERR CLIENT PAUSE mode must be WRITE or ALL")
        writes_only = mode[0].lower() == b"write"
    error = "ERR timeout is not an integer or out of range"
    timeout_ms = integer(timeout, error)
    if timeout_ms < 0:
        raise CommandError("ERR timeout is negative")
    if int(time.time() * 1000) + timeout_ms >= 1 << 63:
        raise CommandError(error)
    ctx.server.pause(timeout_ms, writes_only)
    return OK


@command("CLIENT|UNPAUSE", arity=2, flags=OTHERS)
def client_unpause(ctx: Client) -> SimpleString:
    ctx.server.unpause()
    return OK


@command("CLIENT|UNBLOCK", arity=-3, flags=OTHERS)
def client_unblock(ctx: Client, number: bytes, *reason: bytes) -> int:
    """As since Redis 7.2, what CLIENT PAUSE holds goes on waiting; 7.0 answers it and runs it all the same."""
    if len(reason) > 1:
        raise NamingError("ERR unknown subcommand or wrong number of arguments for '{}'. Try CLIENT HELP.")
    if reason and reason[0].lower() not in (b"timeout", b"error"):
        raise CommandError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    client = ctx.server.clients.get(integer(number))
    outcome: CommandError | None = None
    if reason and reason[0].lower() == b"error":
        outcome = CommandError("UNBLOCKED client unblocked via CLIENT UNBLOCK")
    return int(client is not None and ctx.server.blocking.unblock(client, outcome))


@command("CLIENT|REPLY", arity=3, flags=OWN)
def client_reply(ctx: Client, mode: bytes) -> SimpleString | Marker:
    word = mode.lower()
    if word == b"on":
        ctx.reply_mode = REPLY_ON
        return OK
    if word == b"off":
        ctx.reply_mode = REPLY_OFF
    elif word == b"skip":
        if ctx.reply_mode != REPLY_OFF:
            ctx.reply_mode = REPLY_SKIP_NEXT
    else:
        raise CommandError(SYNTAX_ERROR)
    return NO_REPLY


@command("CLIENT|NO-EVICT", arity=3, flags=OTHERS)
def client_no_evict(ctx: Client, mode: bytes) -> SimpleString:
    word = mode.lower()
    if word not in (b"on", b"off"):
        raise CommandError(SYNTAX_ERROR)
    ctx.no_evict = word == b"on"
    ctx.note_memory()
    return OK


@command("CLIENT|NO-TOUCH", arity=3, flags=OWN)
def client_no_touch(ctx: Client, mode: bytes) -> SimpleString:
    """Redis has it since 7.2."""
    word = mode.lower()
    if word not in (b"on", b"off"):
        raise CommandError(SYNTAX_ERROR)
    ctx.server.set_no_touch(ctx, word == b"on")
    return OK


@command("CLIENT|HELP", arity=2, flags=ANYTIME)
def client_help(ctx: Client) -> list[SimpleString]:
    return help_lines("CLIENT", HELP.splitlines())

"""CLIENT TRACKING and what belongs to it: server-assisted client side caching (dispatch/tracking.py)."""

from __future__ import annotations

from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import LOADING, NOSCRIPT, STALE, in_category
from minikv.dispatch.tracking import BROADCAST, CACHING, NO_LOOP, OPT_IN, OPT_OUT, TRACKING
from minikv.errors import CommandError
from minikv.protocol.reply import OK, Set, SimpleString

command = in_category("connection")

OWN = LOADING | STALE | NOSCRIPT
OPTIONS = {b"bcast": BROADCAST, b"optin": OPT_IN, b"optout": OPT_OUT, b"noloop": NO_LOOP}


@command("CLIENT|TRACKING", arity=-3, flags=OWN)
def client_tracking(ctx: Client, status: bytes, *words: bytes) -> SimpleString:
    redirect, options, prefixes = read_options(ctx, words)
    word = status.lower()
    if word == b"on":
        ctx.server.tracking.turn_on(ctx, redirect, options, prefixes)
    elif word == b"off":
        ctx.server.tracking.turn_off(ctx)
    else:
        raise CommandError(SYNTAX_ERROR)
    ctx.note_memory()
    return OK


def read_options(ctx: Client, words: tuple[bytes, ...]) -> tuple[int, int, list[bytes]]:
    """REDIRECT's client, the flags, the prefixes."""
    redirect = options = place = 0
    prefixes = []
    while place < len(words):
        word = words[place].lower()
        place += 1
        if word in OPTIONS:
            options |= OPTIONS[word]
        elif word in (b"redirect", b"prefix") and place < len(words):
            if word == b"prefix":
                prefixes.append(words[place])
            elif redirect:
                raise CommandError("ERR A client can only redirect to a single other client")
            else:
                redirect = integer(words[place])
                if redirect not in ctx.server.clients:
                    raise CommandError("ERR The client ID you want redirect to does not exist")
            place += 1
        else:
            raise CommandError(SYNTAX_ERROR)
    return redirect, options, prefixes


@command("CLIENT|CACHING", arity=3, flags=OWN)
def client_caching(ctx: Client, mode: bytes) -> SimpleString:
    tracker = ctx.tracker
    if tracker is None or not tracker.flags & TRACKING:
        raise CommandError(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
            "enabled"
        )
    word = mode.lower()
    if word not in (b"yes", b"no"):
        raise CommandError(SYNTAX_ERROR)
    if not tracker.flags & (OPT_IN if word == b"yes" else OPT_OUT):
        needed = (
            "YES is only valid when tracking is enabled in OPTIN"
            if word == b"yes"
            else ("NO is only valid when tracking is enabled in OPTOUT")
        )
        raise CommandError(f"ERR CLIENT CACHING {needed} mode.")
    tracker.flags |= CACHING
    tracker.is_spent = ctx.in_exec
    return OK


@command("CLIENT|GETREDIR", arity=2, flags=OWN)
def client_getredir(ctx: Client) -> int:
    tracker = ctx.tracker
    return tracker.redirect if tracker is not None and tracker.flags & TRACKING else -1


@command("CLIENT|TRACKINGINFO", arity=2, flags=OWN)
def client_trackinginfo(ctx: Client) -> dict[bytes, object]:
    tracker = ctx.tracker
    return {
        b"flags": Set(tracker.words if tracker is not None else [b"off"]),
        b"redirect": client_getredir(ctx),
        b"prefixes": sorted(tracker.prefixes) if tracker is not None else [],
    }

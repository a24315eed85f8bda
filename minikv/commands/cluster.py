"""CLUSTER and what belongs to it: minikv answers as a server whose cluster mode is off."""

from __future__ import annotations

from typing import NoReturn

from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, FAST, LOADING, NO_ASYNC_LOADING, NOSCRIPT, STALE, command, container
from minikv.errors import CommandError

CLUSTER = container("CLUSTER", arity=-2)

CHANGES = ADMIN | STALE | NO_ASYNC_LOADING
VARYING = ("nondeterministic_output",)

# Subcommand, arity, flags, tips.
SUBCOMMANDS = (
    ("ADDSLOTS", -3, CHANGES, ()),
    ("ADDSLOTSRANGE", -4, CHANGES, ()),
    ("BUMPEPOCH", 2, CHANGES, VARYING),
    ("COUNT-FAILURE-REPORTS", 3, ADMIN | STALE, VARYING),
    ("COUNTKEYSINSLOT", 3, STALE, ()),
    ("DELSLOTS", -3, CHANGES, ()),
    ("DELSLOTSRANGE", -4, CHANGES, ()),
    ("FAILOVER", -2, CHANGES, ()),
    ("FLUSHSLOTS", 2, CHANGES, ()),
    ("FORGET", 3, CHANGES, ()),
    ("GETKEYSINSLOT", 4, STALE, VARYING),
    ("HELP", 2, LOADING | STALE, ()),
    ("INFO", 2, STALE, VARYING),
    ("KEYSLOT", 3, STALE, ()),
    ("LINKS", 2, STALE, VARYING),
    ("MEET", -4, CHANGES, ()),
    ("MYID", 2, STALE, ()),
    ("NODES", 2, STALE, VARYING),
    ("REPLICAS", 3, ADMIN | STALE, VARYING),
    ("REPLICATE", 3, CHANGES, ()),
    ("RESET", -2, ADMIN | NOSCRIPT | STALE, ()),
    ("SAVECONFIG", 2, CHANGES, ()),
    ("SET-CONFIG-EPOCH", 3, CHANGES, ()),
    ("SETSLOT", -4, CHANGES, ()),
    ("SHARDS", 2, STALE, VARYING),
    ("SLAVES", 3, ADMIN | STALE, VARYING),
    ("SLOTS", 2, STALE, VARYING),
)


@command("ASKING", arity=1, flags=FAST, categories="connection")
@command("READONLY", arity=1, flags=LOADING | STALE | FAST, categories="connection")
@command("READWRITE", arity=1, flags=LOADING | STALE | FAST, categories="connection")
def disabled(ctx: Client, *args: bytes) -> NoReturn:
    raise CommandError("ERR This instance has cluster support disabled")


for _name, _arity, _flags, _tips in SUBCOMMANDS:
    command(f"CLUSTER|{_name}", arity=_arity, flags=_flags, tips=_tips)(disabled)

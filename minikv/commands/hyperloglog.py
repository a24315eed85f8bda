# cython: language_level=3
# distutils: extra_compile_args = -O1
"""Commands on HyperLogLogs: strings that count different elements."""

from __future__ import annotations

from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, DENYOOM, FAST, MAY_REPLICATE, READONLY, WRITE, KeySpec, in_category
from minikv.errors import CommandError
from minikv.keyspace.hyperloglog import HyperLogLog, cardinality_of, no_values
from minikv.keyspace.registers import self_test
from minikv.protocol.reply import OK, SimpleString

command = in_category("hyperloglog")


@command("PFADD", arity=-2, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def pfadd(ctx: Client, key: bytes, *elements: bytes) -> int:
    sketch = HyperLogLog.to_write(ctx.db, key)
    changes = sketch.add(elements, ctx.server.config.hll_sparse_max_bytes)
    if changes:
        sketch.notify(b"pfadd")
    return 1 if changes else 0


@command("PFCOUNT", arity=-2, flags=READONLY | MAY_REPLICATE, keys=(1, -1, 1), key_flags="RW access")
def pfcount(ctx: Client, *keys: bytes) -> int:
    if len(keys) > 1:
        return cardinality_of(merged(ctx, keys)[0])
    sketch = HyperLogLog.at(ctx.db, keys[0])
    return 0 if sketch is None else sketch.cardinality()


@command(
    "PFMERGE",
    arity=-2,
    flags=WRITE | DENYOOM,
    keys=(1, -1, 1),
    keyspecs=[
        KeySpec("RW access insert", ("index", 1), ("range", 0, 1, 0)),
        KeySpec("RO access", ("index", 2), ("range", -1, 1, 0)),
    ],
)
def pfmerge(ctx: Client, destination: bytes, *sources: bytes) -> SimpleString:
    values, dense = merged(ctx, (destination, *sources))
    sketch = HyperLogLog.to_write(ctx.db, destination)
    sketch.raise_to(values, dense, ctx.server.config.hll_sparse_max_bytes)
    sketch.notify(b"pfadd")
    return OK


def merged(ctx: Client, keys: tuple[bytes, ...]) -> tuple[bytearray, bool]:
    """The registers of all keys together, one byte for each, and whether one of the keys is dense."""
    values = no_values()
    dense = False
    for key in keys:
        sketch = HyperLogLog.at(ctx.db, key)
        if sketch is not None:
            sketch.merge_into(values)
            dense = dense or sketch.is_dense()
    return values, dense


@command("PFDEBUG", arity=3, flags=WRITE | DENYOOM | ADMIN, keys=(2, 2, 1), key_flags="RW access")
def pfdebug(ctx: Client, word: bytes, key: bytes) -> object:
    sketch = HyperLogLog.at(ctx.db, key, False)
    if sketch is None:
        raise CommandError("ERR The specified key does not exist")
    sketch.make_raw()
    name = word.upper()
    if name == b"GETREG":
        sketch.to_dense()
        return sketch.registers()
    if name == b"DECODE":
        if sketch.is_dense():
            raise CommandError("ERR HLL encoding is not sparse")
        return b" ".join([spelled(*run) for run in sketch.runs()])
    if name == b"ENCODING":
        return SimpleString(b"dense" if sketch.is_dense() else b"sparse")
    if name == b"TODENSE":
        return 1 if sketch.to_dense() else 0
    raise CommandError(f"ERR Unknown PFDEBUG subcommand '{word.decode('utf-8', 'surrogateescape')}'")


def spelled(width: int, length: int, value: int) -> bytes:
    """A run as PFDEBUG DECODE shows it: `v:value,length`, or zeros, `z:` in one byte and `Z:` in two."""
    return b"v:%d,%d" % (value, length) if value else b"%c:%d" % (b"zZ"[width - 1], length)


@command("PFSELFTEST", arity=1, flags=ADMIN)
def pfselftest(ctx: Client) -> SimpleString:
    failure = self_test()
    if failure:
        raise CommandError(f"TESTFAILED {failure}")
    return OK

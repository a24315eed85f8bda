# cython: language_level=3
# distutils: extra_compile_args = -O1
"""Commands on the bits of strings.

A value may be 512 MB, so nothing here reads more of it than the range asked for, and long ranges are worked through in
chunks. Bit 0 is the highest bit of the first byte.
"""

from collections.abc import Iterator

from minikv.algorithms import bits
from minikv.dispatch.arguments import INT64_MAX, SYNTAX_ERROR, clamp_range, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, KeySpec, in_category
from minikv.errors import CommandError
from minikv.keyspace import RAW
from minikv.keyspace.events import EVENT_STRING

command = in_category("bitmap")

CHUNK = 256 * 1024  # bytes; several of them fit a second-level cache
MISSING = -1

BIT_OFFSET_ERROR = "ERR bit offset is not an integer or out of range"
BIT_VALUE_ERROR = "ERR bit is not an integer or out of range"


def bit_offset(ctx: Client, text: bytes) -> int:
    """A bit offset in a string of the allowed size."""
    offset = integer(text, BIT_OFFSET_ERROR)
    if not 0 <= offset < 8 * ctx.server.config.proto_max_bulk_len:
        raise CommandError(BIT_OFFSET_ERROR)
    return offset


def chunks(ctx: Client, key: bytes, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """The bytes from start to stop, in pieces, each with its offset."""
    for offset in range(start, stop, CHUNK):
        yield offset, ctx.db.get_range(key, offset, min(offset + CHUNK, stop))


def clamp_bit_range(first: int, last: int, unit: bytes, length: int) -> tuple[int, int]:
    """A range of Redis in bytes or bits, as half-open bit offsets."""
    if unit == b"BIT":
        return clamp_range(first, last, 8 * length)
    start, stop = clamp_range(first, last, length)
    return 8 * start, 8 * stop


def range_unit(text: bytes) -> bytes:
    unit = text.upper()
    if unit not in (b"BYTE", b"BIT"):
        raise CommandError(SYNTAX_ERROR)
    return unit


# Single bits


@command("GETBIT", arity=3, flags=READONLY | FAST, key_flags="RO access")
def getbit(ctx: Client, key: bytes, offset: bytes) -> int:
    place, shift = divmod(bit_offset(ctx, offset), 8)
    if place >= ctx.db.strlen(key):
        return 0
    return ctx.db.get_range(key, place, place + 1)[0] >> (7 - shift) & 1


@command("SETBIT", arity=4, flags=WRITE | DENYOOM, key_flags="RW access update")
def setbit(ctx: Client, key: bytes, offset: bytes, value: bytes) -> int:
    place, shift = divmod(bit_offset(ctx, offset), 8)
    bit = integer(value, BIT_VALUE_ERROR)
    if bit not in (0, 1):
        raise CommandError(BIT_VALUE_ERROR)
    mask = 0x80 >> shift
    stored = ctx.db.get_range(key, place, place + 1)
    byte = stored[0] if stored else 0
    changed = byte | mask if bit else byte & ~mask
    if changed != byte or not stored:
        ctx.db.set_range(key, place, b"%c" % changed)
        ctx.db.notify(EVENT_STRING, b"setbit", key)
    else:
        ctx.db.make_raw(key)
    return 1 if byte & mask else 0


# Count and search


@command("BITCOUNT", arity=-2, flags=READONLY, key_flags="RO access")
def bitcount(ctx: Client, key: bytes, *limits: bytes) -> int:
    length = ctx.db.strlen(key)
    if length == 0 and ctx.db.lookup(key, False, False) == MISSING:
        return 0
    if not limits:
        return count_bits(ctx, key, 0, 8 * length)
    if len(limits) > 3 or len(limits) == 1:
        raise CommandError(SYNTAX_ERROR)
    first, last = integer(limits[0]), integer(limits[1])
    if first < 0 and last < 0 and first > last:
        return 0
    unit = range_unit(limits[2]) if len(limits) == 3 else b"BYTE"
    return count_bits(ctx, key, *clamp_bit_range(first, last, unit, length))


def count_bits(ctx: Client, key: bytes, start: int, stop: int) -> int:
    """Set bits between two bit offsets."""
    first, last = start // 8, (stop + 7) // 8
    total = sum(bits.count_ones(data) for _, data in chunks(ctx, key, first, last))
    if start % 8:
        total -= (ctx.db.get_range(key, first, first + 1)[0] >> (8 - start % 8)).bit_count()
    if stop % 8:
        total -= (ctx.db.get_range(key, last - 1, last)[0] & (0xFF >> stop % 8)).bit_count()
    return total


@command("BITPOS", arity=-3, flags=READONLY, key_flags="RO access")
def bitpos(ctx: Client, key: bytes, bit: bytes, *limits: bytes) -> int:
    wanted = integer(bit)
    if wanted not in (0, 1):
        raise CommandError("ERR The bit argument must be 1 or 0.")
    length = ctx.db.strlen(key)
    if length == 0 and ctx.db.lookup(key, False, False) == MISSING:
        return -1 if wanted else 0  # as if zeros followed for ever
    if len(limits) > 3:
        raise CommandError(SYNTAX_ERROR)
    first = integer(limits[0]) if limits else 0
    unit = range_unit(limits[2]) if len(limits) == 3 else b"BYTE"
    last = integer(limits[1]) if len(limits) >= 2 else INT64_MAX
    if first < 0 and last < 0:
        # Unlike other commands, this one moves both ends into the string before it compares them.
        size = 8 * length if unit == b"BIT" else length
        first, last = max(first + size, 0), max(last + size, 0)
    start, stop = clamp_bit_range(first, last, unit, length)
    found = find_bit(ctx, key, wanted, start, stop)
    if found == -1 and wanted == 0 and len(limits) < 2 and start < stop:
        return stop  # the first of the zeros that follow the string
    return found


def find_bit(ctx: Client, key: bytes, bit: int, start: int, stop: int) -> int:
    """Offset of the first such bit between two bit offsets, or -1."""
    hidden = b"\0" if bit else b"\xff"
    for offset, data in chunks(ctx, key, start // 8, (stop + 7) // 8):
        if start > 8 * offset:  # bits before the range must not be found
            mask = 0xFF >> start % 8
            data = b"%c" % (data[0] & mask | hidden[0] & ~mask) + data[1:]
        found = bits.find_bit(data, bit)
        if found >= 0:
            return 8 * offset + found if 8 * offset + found < stop else -1
    return -1


# Combine


@command(
    "BITOP",
    arity=-4,
    flags=WRITE | DENYOOM,
    keys=(2, -1, 1),
    keyspecs=[
        KeySpec("OW update", ("index", 2), ("range", 0, 1, 0)),
        KeySpec("RO access", ("index", 3), ("range", -1, 1, 0)),
    ],
)
def bitop(ctx: Client, operation: bytes, target: bytes, *sources: bytes) -> int:
    name = operation.upper()
    if name not in (b"AND", b"OR", b"XOR", b"NOT"):
        raise CommandError(SYNTAX_ERROR)
    if name == b"NOT" and len(sources) != 1:
        raise CommandError("ERR BITOP NOT must be called with a single source key.")
    longest = max([ctx.db.strlen(source) for source in sources])
    if longest:
        stops = range(CHUNK, longest + CHUNK, CHUNK)
        ctx.db.set(
            target,
            b"".join([combined(ctx, name, sources, stop - CHUNK, min(stop, longest)) for stop in stops]),
            encoding=RAW,
        )
    else:
        ctx.db.discard(target)
    return longest


def combined(ctx: Client, name: bytes, sources: tuple[bytes, ...], start: int, stop: int) -> bytearray:
    """The result of BITOP between two byte offsets."""
    result = bytearray(ctx.db.get_range(sources[0], start, stop))
    result.extend(bytes(stop - start - len(result)))
    if name == b"NOT":
        bits.invert(result)
        return result
    operation = {b"AND": bits.AND, b"OR": bits.OR, b"XOR": bits.XOR}[name]
    for source in sources[1:]:
        bits.combine(result, ctx.db.get_range(source, start, stop), operation)
    return result

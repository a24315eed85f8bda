# cython: language_level=3
"""Commands on the bits of strings.

A value may be 512 MB, so nothing here reads more of it than the range asked for, and long ranges are worked through in
chunks. Bit 0 is the highest bit of the first byte.
"""

from collections.abc import Iterator
from typing import NamedTuple

from minikv.algorithms import bits
from minikv.dispatch.arguments import INT64_MAX, INT64_MIN, NOT_AN_INTEGER, SYNTAX_ERROR, clamp_range, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, KeySpec, command
from minikv.errors import CommandError
from minikv.keyspace import RAW

# For so many fields a string of one chunk is read as a whole.
MANY_FIELDS = 8
CHUNK = 256 * 1024  # bytes; several of them fit a second-level cache
MISSING = -1

BIT_OFFSET_ERROR = "ERR bit offset is not an integer or out of range"
BIT_VALUE_ERROR = "ERR bit is not an integer or out of range"
FIELD_TYPE_ERROR = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."


def bit_offset(ctx: Client, text: bytes) -> int:
    """The place of a bit in a string that may still be stored."""
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


@command("GETBIT", arity=3, flags=READONLY | FAST, keys=(1, 1, 1), key_flags="RO access", categories="bitmap")
def getbit(ctx: Client, key: bytes, offset: bytes) -> int:
    place, shift = divmod(bit_offset(ctx, offset), 8)
    if place >= ctx.db.strlen(key):
        return 0
    return ctx.db.get_range(key, place, place + 1)[0] >> (7 - shift) & 1


@command("SETBIT", arity=4, flags=WRITE | DENYOOM, keys=(1, 1, 1), key_flags="RW access update", categories="bitmap")
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
    else:
        ctx.db.make_raw(key)
    return 1 if byte & mask else 0


# Count and search


@command("BITCOUNT", arity=-2, flags=READONLY, keys=(1, 1, 1), key_flags="RO access", categories="bitmap")
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


@command("BITPOS", arity=-3, flags=READONLY, keys=(1, 1, 1), key_flags="RO access", categories="bitmap")
def bitpos(ctx: Client, key: bytes, bit: bytes, *limits: bytes) -> int:
    wanted = integer(bit)
    if wanted not in (0, 1):
        raise CommandError("ERR The bit argument must be 1 or 0.")
    length = ctx.db.strlen(key)
    if length == 0 and ctx.db.lookup(key, False, False) == MISSING:
        return -1 if wanted else 0  # as if zeros went on for ever
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
        return stop  # the first of the zeros that go on behind the string
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
    categories="bitmap",
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
        ctx.db.delete(target)
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


# Bit fields


class FieldType(NamedTuple):
    """An integer of some bits: u1 to u63, i1 to i64."""

    signed: bool
    width: int

    def decode(self, number: int) -> int:
        """The value that the low bits of a number stand for."""
        number &= (1 << self.width) - 1
        return number - (1 << self.width) if self.signed and number >> (self.width - 1) else number

    def limits(self) -> tuple[int, int]:
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1


FIELD_TYPES = {b"u%d" % width: FieldType(False, width) for width in range(1, 64)}
FIELD_TYPES |= {b"i%d" % width: FieldType(True, width) for width in range(1, 65)}


class FieldOperation(NamedTuple):
    """One GET, SET or INCRBY of BITFIELD; offset in bits."""

    name: bytes
    type: FieldType
    offset: int
    operand: int
    overflow: bytes

    def last_byte(self) -> int:
        return (self.offset + self.type.width - 1) // 8

    def fit(self, number: int) -> int | None:
        """The number in the field's range: itself, wrapped, saturated, or None to fail."""
        low, high = self.type.limits()
        if low <= number <= high:
            return number
        if self.overflow == b"FAIL":
            return None
        if self.overflow == b"WRAP":
            return self.type.decode(number)
        if self.name == b"SET" and (not self.type.signed or high - number > INT64_MAX):
            return high  # where Redis compares 64-bit numbers, these have gone round to the other end
        return low if number < low else high


@command(
    "BITFIELD",
    arity=-2,
    flags=WRITE | DENYOOM,
    keys=(1, 1, 1),
    key_flags="RW access update variable_flags",
    categories="bitmap",
)
def bitfield(ctx: Client, key: bytes, *words: bytes) -> list[int | None]:
    operations = field_operations(ctx, words)
    writes = [operation for operation in operations if operation.name != b"GET"]
    if not writes:
        return read_fields(ctx, key, operations)
    dirty = ctx.keyspace.dirty
    grown = make_room(ctx, key, max(operation.last_byte() for operation in writes))
    results: list[int | None] = []
    changes = 0
    for operation in operations:
        old = read_field(ctx, key, operation)
        if operation.name == b"GET":
            results.append(old)
            continue
        new = operation.fit(operation.operand if operation.name == b"SET" else old + operation.operand)
        if new is None:
            results.append(None)
            continue
        results.append(old if operation.name == b"SET" else new)
        if new != old:
            write_field(ctx, key, operation, new)
        if new != old or grown:
            changes += 1
    ctx.keyspace.dirty = dirty + changes
    return results


@command("BITFIELD_RO", arity=-2, flags=READONLY | FAST, keys=(1, 1, 1), key_flags="RO access", categories="bitmap")
def bitfield_ro(ctx: Client, key: bytes, *words: bytes) -> list[int | None]:
    operations = field_operations(ctx, words)
    if any(operation.name != b"GET" for operation in operations):
        raise CommandError("ERR BITFIELD_RO only supports the GET subcommand")
    return read_fields(ctx, key, operations)


def field_operations(ctx: Client, words: tuple[bytes, ...]) -> list[FieldOperation]:
    """All operations, checked before the first is carried out."""
    operations = []
    overflow = b"WRAP"
    i = 0
    while i < len(words):
        name = words[i].upper()
        behind = len(words) - i - 1
        if name == b"OVERFLOW" and behind >= 1:
            overflow = words[i + 1].upper()
            if overflow not in (b"WRAP", b"SAT", b"FAIL"):
                raise CommandError("ERR Invalid OVERFLOW type specified")
            i += 2
        elif (name == b"GET" and behind >= 2) or (name in (b"SET", b"INCRBY") and behind >= 3):
            field_type = FIELD_TYPES.get(words[i + 1])
            if field_type is None:
                raise CommandError(FIELD_TYPE_ERROR)
            offset = field_offset(ctx, words[i + 2], field_type)
            operand = 0 if name == b"GET" else integer(words[i + 3], NOT_AN_INTEGER)
            operations.append(FieldOperation(name, field_type, offset, operand, overflow))
            i += 3 if name == b"GET" else 4
        else:
            raise CommandError(SYNTAX_ERROR)
    return operations


def field_offset(ctx: Client, text: bytes, field_type: FieldType) -> int:
    """`17` is a bit, `#17` the 18th of fields that lie side by side."""
    if text[:1] != b"#":
        return bit_offset(ctx, text)
    offset = integer(text[1:], BIT_OFFSET_ERROR) * field_type.width
    if not INT64_MIN <= offset <= INT64_MAX:
        raise CommandError(BIT_OFFSET_ERROR)
    return bit_offset(ctx, b"%d" % offset)


def make_room(ctx: Client, key: bytes, place: int) -> bool:
    """Let the string reach up to this byte, ready for changes; whether that made it longer."""
    if ctx.db.get_range(key, place, place + 1):
        ctx.db.make_raw(key)
        return False
    ctx.db.set_range(key, place, b"\0")
    return True


def read_fields(ctx: Client, key: bytes, operations: list[FieldOperation]) -> list[int | None]:
    length = ctx.db.strlen(key)  # counts the hit or miss, checks the type
    if len(operations) < MANY_FIELDS or length > CHUNK:
        return [read_field(ctx, key, operation) for operation in operations]
    data = ctx.db.get_range(key, 0, length)
    return [field_in(data[operation.offset // 8 : operation.last_byte() + 1], operation) for operation in operations]


def read_field(ctx: Client, key: bytes, operation: FieldOperation) -> int:
    return field_in(ctx.db.get_range(key, operation.offset // 8, operation.last_byte() + 1), operation)


def field_in(data: bytes, operation: FieldOperation) -> int:
    """The value in the bytes that a field touches; what is behind the end of the string is zero."""
    first, last = operation.offset // 8, operation.last_byte()
    behind = 8 * (last + 1) - operation.offset - operation.type.width
    return operation.type.decode(int.from_bytes(data.ljust(last + 1 - first, b"\0"), "big") >> behind)


def write_field(ctx: Client, key: bytes, operation: FieldOperation, number: int) -> None:
    """Store a number of the field's range; the string is long enough."""
    first, last = operation.offset // 8, operation.last_byte()
    behind = 8 * (last + 1) - operation.offset - operation.type.width
    mask = (1 << operation.type.width) - 1
    old = int.from_bytes(ctx.db.get_range(key, first, last + 1), "big")
    new = old & ~(mask << behind) | (number & mask) << behind
    ctx.db.set_range(key, first, new.to_bytes(last + 1 - first, "big"))

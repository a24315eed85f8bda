# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""The registers of a HyperLogLog, dense and sparse, and what they say about the number of elements.

An element is hashed to 64 bits. The lowest 14 choose a register; the number of zeros before the first one in the rest,
plus 1, is what the register must be at least. Bytes, hash and estimate are those of Redis 7.0, so that a value goes
from one server to the other and means the same there: see registers.pxd for the layout.

Hash: MurmurHash64A (Austin Appleby, public domain). Estimate: Otmar Ertl, "New cardinality estimation algorithms for
HyperLogLog sketches", arXiv:1702.01284, algorithm 6.
"""

import random

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.math import INFINITY, llroundl, sqrt
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy, memmove, memset

HASH_SEED = cython.declare(uint64_t, 0xADC83B19)
HASH_FACTOR = cython.declare(uint64_t, 0xC6A4A7935BD1E995)
ALPHA = cython.declare(cython.double, 0.721347520444481703680)  # 1 / (2 ln 2)
# Runs looked at for neighbours that have become equal, from the one before the change on.
MERGED_RUNS = cython.declare(cython.int, 5)

STANDARD_ERROR = 1.04 / 128  # 1.04 / sqrt(REGISTERS)
TEST_ROUNDS = 10
TEST_ELEMENTS = 1 << 16
TEST_SPARSE_MAX = 3000  # bytes; the sketch becomes dense on the way
ERRORS_ALLOWED = 4  # standard errors; the elements of the test are always the same

EMPTY_SKETCH = b"HYLL\x01" + bytes(11) + b"\x7f\xff"  # sparse, one run of zeros


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def hash_of(data: cython.pointer[cython.const[uint8_t]], length: uint64_t) -> uint64_t:
    """MurmurHash64A."""
    hash_: uint64_t = HASH_SEED ^ (length * HASH_FACTOR)
    end: cython.pointer[cython.const[uint8_t]] = data + (length & ~cython.cast(uint64_t, 7))
    word: uint64_t = 0
    while data < end:
        memcpy(cython.address(word), data, 8)
        word *= HASH_FACTOR
        word ^= word >> 47
        hash_ = (hash_ ^ (word * HASH_FACTOR)) * HASH_FACTOR
        data += 8
    if length & 7:
        word = 0
        memcpy(cython.address(word), data, length & 7)
        hash_ = (hash_ ^ word) * HASH_FACTOR
    hash_ = (hash_ ^ (hash_ >> 47)) * HASH_FACTOR
    return hash_ ^ (hash_ >> 47)


def place_of(element: bytes, value: cython.pointer[uint32_t]) -> uint32_t:
    """Where an element goes: its register, and the value for it."""
    hash_: uint64_t = hash_of(
        cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(element)), PyBytes_GET_SIZE(element)
    )
    rest: uint64_t = hash_ >> INDEX_BITS | cython.cast(uint64_t, 1) << RANK_BITS
    value[0] = 1
    while not rest & 1:
        rest >>= 1
        value[0] += 1
    return cython.cast(uint32_t, hash_ & (REGISTERS - 1))


def is_sketch(data: cython.pointer[cython.const[uint8_t]], length: uint64_t) -> cython.bint:
    """True for what looks like a HyperLogLog; the runs of a sparse one are not looked at."""
    if length < SKETCH_START or memcmp(data, b"HYLL", 4):
        return False
    return data[SKETCH_FORM] == SPARSE or (data[SKETCH_FORM] == DENSE and length == DENSE_SIZE)


# Sparse


@cython.cfunc
def sparse_raise(sketch: bytearray, index: uint32_t, value: uint32_t, most: uint64_t) -> cython.int:
    data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch))
    size: uint64_t = PyByteArray_GET_SIZE(sketch)
    at: uint64_t = SKETCH_START
    before: uint64_t = SKETCH_START  # the run in front of the one that holds the register
    first: uint32_t = 0
    length: uint32_t = 0
    old: uint32_t = 0
    width: uint32_t = 0
    split: uint8_t[LONGEST_SPLIT]
    new_width: uint32_t
    if value <= HIGHEST_SPARSE:
        while at < size:
            width = read_run(data + at, data + size, cython.address(length), cython.address(old))
            if index < first + length:
                break
            before = at
            at += width
            first += length
        if at >= size:
            return -1
        if old >= value:
            return 0
        new_width = split_run(split, index - first, first + length - 1 - index, old, value)
        if new_width <= width or size + new_width - width <= most:
            replace_run(sketch, at, width, split, new_width)
            merge_runs(sketch, before)
            return 1
    if not make_dense(sketch):
        return -1
    data = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch))
    dense_raise(data + SKETCH_START, index, value)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def split_run(
    out: cython.pointer[uint8_t], left: uint32_t, right: uint32_t, old: uint32_t, value: uint32_t
) -> uint32_t:
    """What a run of `old` becomes if one register, given how many of them are on either side, is raised; its size."""
    at: cython.pointer[uint8_t] = out
    if left:
        at = write_run(at, left, old)
    at = write_run(at, 1, value)
    if right:
        at = write_run(at, right, old)
    return cython.cast(uint32_t, at - out)


@cython.cfunc
@cython.exceptval(check=False)
def write_run(at: cython.pointer[uint8_t], length: uint32_t, value: uint32_t) -> cython.pointer[uint8_t]:
    length -= 1
    if value:
        at[0] = cython.cast(uint8_t, 0x80 | (value - 1) << 2 | length)
        return at + 1
    if length < SHORT_ZEROS:
        at[0] = cython.cast(uint8_t, length)
        return at + 1
    at[0] = cython.cast(uint8_t, 0x40 | length >> 8)
    at[1] = cython.cast(uint8_t, length & 255)
    return at + 2


@cython.cfunc
def replace_run(
    sketch: bytearray, at: uint64_t, width: uint32_t, split: cython.pointer[uint8_t], new_width: uint32_t
) -> cython.int:
    size: uint64_t = PyByteArray_GET_SIZE(sketch)
    new_size: uint64_t = size + new_width - width
    data: cython.pointer[uint8_t]
    if new_size > size:
        PyByteArray_Resize(sketch, new_size)
    data = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch))
    # A last run of two bytes may lack the second one.
    if at + width < size:
        memmove(data + at + new_width, data + at + width, size - at - width)
    memcpy(data + at, split, min(new_width, new_size - at))
    if new_size < size:
        PyByteArray_Resize(sketch, new_size)
    return 0


@cython.cfunc
def merge_runs(sketch: bytearray, at: uint64_t) -> cython.int:
    """Make one of two runs of the same value side by side, where one can hold both."""
    data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch))
    size: uint64_t = PyByteArray_GET_SIZE(sketch)
    step: cython.int
    both: uint32_t
    for step in range(MERGED_RUNS):
        if at >= size:
            break
        if not data[at] & 0x80:
            at += 1 if data[at] < 0x40 else 2
            continue
        if at + 1 < size and (data[at] ^ data[at + 1]) < LONGEST_RUN:
            both = (data[at] & 3) + (data[at + 1] & 3) + 2
            if both <= LONGEST_RUN:
                data[at] = cython.cast(uint8_t, (data[at] & 0xFC) | (both - 1))
                memmove(data + at + 1, data + at + 2, size - at - 2)
                size -= 1
                continue
        at += 1
    if size < cython.cast(uint64_t, PyByteArray_GET_SIZE(sketch)):
        PyByteArray_Resize(sketch, size)
    return 0


def make_dense(sketch: bytearray) -> cython.bint:
    """Make a sparse sketch dense; False if its runs are broken."""
    size: uint64_t = PyByteArray_GET_SIZE(sketch)
    values: uint8_t[REGISTERS]
    index: uint32_t
    data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch))
    memset(values, 0, REGISTERS)
    if not raise_all(values, data, size):
        return False
    PyByteArray_Resize(sketch, DENSE_SIZE)
    data = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch))
    data[SKETCH_FORM] = DENSE
    memset(data + SKETCH_START, 0, DENSE_SIZE - SKETCH_START)
    for index in range(REGISTERS):
        dense_raise(data + SKETCH_START, index, values[index])
    return True


# Both forms


def raise_register(sketch: bytearray, index: uint32_t, value: uint32_t, most: uint64_t) -> cython.int:
    """Raise a register. A sparse sketch may become dense: beyond `most` bytes, or by the value.

    Returns 1: it was raised, 0: it was as high already, -1: the runs of a sparse sketch are broken.
    """
    data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch))
    if data[SKETCH_FORM] == DENSE:
        return dense_raise(data + SKETCH_START, index, value)
    return sparse_raise(sketch, index, value, most)


def raise_all(
    values: cython.pointer[uint8_t], sketch: cython.pointer[cython.const[uint8_t]], length: uint64_t
) -> cython.bint:
    """Take the higher one of each register; False if the runs of a sparse sketch are broken."""
    at: cython.pointer[cython.const[uint8_t]] = sketch + SKETCH_START
    end: cython.pointer[cython.const[uint8_t]] = sketch + length
    index: uint32_t = 0
    step: uint32_t
    run: uint32_t = 0
    value: uint32_t = 0
    if sketch[SKETCH_FORM] == DENSE:
        for index in range(REGISTERS):
            values[index] = max(values[index], cython.cast(uint8_t, dense_get(at, index)))
        return True
    while at < end:
        at += read_run(at, end, cython.address(run), cython.address(value))
        if index + run > REGISTERS:
            return False
        for step in range(run):
            values[index + step] = max(values[index + step], cython.cast(uint8_t, value))
        index += run
    return index == REGISTERS


def count_values(
    counts: cython.pointer[int64_t], sketch: cython.pointer[cython.const[uint8_t]], length: uint64_t
) -> cython.bint:
    """Count how many registers have each value; False if the runs of a sparse sketch are broken."""
    at: cython.pointer[cython.const[uint8_t]] = sketch + SKETCH_START
    end: cython.pointer[cython.const[uint8_t]] = sketch + length
    index: uint32_t = 0
    run: uint32_t = 0
    value: uint32_t = 0
    memset(counts, 0, REGISTER_VALUES * cython.sizeof(int64_t))
    if sketch[SKETCH_FORM] == DENSE:
        for index in range(REGISTERS):
            counts[dense_get(at, index)] += 1
        return True
    while at < end:
        at += read_run(at, end, cython.address(run), cython.address(value))
        index += run
        if index > REGISTERS:
            return False
        counts[value] += run
    return index == REGISTERS


# Estimate


def estimate(counts: cython.pointer[cython.const[int64_t]]) -> int64_t:
    """The number of different elements, from how many registers have each value."""
    registers: cython.double = REGISTERS
    weight: cython.double = registers * tau((registers - counts[RANK_BITS + 1]) / registers)
    rounded: cython.double
    value: cython.int
    for value in range(RANK_BITS, 0, -1):
        weight += counts[value]
        weight *= 0.5
    weight += registers * sigma(counts[0] / registers)
    rounded = llroundl(ALPHA * registers * registers / weight)
    return cython.cast(int64_t, cython.cast(uint64_t, rounded))


@cython.cfunc
@cython.exceptval(check=False)
def sigma(x: cython.double) -> cython.double:
    """x + the sum of x^(2^k) * 2^(k-1) for k from 1: the correction for registers that are 0."""
    total: cython.double = x
    before: cython.double = -1.0
    factor: cython.double = 1.0
    if x == 1.0:
        return INFINITY
    while total != before:
        x *= x
        before = total
        total += x * factor
        factor += factor
    return total


@cython.cfunc
@cython.exceptval(check=False)
def tau(x: cython.double) -> cython.double:
    """A third of 1 - x - the sum of (1 - x^(2^-k))^2 * 2^-k for k from 1: that for registers as high as can be."""
    total: cython.double = 1.0 - x
    before: cython.double = -1.0
    factor: cython.double = 1.0
    if x == 0.0 or x == 1.0:
        return 0.0
    while total != before:
        x = sqrt(x)
        before = total
        factor *= 0.5
        total -= (1.0 - x) * (1.0 - x) * factor
    return total / 3.0


# Proof


def self_test() -> str:
    """Try registers and estimate; says what is wrong, if anything."""
    return test_registers() or test_estimate()


@cython.cfunc
def test_registers() -> str:
    """Dense registers keep any values, each its own."""
    sketch: bytearray
    wanted: bytes
    data: cython.pointer[uint8_t]
    index: uint32_t
    for _ in range(TEST_ROUNDS):
        sketch = bytearray(DENSE_SIZE)
        wanted = random.randbytes(REGISTERS)
        data = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch)) + SKETCH_START
        for index in range(REGISTERS):
            dense_raise(data, index, wanted[index] & 63)
        for index in range(REGISTERS):
            if dense_get(data, index) != wanted[index] & 63:
                return f"Register {index} should be {wanted[index] & 63} but is {dense_get(data, index)}"
    return ""


@cython.cfunc
def test_estimate() -> str:
    """Sparse and dense say the same, and that is true but for a few standard errors."""
    sparse: bytearray = bytearray(EMPTY_SKETCH)
    dense: bytearray = bytearray(EMPTY_SKETCH)
    index: uint32_t
    value: uint32_t = 0
    found: int64_t
    make_dense(dense)
    for number in range(1, TEST_ELEMENTS + 1):
        index = place_of(b"%d" % number, cython.address(value))
        raise_register(dense, index, value, 0)
        raise_register(sparse, index, value, TEST_SPARSE_MAX)
        if number & (number - 1) == 0:
            found = estimate_of(dense)
            if found != estimate_of(sparse):
                return f"Sparse and dense differ for {number} elements"
            if abs(found - number) > 1 + ERRORS_ALLOWED * STANDARD_ERROR * number:
                return f"{number} elements are estimated to be {found}"
    return ""


@cython.cfunc
def estimate_of(sketch: bytearray) -> int64_t:
    counts: int64_t[REGISTER_VALUES]
    count_values(
        counts, cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(sketch)), PyByteArray_GET_SIZE(sketch)
    )
    return estimate(counts)

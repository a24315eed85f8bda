# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The tail of a spread stream, as a file has it: large groups lie in tables, which stream_tail.pxd describes.

What is not in tables goes over as it is, in as few copies as the buffer allows. A StreamTail says at any time which
bytes come next, which rows come behind them, and what is to be looked at then:

    tail_fill      write bytes | write rows | tail_next
    tail_next      GROUPS .. ENTRIES, CONSUMERS, CONSUMER, OWNED, CONSUMER, OWNED .. GROUPS .. END

Nothing here is in need of the parent's memory, or of a heap. A table that does not fit its group is an error (EINVAL):
rows of no consumer, or fewer than there should be.
"""

import cython
from cython.cimports.libc.errno import EINVAL
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.arena import Spread
from cython.cimports.minikv.engine.chain import Node
from cython.cimports.minikv.engine.record import read_length, write_length


def tail_begin(
    tail: cython.pointer[StreamTail],
    base: cython.pointer[uint8_t],
    nodes: cython.pointer[cython.const[Node]],
    spreads: cython.pointer[cython.const[Spread]],
    start: cython.pointer[uint8_t],
    nbytes: uint64_t,
) -> cython.void:
    """Take up a tail of `nbytes`, which stay where they are until it is at its end."""
    tail.base = base
    tail.nodes = nodes
    tail.spreads = spreads
    tail.start = tail.done = start
    tail.end = start + nbytes
    tail.at = start + TAIL_MIN
    read_length(start + GROUPS_AT, cython.address(tail.groups))
    tail.nbytes = tail.left = 0
    tail.step = TAIL_GROUPS


def tail_fill(tail: cython.pointer[StreamTail], out: cython.pointer[uint8_t], room: uint64_t) -> uint64_t:
    """Write as much as there is room for, at least a row; returns how many bytes, 0 at the end or on an error."""
    written: uint64_t = 0
    nbytes: uint64_t
    while tail.error == 0:
        if tail.nbytes:
            nbytes = min(tail.nbytes, room - written)
            memcpy(out + written, tail.bytes, nbytes)
            written += nbytes
            tail.bytes += nbytes
            tail.nbytes -= nbytes
            if tail.nbytes:
                break
        elif tail.left:
            written += copy_rows(tail, out + written, room - written)
            if tail.left:
                break
        elif tail.step == TAIL_END:
            break
        else:
            tail_next(tail)
    return written


def tail_next(tail: cython.pointer[StreamTail]) -> cython.void:
    """Go on to the next bytes or rows."""
    if tail.step == TAIL_GROUPS:
        tail_groups(tail)
    elif tail.step == TAIL_ENTRIES:
        memcpy(tail.tables, tail.done + 1, TABLES * 4)
        tail.rows = rows_of(tail, tail.tables[0])
        put_count(tail, tail.spreads[tail.tables[0]].count)
        put_column(tail, tail.spreads[tail.tables[0]].count, PENDING_ROW, 0, PENDING_SIZE)
        tail.step = TAIL_CONSUMERS
    elif tail.step == TAIL_CONSUMERS:
        tail_consumers(tail)
    elif tail.step == TAIL_CONSUMER:
        tail_consumer(tail)
    elif tail.step == TAIL_OWNED:
        tail_owned(tail)


def tail_groups(tail: cython.pointer[StreamTail]) -> cython.void:
    """Everything up to the tables of the next large group, or to the end."""
    head: cython.pointer[uint8_t] = tail.end
    tail.step = TAIL_END
    while tail.groups and tail.step == TAIL_END:
        head = behind_head(tail.at)
        tail.at = behind_group(tail.at)
        tail.groups -= 1
        if head[0] == TABLES_MARK:
            tail.step = TAIL_ENTRIES
    if tail.step == TAIL_END:
        head = tail.end
    tail.bytes = tail.done
    tail.nbytes = head - tail.done
    tail.done = head


def tail_consumers(tail: cython.pointer[StreamTail]) -> cython.void:
    """The number of a large group's consumers."""
    put_count(tail, tail.spreads[tail.tables[2]].count)
    tail.rows = rows_of(tail, tail.tables[1])
    tail.consumers = rows_of(tail, tail.tables[2])
    tail.step = TAIL_CONSUMER


def tail_consumer(tail: cython.pointer[StreamTail]) -> cython.void:
    """The next consumer's name and time, or what is behind its group."""
    length: uint64_t = 0
    if has_row(tail, cython.address(tail.consumers)):
        tail.consumer = read_length(tail.base + tail.consumers.at, cython.address(length))
        tail.consumers.at = tail.consumer + length - tail.base
        tail.bytes = tail.consumer + OWNER_SIZE
        tail.nbytes = length - OWNER_SIZE
        tail.step = TAIL_OWNED
        return
    tail.done = tail.at
    tail.step = TAIL_GROUPS
    if has_row(tail, cython.address(tail.rows)):
        tail.error = EINVAL


def tail_owned(tail: cython.pointer[StreamTail]) -> cython.void:
    """The number and the IDs of the consumer's pending entries."""
    count: uint64_t = count_owned(tail)
    put_count(tail, count)
    put_column(tail, count, OWNED_ROW, OWNER_SIZE, PENDING_ID_SIZE)
    tail.step = TAIL_CONSUMER


def put_count(tail: cython.pointer[StreamTail], count: uint64_t) -> cython.void:
    tail.bytes = cython.address(tail.count[0])
    tail.nbytes = write_length(cython.address(tail.count[0]), count, COUNT_SIZE) - cython.address(tail.count[0])


def put_column(
    tail: cython.pointer[StreamTail], rows: uint64_t, width: uint32_t, column: uint32_t, size: uint32_t
) -> cython.void:
    tail.left = rows
    tail.width = width
    tail.column = column
    tail.column_size = size


def copy_rows(tail: cython.pointer[StreamTail], out: cython.pointer[uint8_t], room: uint64_t) -> uint64_t:
    """A column of the next rows, of as many as there is room for; returns its bytes."""
    start: cython.pointer[uint8_t] = out
    count: uint64_t
    _step: uint64_t
    row: cython.pointer[uint8_t]
    while tail.left:
        if not has_row(tail, cython.address(tail.rows)):
            tail.error = EINVAL
            break
        count = min(tail.left, (tail.rows.end - tail.rows.at) // tail.width, room // tail.column_size)
        if count == 0:
            break
        row = tail.base + tail.rows.at + tail.column
        for _step in range(count):
            memcpy(out, row, tail.column_size)
            out += tail.column_size
            row += tail.width
        room -= count * tail.column_size
        tail.rows.at += count * tail.width
        tail.left -= count
    return out - start


def rows_of(tail: cython.pointer[cython.const[StreamTail]], store: uint32_t) -> Rows:
    """All rows of a table."""
    rows: Rows
    rows.at = rows.end = 0
    rows.next = cython.cast(uint32_t, tail.spreads[store].head)
    return rows


def has_row(tail: cython.pointer[cython.const[StreamTail]], rows: cython.pointer[Rows]) -> cython.bint:
    """Make sure that there is a row at `at`; False behind the last."""
    node: cython.pointer[cython.const[Node]]
    if rows.at == rows.end:
        if rows.next == 0:
            return False
        node = cython.address(tail.nodes[rows.next])
        rows.at = node.body + node.start
        rows.end = node.body + node.end
        rows.next = node.next
    return True


def count_owned(tail: cython.pointer[cython.const[StreamTail]]) -> uint64_t:
    """How many of the next rows begin with the consumer's number."""
    rows: Rows = tail.rows
    count: uint64_t = 0
    while has_row(tail, cython.address(rows)) and memcmp(tail.base + rows.at, tail.consumer, OWNER_SIZE) == 0:
        rows.at += OWNED_ROW
        count += 1
    return count

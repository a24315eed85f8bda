"""Longest common subsequence of two strings: of several, the one that Redis returns.

The usual table has a row for each byte of one string and a column for each byte of the other; L(i, j) is the
length for the first i and the first j bytes. Neighbours differ by 0 or 1, so a row is one Python integer whose
bit j says that L grows from column j to j + 1, and a few operations on whole integers give the next row (Hyyro
2004). Compared with visiting all cells, this divides the work by the width of a machine word and the memory by
32.

Redis walks back from the far corner: equal bytes belong to the result; else it goes up if the length above is
greater, else left. Within a row the walk to the left ends at the first column whose bytes are equal or where L
grows. The row's `stops` integer marks these columns, so each row costs one step.

The shorter string makes the rows. If that is the second one, rows and columns are swapped, and with them the
rule for ties: the walk then ends where bytes are equal or where L does not grow from one row to the next.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Block(NamedTuple):
    """Bytes that are the same in both strings."""

    a_start: int
    b_start: int
    length: int


def lcs_length(a: bytes, b: bytes) -> int:
    """Length of the longest common subsequence."""
    across, down = (b, a) if len(a) <= len(b) else (a, b)
    full = (1 << len(across)) - 1
    last = full
    for _, _, last in rows(down, across):  # noqa: B007 -- it is read after the loop
        pass
    return (full ^ last).bit_count()


def lcs_blocks(a: bytes, b: bytes) -> list[Block]:
    """The subsequence that Redis returns, as blocks of adjacent bytes, last block first."""
    first_is_down = len(a) <= len(b)
    down, across = (a, b) if first_is_down else (b, a)
    full = (1 << len(across)) - 1
    stops: list[int] = []
    for equal, before, row in rows(down, across):
        # Of the inverted rows: full ^ row marks where L grows to the right, row - before where it grows downwards.
        stops.append(full ^ row | equal if first_is_down else full ^ (row - before & full) | equal)
    blocks: list[Block] = []
    for i, j in walk_back(stops, down, across):
        a_start, b_start = (i, j) if first_is_down else (j, i)
        if blocks and blocks[-1].a_start == a_start + 1 and blocks[-1].b_start == b_start + 1:
            blocks[-1] = Block(a_start, b_start, blocks[-1].length + 1)
        else:
            blocks.append(Block(a_start, b_start, 1))
    return blocks


def rows(down: bytes, across: bytes) -> Iterator[tuple[int, int, int]]:
    """For each byte of `down`: the columns equal to it, and the inverted rows before and behind it."""
    full = (1 << len(across)) - 1
    equal = {byte: columns_of(byte, across) for byte in set(down)}
    row = full
    for byte in down:
        before = row
        common = before & equal[byte]
        row = (before + common | before - common) & full
        yield equal[byte], before, row


def columns_of(byte: int, across: bytes) -> int:
    """An integer with bit i set if `across[i]` is the byte."""
    digits = bytearray(b"0" * 256)
    digits[byte] = ord("1")
    return int(across[::-1].translate(digits) or b"0", 2)


def walk_back(stops: list[int], down: bytes, across: bytes) -> Iterator[tuple[int, int]]:
    """The pairs of positions whose bytes belong to the result, last first."""
    j = len(across)
    for i in range(len(down) - 1, -1, -1):
        j = (stops[i] & (1 << j) - 1).bit_length()
        if j == 0:
            return
        if across[j - 1] == down[i]:
            j -= 1
            yield i, j

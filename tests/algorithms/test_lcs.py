"""The longest common subsequence, against the textbook's table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minikv.algorithms.lcs import Block, lcs_blocks, lcs_length

texts = st.text("abc", max_size=25).map(str.encode) | st.binary(max_size=10)


def table(a: bytes, b: bytes) -> list[list[int]]:
    cells = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            cells[i + 1][j + 1] = cells[i][j] + 1 if x == y else max(cells[i][j + 1], cells[i + 1][j])
    return cells


def walk(a: bytes, b: bytes) -> list[Block]:
    """Back from the corner: both at equal bytes, else up if that is longer, else to the left."""
    cells = table(a, b)
    blocks: list[Block] = []
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            if blocks and blocks[-1][:2] == (i + 1, j + 1):
                blocks[-1] = Block(i, j, blocks[-1].length + 1)
            else:
                blocks.append(Block(i, j, 1))
        elif cells[i - 1][j] > cells[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return blocks


@given(texts, texts)
def test_length(a: bytes, b: bytes) -> None:
    assert lcs_length(a, b) == table(a, b)[-1][-1]


@given(texts, texts)
def test_blocks(a: bytes, b: bytes) -> None:
    assert lcs_blocks(a, b) == walk(a, b)


def test_very_different_lengths() -> None:
    long = b"a" * 3_000_000 + b"b"
    for a, b in ((long, b"ab"), (b"ab", long)):
        assert lcs_length(a, b) == 2
        assert sum(block.length for block in lcs_blocks(a, b)) == 2

"""Numbers as a small chart of characters, for LATENCY GRAPH."""

from __future__ import annotations

from collections.abc import Sequence

ROWS = 4
COLUMNS = 80
INKS = "_-`"  # low, middle and high within a row


def sparkline(values: Sequence[int], labels: Sequence[str]) -> str:
    """A column for each value, its label vertical below; at most COLUMNS side by side."""
    low, high = min(values), max(values)
    levels = ROWS * len(INKS)
    heights = [min((value - low) * levels // max(high - low, 1), levels - 1) for value in values]
    blocks = [
        block(heights[start : start + COLUMNS], labels[start : start + COLUMNS])
        for start in range(0, len(values), COLUMNS)
    ]
    return "\n".join(blocks)


def block(heights: Sequence[int], labels: Sequence[str]) -> str:
    """One chart: rows of ink from the top down, an empty row, the labels."""
    lines = ["".join(ink(height, row) for height in heights) for row in range(ROWS - 1, -1, -1)]
    lines.append(" " * len(heights))
    longest = max(map(len, labels))
    lines += ["".join(label.ljust(longest)[place] for label in labels) for place in range(longest)]
    return "".join(line + "\n" for line in lines)


def ink(height: int, row: int) -> str:
    """The character of a column in a row: its top, or solid below it."""
    above = height - row * len(INKS)
    if above < 0:
        return " "
    return INKS[above] if above < len(INKS) else "|"

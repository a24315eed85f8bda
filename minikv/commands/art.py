"""The picture that LOLWUT draws: a field of grass in braille dots, another one each time."""

from __future__ import annotations

import random

# A braille character is 2 dots wide and 4 high; this is the bit of each dot, by row and column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
BRAILLE = 0x2800


def garden(columns: int, rows: int, seed: int) -> str:
    """Blades that grow from the ground and lean with the wind, `rows` lines of `columns` characters."""
    chance = random.Random(seed)
    width, height = 2 * columns, 4 * rows
    cells = [[0] * columns for _ in range(rows)]
    wind = chance.uniform(-0.6, 0.6)
    for root in range(0, width, 3):
        x, lean = float(root), chance.uniform(-0.3, 0.3)
        for y in range(height - 1, height - 1 - chance.randint(height // 4, height), -1):
            if 0 <= x < width:
                column, row = int(x), y
                cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
            lean += wind * chance.random() / height
            x += lean
    return "\n".join("".join(chr(BRAILLE + cell) for cell in line) for line in cells) + "\n"

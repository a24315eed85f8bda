# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The picture that LOLWUT draws: a field of grass in braille dots, another one each time."""

import cython
from cython.cimports.libc.stdint import uint64_t

# A braille character is 2 dots wide and 4 high; this is the bit of each dot, by row and column.
DOTS = b"\x01\x08\x02\x10\x04\x20\x40\x80"
BRAILLE = 0x2800


@cython.cclass
class Chance:
    """Random numbers from a seed (xorshift64*)."""

    state: uint64_t

    def __init__(self, seed: uint64_t):
        self.state = seed * 2 + 1

    @cython.cfunc
    def below_one(self) -> cython.double:
        self.state ^= self.state >> 12
        self.state ^= self.state << 25
        self.state ^= self.state >> 27
        return ((self.state * cython.cast(uint64_t, 0x2545F4914F6CDD1D)) >> 11) * 2.0**-53


def garden(columns: cython.int, rows: cython.int, seed: object) -> str:
    """Blades that grow from the ground and lean with the wind, `rows` lines of `columns` characters."""
    chance = Chance(seed & 0xFFFFFFFFFFFF)
    height: cython.int = 4 * rows
    cells: bytearray = bytearray(columns * rows)
    dots: cython.p_uchar = cells
    bits: cython.p_const_uchar = DOTS
    wind: cython.double = 1.2 * chance.below_one() - 0.6
    root: cython.int
    for root in range(0, 2 * columns, 3):
        x: cython.double = root
        lean: cython.double = 0.6 * chance.below_one() - 0.3
        y: cython.int = height - 1
        top: cython.int = y - height // 4 - cython.cast(cython.int, chance.below_one() * (height - height // 4 + 1))
        while y > top and y >= 0:
            if 0 <= x < 2 * columns:
                column: cython.int = cython.cast(cython.int, x)
                dots[y // 4 * columns + column // 2] |= bits[y % 4 * 2 + column % 2]
            lean += wind * chance.below_one() / height
            x += lean
            y -= 1
    text = "".join([chr(BRAILLE + cell) for cell in cells])
    return "".join([text[row * columns : (row + 1) * columns] + "\n" for row in range(rows)])

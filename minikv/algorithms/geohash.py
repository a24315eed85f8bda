# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3

"""Places on the earth: as scores of a sorted set, as areas to search, as distances.

A place is a pair of coordinates, each mapped to 26 bits over its range. The bits of longitude and latitude,
interleaved with longitude first, are a number of 52 bits. The more leading bits two numbers share, the
smaller the cell that contains both places, so a cell of any size is one range of numbers. A search covers
the cell of its centre and the eight around it, chosen large enough for the shape, and checks the distance
of each member.

Distances are great-circle distances on a sphere (haversine). Constants and order of operations are those of
Redis 7.0, because their rounding shows in its replies.
"""

import cython
from cython.cimports.libc.math import M_PI, asin, cos, fabs, llrint, sin, sqrt
from cython.cimports.libc.stdint import uint32_t, uint64_t

EARTH_RADIUS_M = cython.declare(cython.double, 6372797.560856)
# Half of the equator on a Mercator map: the width of cells of the first step.
LARGEST_CELL_M = cython.declare(cython.double, 20037726.37)
LONGITUDE_MAX = cython.declare(cython.double, 180.0)
LATITUDE_MAX = cython.declare(cython.double, 85.05112878)  # of a square Mercator map
TEXT_LATITUDE_MAX = cython.declare(cython.double, 90.0)  # of standard geohashes
STEPS = cython.declare(cython.int, 26)  # bits of a coordinate
RADIANS = cython.declare(cython.double, M_PI / 180.0)  # of a degree
# Alternating runs of ones and zeros, of this many bits.
EVERY_1 = cython.declare(uint64_t, 0x5555555555555555)
EVERY_2 = cython.declare(uint64_t, 0x3333333333333333)
EVERY_4 = cython.declare(uint64_t, 0x0F0F0F0F0F0F0F0F)
EVERY_8 = cython.declare(uint64_t, 0x00FF00FF00FF00FF)
EVERY_16 = cython.declare(uint64_t, 0x0000FFFF0000FFFF)
ALPHABET = b"0123456789bcdefghjkmnpqrstuvwxyz"
TEXT_LEN = 11

# Offsets (column, row) of the centre's cell and those around it. Where two are the same cell (on a small map), the
# later one is skipped.
AROUND = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))


# Numbers of places


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def spaced(bits: uint64_t) -> uint64_t:
    """32 bits with a zero before each."""
    bits = (bits | bits << 16) & EVERY_16
    bits = (bits | bits << 8) & EVERY_8
    bits = (bits | bits << 4) & EVERY_4
    bits = (bits | bits << 2) & EVERY_2
    return (bits | bits << 1) & EVERY_1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def gathered(bits: uint64_t) -> uint32_t:
    """The inverse of spaced(): every second bit, from the lowest."""
    bits &= EVERY_1
    bits = (bits | bits >> 1) & EVERY_2
    bits = (bits | bits >> 2) & EVERY_4
    bits = (bits | bits >> 4) & EVERY_8
    bits = (bits | bits >> 8) & EVERY_16
    return cython.cast(uint32_t, bits | bits >> 16)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def cell_of(coordinate: cython.double, limit: cython.double, steps: cython.int) -> uint32_t:
    """The coordinate's cell in its range, which has 2^steps cells; the upper end is one more."""
    offset: cython.double = (coordinate + limit) / (limit + limit)
    return cython.cast(uint32_t, offset * (cython.cast(uint64_t, 1) << steps))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def edge_of(cell: uint32_t, limit: cython.double, steps: cython.int) -> cython.double:
    """The lower edge of a cell."""
    return -limit + (cell * 1.0 / (cython.cast(uint64_t, 1) << steps)) * (limit + limit)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def middle_of(cell: uint32_t, limit: cython.double) -> cython.double:
    middle: cython.double = (edge_of(cell, limit, STEPS) + edge_of(cell + 1, limit, STEPS)) / 2
    return max(-limit, min(middle, limit))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def split(score: cython.double, longitude: cython.p_double, latitude: cython.p_double) -> cython.void:
    """The place that a score stands for; any score stands for one."""
    bits: uint64_t = cython.cast(uint64_t, score)
    longitude[0] = middle_of(gathered(bits >> 1), LONGITUDE_MAX)
    latitude[0] = middle_of(gathered(bits), LATITUDE_MAX)


def is_place(longitude: cython.double, latitude: cython.double) -> bool:
    """Whether coordinates are within their ranges."""
    return -LONGITUDE_MAX <= longitude <= LONGITUDE_MAX and -LATITUDE_MAX <= latitude <= LATITUDE_MAX


def encode(longitude: cython.double, latitude: cython.double) -> int:
    """The number of a place."""
    return spaced(cell_of(longitude, LONGITUDE_MAX, STEPS)) << 1 | spaced(cell_of(latitude, LATITUDE_MAX, STEPS))


def decode(score: cython.double) -> tuple[float, float]:
    """Longitude and latitude of a number: the middle of its cell, some centimetres wide."""
    longitude: cython.double = 0
    latitude: cython.double = 0
    split(score, cython.address(longitude), cython.address(latitude))
    return longitude, latitude


def text(longitude: cython.double, latitude: cython.double) -> bytes:
    """The standard geohash of 11 characters; there are bits for ten, so the last one is `0`."""
    bits: uint64_t = spaced(cell_of(longitude, LONGITUDE_MAX, STEPS)) << 1
    bits |= spaced(cell_of(latitude, TEXT_LATITUDE_MAX, STEPS))
    shifts = [2 * STEPS - 5 * (index + 1) for index in range(TEXT_LEN - 1)]
    return bytes([ALPHABET[bits >> shift & 31] for shift in shifts]) + ALPHABET[:1]


# Distances


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def along_meridian(from_latitude: cython.double, to_latitude: cython.double) -> cython.double:
    return EARTH_RADIUS_M * fabs(to_latitude * RADIANS - from_latitude * RADIANS)


@cython.cfunc
@cython.exceptval(check=False)
def haversine(
    from_longitude: cython.double, from_latitude: cython.double, longitude: cython.double, latitude: cython.double
) -> cython.double:
    v: cython.double = sin((longitude * RADIANS - from_longitude * RADIANS) / 2)
    from_r: cython.double = from_latitude * RADIANS
    to_r: cython.double = latitude * RADIANS
    u: cython.double
    if v == 0.0:
        return along_meridian(from_latitude, latitude)
    u = sin((to_r - from_r) / 2)
    return 2.0 * EARTH_RADIUS_M * asin(sqrt(u * u + cos(from_r) * cos(to_r) * v * v))


def distance(
    from_longitude: cython.double, from_latitude: cython.double, longitude: cython.double, latitude: cython.double
) -> float:
    """Metres between two places."""
    return haversine(from_longitude, from_latitude, longitude, latitude)


def shown(length: cython.double) -> bytes:
    """A length with four digits after the point, rounded as in Redis: in binary, half to even."""
    scaled: object = llrint(length * 10000)
    whole, rest = divmod(abs(scaled), 10000)
    return b"%s%d.%04d" % (b"-" if scaled < 0 else b"", whole, rest)


# Shapes


@cython.cclass
class Shape:
    """A circle or a box around a place.

    lengths: the radius, or width and height; in a unit of so many metres.
    """

    def __init__(self, place: tuple, lengths: tuple, unit: float):
        self.longitude, self.latitude = place
        self.is_box = len(lengths) == 2
        if self.is_box:
            self.width, self.height = lengths
        else:
            self.radius = lengths[0]
        self.unit = unit

    def reach(self) -> cython.double:
        """Metres from the centre to the farthest point."""
        radius: cython.double = self.radius
        if self.is_box:
            radius = sqrt((self.width / 2) * (self.width / 2) + (self.height / 2) * (self.height / 2))
        return radius * self.unit

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges of numbers to search: start, and end (excluded)."""
        height: cython.double = self.unit * (self.height / 2 if self.is_box else self.radius)
        width: cython.double = self.unit * (self.width / 2 if self.is_box else self.radius)
        lat_delta: cython.double = height / EARTH_RADIUS_M / RADIANS
        # On the parallel nearer to the pole the width takes more degrees.
        toward_pole: cython.double = self.latitude - lat_delta if self.latitude < 0 else self.latitude + lat_delta
        long_delta: cython.double = width / EARTH_RADIUS_M / cos(toward_pole * RADIANS) / RADIANS
        north: cython.double = self.latitude + lat_delta
        south: cython.double = self.latitude - lat_delta
        east: cython.double = self.longitude + long_delta
        west: cython.double = self.longitude - long_delta
        steps: cython.int = steps_for(self.reach(), self.latitude)
        column: uint32_t = cell_of(self.longitude, LONGITUDE_MAX, steps)
        row: uint32_t = cell_of(self.latitude, LATITUDE_MAX, steps)
        if steps > 1 and (
            edge_of(moved(row, 1, steps) + 1, LATITUDE_MAX, steps) < north
            or edge_of(moved(row, -1, steps), LATITUDE_MAX, steps) > south
            or edge_of(moved(column, 1, steps) + 1, LONGITUDE_MAX, steps) < east
            or edge_of(moved(column, -1, steps), LONGITUDE_MAX, steps) > west
        ):
            steps -= 1
            column = cell_of(self.longitude, LONGITUDE_MAX, steps)
            row = cell_of(self.latitude, LATITUDE_MAX, steps)
        skipped: set = set()
        if steps >= 2:
            # The centre's cell covers the shape on these sides, so the cells beyond are not needed.
            if edge_of(row, LATITUDE_MAX, steps) < south:
                skipped |= {(-1, -1), (0, -1), (1, -1)}
            if edge_of(row + 1, LATITUDE_MAX, steps) > north:
                skipped |= {(-1, 1), (0, 1), (1, 1)}
            if edge_of(column, LONGITUDE_MAX, steps) < west:
                skipped |= {(-1, -1), (-1, 0), (-1, 1)}
            if edge_of(column + 1, LONGITUDE_MAX, steps) > east:
                skipped |= {(1, -1), (1, 0), (1, 1)}
        found: list = []
        last: object = None
        shift: cython.int = 2 * (STEPS - steps)
        cell: uint64_t
        for aside, up in AROUND:
            cell = spaced(moved(column, aside, steps)) << 1 | spaced(moved(row, up, steps))
            if (aside, up) not in skipped and cell != last:
                found.append((cell << shift, (cell + 1) << shift))
                # The first cell is never a repetition.
                last = cell if len(found) > 1 else None
        return found

    def keep_within(self, pairs: list, found: list, limit: cython.Py_ssize_t) -> bool:
        """Append (member, score, metres, longitude, latitude) of each pair inside the shape.

        Stops, and returns True, when that makes `limit` of them; 0 for no limit.
        """
        longitude: cython.double = 0
        latitude: cython.double = 0
        metres: cython.double = 0
        score: cython.double
        for member, score in pairs:
            split(score, cython.address(longitude), cython.address(latitude))
            if self.holds(longitude, latitude, cython.address(metres)):
                found.append((member, score, metres, longitude, latitude))
            if limit and len(found) >= limit:
                return True
        return False

    def holds(self, longitude: cython.double, latitude: cython.double, metres: cython.p_double) -> cython.bint:
        """Whether a place is inside the shape, and its distance from the centre."""
        if self.is_box:
            if along_meridian(latitude, self.latitude) > self.height * self.unit / 2:
                return False
            if haversine(longitude, latitude, self.longitude, latitude) > self.width * self.unit / 2:
                return False
            metres[0] = haversine(self.longitude, self.latitude, longitude, latitude)
            return True
        metres[0] = haversine(self.longitude, self.latitude, longitude, latitude)
        return not metres[0] > self.radius * self.unit


@cython.cfunc
@cython.exceptval(check=False)
def moved(cell: uint32_t, by: cython.int, steps: cython.int) -> uint32_t:
    """The neighbouring row or column; the map wraps around in both directions."""
    if by == 0:
        return cell
    return cython.cast(uint32_t, (cell + by) & ((cython.cast(uint64_t, 1) << steps) - 1))


@cython.cfunc
@cython.exceptval(check=False)
def steps_for(metres: cython.double, latitude: cython.double) -> cython.int:
    """How many bits of a coordinate give cells of at least this size near this latitude."""
    steps: cython.int = 1
    if metres == 0:
        return STEPS
    while metres < LARGEST_CELL_M:
        metres *= 2
        steps += 1
    steps -= 2
    # Towards the poles cells become narrow.
    if fabs(latitude) > 66:
        steps -= 1
        if fabs(latitude) > 80:
            steps -= 1
    return max(1, min(steps, STEPS))

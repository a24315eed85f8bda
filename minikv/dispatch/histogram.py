# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
"""How long the calls of one command took: counters for durations from 1 ns to 1 s, exact to two digits.

Durations below 256 ns have a counter each. Above, each power of two is cut into 128 equal steps:

    durations (ns)   0 1 2 ... 255 | 256 258 ... 510 | 512 516 ... 1020 | 1024 1032 ...
    step             1             | 2               | 4                | 8
    counters         256           | 128             | 128              | 128

so a counter's width is below one hundredth of its duration, and recording is a few shifts and one increment. The
memory (24 KB) is asked for at the first call of a command. This is the layout of the HDR histograms that Redis keeps
for LATENCY HISTOGRAM and INFO latencystats, and gives the same figures.
"""

import cython
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memset

EXACT = 256  # durations with a counter of their own
STEPS = 128  # counters for each power of two above
DOUBLINGS = 22  # 256 ns << 22 is just above 1 s
COUNTERS = EXACT + STEPS * DOUBLINGS
MAX_NS = 1_000_000_000

C_COUNTERS = cython.declare(cython.int, COUNTERS)
C_MAX_NS = cython.declare(cython.longlong, MAX_NS)

# Upper ends of the groups that `cumulative` reports: 1.03 us and each double of it, until all durations are covered.
FIRST_GROUP_END_NS = 1032
C_FIRST_GROUP_END_NS = cython.declare(cython.longlong, FIRST_GROUP_END_NS)
GROUPS = 21


@cython.cclass
class Histogram:
    """Durations of calls; total is their number."""

    def __cinit__(self):
        self.counts = cython.NULL
        self.total = 0

    def __dealloc__(self):
        free(self.counts)

    @cython.cfunc
    @cython.exceptval(check=False)
    def record(self, duration_ns: cython.longlong) -> cython.void:
        """Count one call; skip it if there is no memory for the counters."""
        place: cython.ulonglong
        shift: cython.int = 0
        if self.counts == cython.NULL:
            self.counts = cython.cast(
                cython.pointer[cython.ulonglong], calloc(C_COUNTERS, cython.sizeof(cython.ulonglong))
            )
            if self.counts == cython.NULL:
                return
        duration_ns = min(max(duration_ns, 0), C_MAX_NS)
        place = duration_ns
        while place >= 256:
            place >>= 1
            shift += 1
        self.counts[place + 128 * shift] += 1
        self.total += 1

    def record_ns(self, duration_ns: int) -> None:
        """Count one call."""
        self.record(duration_ns)

    def clear(self) -> None:
        """Forget all calls."""
        if self.counts != cython.NULL:
            memset(self.counts, 0, C_COUNTERS * cython.sizeof(cython.ulonglong))
        self.total = 0

    def filled(self) -> list:
        """(longest duration in ns, calls) of every counter that is not zero, the shortest first."""
        found: list = []
        place: cython.int
        if self.counts != cython.NULL:
            for place in range(C_COUNTERS):
                if self.counts[place]:
                    found.append((longest_ns(place), self.counts[place]))
        return found


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def longest(place: cython.int) -> cython.longlong:
    if place < 256:
        return place
    shift: cython.int = (place - 256) // 128 + 1
    return (cython.cast(cython.longlong, place - 128 * shift + 1) << shift) - 1


def longest_ns(place: int) -> int:
    """The longest duration, in nanoseconds, that the counter at `place` counts."""
    return longest(place)


def percentiles_us(histogram: Histogram, percents: object) -> list:
    """For each percent, the duration in microseconds (a float) that this share of the calls did not exceed."""
    place: cython.int = 0
    seen: cython.longlong = 0
    wanted: cython.longlong
    percent: cython.double
    before: cython.double = 0.0
    found: list = []
    for percent in percents:
        if percent < before:  # they usually rise
            place = 0
            seen = 0
        before = percent
        wanted = max(1, cython.cast(cython.longlong, percent / 100 * histogram.total + 0.5))
        if histogram.counts == cython.NULL:
            found.append(0.0)
            continue
        while seen < wanted and place < C_COUNTERS:
            seen += histogram.counts[place]
            place += 1
        found.append(longest_ns(place - 1) / 1000 if seen >= wanted else 0.0)
    return found


def cumulative(histogram: Histogram) -> dict:
    """{microseconds: calls that took no longer}, by powers of two; only where the number of calls grows."""
    groups: dict = {}
    if histogram.counts == cython.NULL:
        return groups
    seen: cython.ulonglong = 0
    before: cython.ulonglong
    place: cython.int = 0
    group: cython.int
    for group in range(GROUPS):
        end_ns: cython.longlong = cython.cast(cython.longlong, C_FIRST_GROUP_END_NS) << group
        before = seen
        while place < C_COUNTERS and seen < histogram.total and longest(place) < end_ns:
            seen += histogram.counts[place]
            place += 1
        if seen > before:
            groups[end_ns // 1000] = seen
    return groups

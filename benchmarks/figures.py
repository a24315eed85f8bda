"""Numbers about numbers: percentiles, and what a difference between two sets of samples is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb
from statistics import median

CONFIDENCE = 0.95
FEWEST_ROUNDS = 6  # with 5, not even lowest to highest holds the median with 95 %


def percentiles(values: Sequence[float], ranks: Sequence[float] = (50, 99, 99.9, 100)) -> list[float]:
    """The values that this percentage of all does not exceed: the nearest rank, never a value that did not occur."""
    if not values:
        return [float("nan")] * len(ranks)
    ordered = sorted(values)
    # Rounded, since 0.999 x 1000 is a little more than 999 in binary.
    return [ordered[max(1, ceil(round(rank / 100 * len(ordered), 6))) - 1] for rank in ranks]


@dataclass(frozen=True)
class Ratio:
    """b over a: the median of the rounds' ratios, and an interval that holds the true one with 95 %."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def verdict(self) -> str:
        """In words; a difference counts if "none" lies outside of the interval."""
        if self.rounds < FEWEST_ROUNDS:
            return "too few rounds to judge"
        if self.low <= 1 <= self.high:
            return "no difference shown"
        return f"{'less' if self.high < 1 else 'more'}, by {abs(self.median - 1):.1%}"


def ratio(a: Sequence[float], b: Sequence[float]) -> Ratio | None:
    """Samples of the same round are paired, so that a machine that is slower for a while is slower for both.

    None if there are no pairs above zero.
    """
    ratios = sorted(y / x for x, y in zip(a, b, strict=False) if x > 0 and y > 0)
    if not ratios:
        return None
    outside = samples_outside(len(ratios))
    return Ratio(median(ratios), ratios[outside], ratios[-1 - outside], len(ratios))


def samples_outside(count: int) -> int:
    """How many samples on each side may be left out for the rest to hold the median with CONFIDENCE.

    Each sample lies below the median with chance 1/2, whatever their distribution, so that their number below it is
    binomial.
    """
    below = 0.0
    for outside in range(count):
        below += comb(count, outside) / 2**count
        if 2 * below > 1 - CONFIDENCE:
            return max(0, outside - 1)
    return 0

"""Which keys clients touch: how writes spread over the keys decides how many pages a snapshot has to copy.

    uniform            every key as likely as any other: the worst case for pages
    zipf[:S]           the k-th most popular key is touched 1 / k**S as often as the first (S: 0.99, as YCSB has it)
    sequential         one after another, and again from the start
    shuffled           every key once, in an order that jumps about, and again
    hot[:PART[:SHARE]] SHARE of the requests (0.9) go to PART of the keys (0.1)

Popular keys are scattered over all keys, as they are in life: popularity follows no order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

FORMS: dict[str, tuple[float, ...]] = {
    "uniform": (),
    "zipf": (0.99,),
    "sequential": (),
    "shuffled": (),
    "hot": (0.1, 0.9),
}

SCATTERED = ("zipf", "shuffled", "hot")


@dataclass(frozen=True)
class Distribution:
    """How likely each of `count` keys is."""

    name: str
    count: int
    parameters: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str, count: int) -> Distribution:
        """From `zipf:1.2` and the like; ValueError."""
        name, *told = text.split(":")
        if name not in FORMS or len(told) > len(FORMS[name]):
            raise ValueError(f"{text!r} is no distribution of keys; there are {', '.join(FORMS)}")
        parameters = (*map(float, told), *FORMS[name][len(told) :])
        if name == "hot" and not all(0 < part < 1 for part in parameters):
            raise ValueError(f"{text!r}: a part and a share lie between 0 and 1")
        return cls(name, count, parameters)

    def batches(self, size: int, seed: int) -> Iterator[Numbers]:
        """Key numbers without end, `size` at a time."""
        random = np.random.default_rng(seed)
        # The same for every seed: all clients love the same keys.
        scattered = np.random.default_rng(0).permutation(self.count if self.name in SCATTERED else 0)
        cumulative = np.cumsum(self.probabilities()) if self.name == "zipf" else np.empty(0)
        at = 0
        while True:
            if self.name == "uniform":
                yield random.integers(self.count, size=size)
            elif self.name == "zipf":
                yield scattered[np.searchsorted(cumulative, random.random(size) * cumulative[-1])]
            elif self.name == "hot":
                hot = max(1, int(self.count * self.parameters[0]))
                ranks = np.where(
                    random.random(size) < self.parameters[1],
                    random.integers(hot, size=size),
                    random.integers(min(hot, self.count - 1), self.count, size=size),
                )
                yield scattered[ranks]
            else:
                numbers = (at + np.arange(size)) % self.count
                at += size
                yield numbers if self.name == "sequential" else scattered[numbers]

    def probabilities(self) -> NDArray[np.float64]:
        """By rank, the most popular first; the sum is 1."""
        if self.name == "zipf":
            weights = np.arange(1, self.count + 1, dtype=np.float64) ** -self.parameters[0]
            weights /= weights.sum()
            return weights
        weights = np.full(self.count, 1 / self.count)
        if self.name == "hot":
            hot = max(1, int(self.count * self.parameters[0]))
            weights[:hot] = self.parameters[1] / hot
            weights[hot:] = (1 - self.parameters[1]) / max(1, self.count - hot)
        return weights

    def distinct(self, writes: float) -> float:
        """How many different keys so many writes are expected to touch."""
        if self.name in ("sequential", "shuffled"):
            return min(writes, self.count)
        chances = np.minimum(self.probabilities(), 1 - 1e-12)
        return float(-np.expm1(writes * np.log1p(-chances)).sum())

from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet

ADD: int
TAKE_LEAST: int
TAKE_MOST: int

def members_in(first: Set, others: list[Set], wanted: bool) -> list[bytes]: ...
def count_members_in(first: Set | SortedSet, others: list[Set] | list[SortedSet] | list[Set | SortedSet]) -> int: ...
def scores_in(
    first: Set | SortedSet,
    weight: float,
    others: list[Set | SortedSet],
    weights: list[float],
    aggregate: int,
) -> list[tuple[bytes, float]]: ...
def scores_not_in(first: Set | SortedSet, others: list[Set | SortedSet]) -> list[tuple[bytes, float]]: ...

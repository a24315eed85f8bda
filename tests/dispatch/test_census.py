"""What all clients together hold, counted in rounds."""

from __future__ import annotations

from minikv.dispatch.census import Census
from minikv.dispatch.client import Client


class Holder(Client):
    """A client that holds something."""

    held = 0

    def memory_bytes(self) -> int:
        return 1000 + self.held

    def input_bytes(self) -> int:
        return self.held

    def output_bytes(self) -> int:
        return 2 * self.held


def holders(count: int) -> dict[int, Client]:
    return {number: Holder(None, number) for number in range(1, count + 1)}


def figures(census: Census) -> tuple[int, int, int]:
    return census.memory_bytes, census.input_peak, census.output_peak


def test_few_clients_are_counted_exactly_each_time() -> None:
    clients = holders(3)
    census = Census(clients)
    for held in (0, 70, 5):
        clients[2].held = held
        census.go_on(3)
        assert figures(census) == (3000 + held, held, 2 * held)


def test_many_clients_are_counted_in_rounds() -> None:
    clients = holders(100)
    census = Census(clients)
    clients[1].held = clients[50].held = 10
    for _ in range(10):
        census.go_on(10)
    assert figures(census) == (100_020, 10, 20)
    clients[50].held = 30
    for _ in range(10):
        census.go_on(10)
        assert census.memory_bytes >= 100_020
    assert figures(census) == (100_040, 30, 60)


def test_what_a_round_finds_shows_before_its_end_and_goes_with_the_next() -> None:
    clients = holders(100)
    census = Census(clients)
    clients[100].held = 900
    census.go_on(1)
    assert census.input_peak == 900
    census.go_on(99)
    clients[100].held = 0
    census.go_on(99)
    assert census.input_peak == 900
    census.go_on(1)
    assert figures(census) == (100_000, 0, 0)


def test_clients_come_and_go_during_a_round() -> None:
    clients = holders(10)
    census = Census(clients)
    census.go_on(5)
    for number in range(1, 10):
        del clients[number]
    clients[11] = Holder(None, 11)
    census.go_on(5)
    assert census.memory_bytes == 5000
    census.go_on(5)
    assert census.memory_bytes == 2000


def test_without_clients_there_is_nothing() -> None:
    census = Census({})
    census.go_on(16)
    assert figures(census) == (0, 0, 0)

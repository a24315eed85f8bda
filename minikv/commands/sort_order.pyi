from collections.abc import Sequence

def by_numbers(
    elements: list[bytes], weights: Sequence[bytes | None], descending: bool, start: int, stop: int
) -> list[bytes]: ...
def by_texts(
    elements: list[bytes], weights: Sequence[bytes | None], whole: bool, descending: bool, start: int, stop: int
) -> list[bytes]: ...

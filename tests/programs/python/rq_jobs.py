"""What the worker of rq_queue.py imports."""

from redis import Redis


def square(number: int) -> int:
    return number**2


def fail() -> None:
    raise ValueError("no luck")


def fail_once(port: int) -> str:
    if Redis(port=port).incr("tries") == 1:
        raise ValueError("first try")
    return "second try"

"""Which arguments of a request are keys, and what the command does with them: COMMAND GETKEYS and GETKEYSANDFLAGS.

The key specifications of a command say where to begin (a position, or after a word) and how to go on (a range with a
step, or a count that precedes the keys). Where the flags depend on the options, a function here decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from minikv.dispatch.spec import CommandSpec, KeySpec

# What C's atoi reads as a positive number; the group is without leading zeros.
LEADING_NUMBER = re.compile(rb"[ \t\n\v\f\r]*\+?0*([1-9][0-9]*)")
COUNT_DIGITS = 10  # no request has more keys
# The order in which Redis lists the flags of a key specification.
KEY_FLAGS = ["RO", "RW", "OW", "RM", "access", "insert", "update", "delete", "not_key", "incomplete", "variable_flags"]


def key_flags(spec: KeySpec) -> list[str]:
    """The flags of a specification, in Redis's spelling and order."""
    given = {word.lower() for word in spec.flags.replace(",", " ").split()}
    return [flag for flag in KEY_FLAGS if flag.lower() in given]


def real_specs(spec: CommandSpec) -> list[KeySpec]:
    """The key specifications without those that only say where a request belongs (SPUBLISH's channel)."""
    return [keyspec for keyspec in spec.keyspecs if "not_key" not in keyspec.flags]


def has_keys(spec: CommandSpec) -> bool:
    """Whether any argument of the command can be a key."""
    return bool(real_specs(spec))


def find_keys(spec: CommandSpec, request: Sequence[bytes]) -> list[tuple[bytes, list[str]]]:
    """The keys of a request (names included) with the flags of each; see find_places."""
    return [(request[place], flags) for place, flags in find_places(spec, request)]


def find_places(spec: CommandSpec, request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    """Positions of the keys in a request, with the flags of each.

    Keys that a bad request lacks are left out; a wrong count of keys gives none.
    """
    if spec.name == "SORT":
        return sort_places(request)
    if spec.name == "MIGRATE":
        return migrate_places(spec, request)
    decide = VARIABLE_FLAGS.get(spec.name)
    found: list[tuple[int, list[str]]] = []
    for keyspec in real_specs(spec):
        flags = decide(request) if decide else key_flags(keyspec)
        places = key_places(keyspec, request)
        if places is None:
            return []
        found += [(place, flags) for place in places]
    return found


def key_places(spec: KeySpec, request: Sequence[bytes]) -> Sequence[int] | None:
    """Positions of the keys in a request by one specification; None if their number is wrong."""
    begin = first_place(spec, request)
    if begin is None or not 0 < begin < len(request):
        return ()
    kind, *numbers = spec.find
    if kind == "range":
        last, step, limit = numbers
        end = begin + last if last >= 0 else last_place(begin, last, limit, len(request))
        return range(begin, min(end, len(request) - 1) + 1, step)
    if kind == "keynum":
        count_index, first, step = numbers
        count = request[begin + count_index] if begin + count_index < len(request) else b""
        number = LEADING_NUMBER.match(count)
        keys = int(number[1]) if number and len(number[1]) <= COUNT_DIGITS else 0
        if keys <= 0:
            return None
        places = range(begin + first, begin + first + keys * step, step)
        return places if places[-1] < len(request) else None
    return ()


def first_place(spec: KeySpec, request: Sequence[bytes]) -> int | None:
    """Where the specification begins to look."""
    kind, *rest = spec.begin
    if kind == "index":
        return int(rest[0])
    if kind == "keyword":
        word, start = rest
        lowered = [argument.lower() for argument in request]
        places = range(start, len(request)) if start > 0 else range(len(request) + start, 0, -1)
        return next((place + 1 for place in places if lowered[place] == word.lower().encode()), None)
    return None


def last_place(begin: int, last: int, limit: int, count: int) -> int:
    """Where a range with a negative `last` ends; limit 2 means half of what follows `begin`, 3 a third."""
    if limit > 1:
        return begin + (count - begin) // limit + last
    return count + last


def migrate_places(spec: CommandSpec, request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    """The key, or those after KEYS."""
    flags = key_flags(spec.keyspecs[0])
    at = 6
    while at < len(request):
        word = request[at].lower()
        if word == b"keys":
            return [] if request[3] else [(place, flags) for place in range(at + 1, len(request))]
        at += {b"auth": 2, b"auth2": 3}.get(word, 1)
    return [(3, flags)] if len(request) > 3 else []


def sort_places(request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    """SORT's own, and the one after the last STORE, which may be anywhere among the options."""
    found = [(1, ["RO", "access"])]
    place = 2
    while place < len(request):
        word = request[place].lower()
        if word == b"store" and place + 1 < len(request):
            found[1:] = [(place + 1, ["OW", "update"])]
        place += {b"limit": 3, b"by": 2, b"get": 2}.get(word, 1)
    return found


def set_flags(request: Sequence[bytes]) -> list[str]:
    """SET reads the old value if it has the option GET."""
    options = {argument.lower() for argument in request[3:]}
    return ["RW", "access", "update"] if b"get" in options else ["OW", "update"]


def bitfield_flags(request: Sequence[bytes]) -> list[str]:
    """BITFIELD only reads if GET is its only operation."""
    place = 2
    while place < len(request):
        operation = request[place].lower()
        left = len(request) - place - 1
        if operation == b"get" and left > 1:
            place += 3
        elif operation == b"overflow" and left > 0:
            place += 2
        else:
            return ["RW", "access", "update"]
    return ["RO", "access"]


VARIABLE_FLAGS: dict[str, Callable[[Sequence[bytes]], list[str]]] = {"SET": set_flags, "BITFIELD": bitfield_flags}

# What find_places overlooks, as Redis 7.0 does: an option's value may look like another option, or an option may come
# twice. The functions here read options as the commands do.


def places_checked(spec: CommandSpec, request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    """What find_places finds, and the keys that the command uses besides: a user needs the rights for all of them."""
    find = USED_PLACES.get(spec.name)
    found = find_places(spec, request)
    return found if find is None else found + [place for place in find(request) if place not in found]


def place_stored(
    request: Sequence[bytes], at: int, stores: tuple[bytes, ...], lengths: dict[bytes, int]
) -> list[tuple[int, list[str]]]:
    """The key that the last of the options `stores` names, if there is one.

    at: where the options begin. lengths: of options with arguments of their own, how many.
    """
    found: list[tuple[int, list[str]]] = []
    while at < len(request):
        word = request[at].lower()
        if word in stores and at + 1 < len(request):
            found = [(at + 1, ["OW", "update"])]
            at += 1
        at += 1 + lengths.get(word, 0)
    return found


def place_sorted_to(request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    return place_stored(request, 2, (b"store",), {b"limit": 2, b"by": 1, b"get": 1})


def place_of_georadius(request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    return place_stored(request, 6, (b"store", b"storedist"), {b"count": 1})


def place_of_georadiusbymember(request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    return place_stored(request, 5, (b"store", b"storedist"), {b"count": 1})


def places_of_xreadgroup(request: Sequence[bytes]) -> list[tuple[int, list[str]]]:
    """The first half of what follows STREAMS, which may also be the name of a group or consumer."""
    at = 1
    while at < len(request) and request[at].lower() != b"streams":
        at += 1 + {b"group": 2, b"count": 1, b"block": 1}.get(request[at].lower(), 0)
    return [(place, ["RO", "access"]) for place in range(at + 1, at + 1 + (len(request) - at - 1) // 2)]


USED_PLACES: dict[str, Callable[[Sequence[bytes]], list[tuple[int, list[str]]]]] = {
    "SORT": place_sorted_to,
    "GEORADIUS": place_of_georadius,
    "GEORADIUSBYMEMBER": place_of_georadiusbymember,
    "XREADGROUP": places_of_xreadgroup,
}

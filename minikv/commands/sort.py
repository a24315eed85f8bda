# cython: language_level=3
# distutils: extra_compile_args = -O1
"""SORT and SORT_RO: the elements of a list, a set or a sorted set in an order of their own or of other keys' values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from minikv.acl.user import ACCESS_READ
from minikv.commands.encoding import LIST, SET, SORTED_SET
from minikv.commands.sort_order import by_numbers, by_texts
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.script_client import ScriptClient
from minikv.dispatch.spec import DENYOOM, MOVABLEKEYS, READONLY, WRITE, KeySpec, command
from minikv.errors import CommandError, WrongTypeError
from minikv.keyspace import Database
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List, replace_list
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet

SORTED_KEY = KeySpec("RO access", ("index", 1), ("range", 0, 1, 0))
PATTERN_KEYS = KeySpec("RO access", ("unknown",), ("unknown",))
STORED_KEY = KeySpec("OW update", ("unknown",), ("unknown",))


@command(
    "SORT",
    arity=-2,
    flags=WRITE | DENYOOM | MOVABLEKEYS,
    keys=(1, 1, 1),
    keyspecs=[SORTED_KEY, PATTERN_KEYS, STORED_KEY],
    categories="set sortedset list dangerous",
)
def sort(ctx: Client, key: bytes, *words: bytes) -> int | list[bytes | None]:
    wanted = Sorting(words, True, isinstance(ctx, ScriptClient), may_read_all(ctx, b"sort", key, *words))
    values = wanted.values(ctx.db, wanted.elements(ctx.db, key))
    if wanted.destination is None:
        return values
    stored = replace_list(ctx.db, wanted.destination, [value or b"" for value in values], b"sortstore")
    ctx.keyspace.dirty += max(stored - 1, 0)  # each element counts, and one has been counted
    return stored


@command(
    "SORT_RO",
    arity=-2,
    flags=READONLY | MOVABLEKEYS,
    keys=(1, 1, 1),
    keyspecs=[SORTED_KEY, PATTERN_KEYS],
    categories="set sortedset list dangerous",
)
def sort_ro(ctx: Client, key: bytes, *words: bytes) -> list[bytes | None]:
    wanted = Sorting(words, False, isinstance(ctx, ScriptClient), may_read_all(ctx, b"sort_ro", key, *words))
    return wanted.values(ctx.db, wanted.elements(ctx.db, key))


def may_read_all(ctx: Client, *request: bytes) -> bool:
    """Whether the user may read whatever keys BY and GET lead to."""
    if ctx.unrestricted:
        return True
    # Under its own name, whatever rename-command calls it.
    found = next((command for command in ctx.server.table if command.full_name == request[0]), None)
    return found is not None and found.requirements.has_unrestricted_keys(ctx.user, request, ACCESS_READ)


class Sorting:
    """What SORT asks for.

    by: the pattern of the keys to compare. unsorted: a BY without `*` has been given, which means any order; it wins
    over a BY with one, whatever their order. gets: the patterns of the values to show.
    """

    def __init__(self, words: Sequence[bytes], may_store: bool, for_script: bool, may_read_all: bool):
        self.for_script = for_script
        self.may_read_all = may_read_all
        self.descending = self.alphabetic = self.unsorted = False
        self.by: Pattern | None = None
        self.gets: list[Pattern] = []
        self.destination: bytes | None = None
        self.offset, self.limit = 0, -1
        place = 0
        while place < len(words):
            place += self.read_option(words, place, may_store)

    def read_option(self, words: Sequence[bytes], place: int, may_store: bool) -> int:
        """Obey one option; returns how many words it has."""
        word = words[place].lower()
        more = len(words) - place - 1
        if word in (b"asc", b"desc"):
            self.descending = word == b"desc"
            return 1
        if word == b"alpha":
            self.alphabetic = True
            return 1
        if word == b"limit" and more > 1:
            self.offset, self.limit = integer(words[place + 1]), integer(words[place + 2])
            return 3
        if word == b"store" and more and may_store:
            self.destination = words[place + 1]
        elif word == b"by" and more:
            self.by = Pattern(words[place + 1])
            self.unsorted = self.unsorted or self.by.is_constant
            if not self.by.is_constant and not self.may_read_all:
                raise CommandError("ERR BY option of SORT denied due to insufficient ACL permissions.")
        elif word == b"get" and more:
            if not self.may_read_all:
                raise CommandError("ERR GET option of SORT denied due to insufficient ACL permissions.")
            self.gets.append(Pattern(words[place + 1]))
        else:
            raise CommandError(SYNTAX_ERROR)
        return 2

    def elements(self, db: Database, key: bytes) -> list[bytes]:
        """The elements of a key, sorted, within LIMIT."""
        view = opened(db, key)
        if view is None:
            return []
        start, stop = self.range_of(len(view))
        # What is stored or seen by a script must not depend on chance, so a set is always sorted for it.
        if self.unsorted and not (isinstance(view, Set) and (self.destination is not None or self.for_script)):
            return in_own_order(view, start, stop, self.descending)
        return self.in_order_of_weights(db, in_own_order(view, 0, len(view), False), start, stop)

    def range_of(self, size: int) -> tuple[int, int]:
        """LIMIT as half-open positions."""
        start = min(max(self.offset, 0), size)
        return start, size if self.limit < 0 else min(start + self.limit, size)

    def in_order_of_weights(self, db: Database, elements: list[bytes], start: int, stop: int) -> list[bytes]:
        """A range of the elements in the order of their weights. What BY names no value for weighs nothing."""
        if self.unsorted:
            return sorted(elements, reverse=self.descending)[start:stop]
        weights = elements if self.by is None else self.by.all_of(db, elements)
        if self.alphabetic:
            # Texts to be shown are compared as C does, which sees nothing after a zero byte.
            return by_texts(elements, weights, self.destination is not None, self.descending, start, stop)
        return by_numbers(elements, weights, self.descending, start, stop)

    def values(self, db: Database, elements: Sequence[bytes]) -> list[bytes | None]:
        """What to show of the elements."""
        if not self.gets:
            return list(elements)
        columns = [pattern.all_of(db, elements) for pattern in self.gets]
        return [value for row in zip(*columns, strict=True) for value in row] if len(columns) > 1 else columns[0]


class Pattern:
    """What BY or GET names for an element: `#` itself, `name_*` a string, `name_*->field` a field of a hash.

    The first `*` is replaced by the element. Without one there is no value. A zero byte ends the search for signs.
    """

    def __init__(self, text: bytes):
        seen = text.partition(b"\0")[0]
        star = seen.find(b"*")
        arrow = seen.find(b"->", star + 1)
        self.is_constant = star < 0
        self.is_element = text == b"#"
        self.field: bytes | None = None
        if not self.is_constant and arrow >= 0 and arrow + 2 < len(seen):
            self.field = text[arrow + 2 :]
            text = text[:arrow]
        self.before, self.after = text[: max(star, 0)], text[star + 1 :]

    def all_of(self, db: Database, elements: Sequence[bytes]) -> list[bytes | None]:
        """The value for each element; None if there is none of that type."""
        if self.is_element:
            return list(elements)
        if self.is_constant:
            return [None] * len(elements)
        before, after = self.before, self.after
        look_up = db.get if self.field is None else partial(field_of, db, self.field)
        values: list[bytes | None] = []
        for element in elements:
            try:
                values.append(look_up(before + element + after))
            except WrongTypeError:
                values.append(None)
        return values


def field_of(db: Database, field: bytes, key: bytes) -> bytes | None:
    hash_ = Hash.at(db, key)
    return None if hash_ is None else hash_.get(field)


def opened(db: Database, key: bytes) -> List | Set | SortedSet | None:
    """What SORT can sort; None if the key is not there."""
    kind = db.lookup(key)
    if kind < 0:
        return None
    if kind == LIST:
        return List.peek(db, key)
    if kind == SET:
        return Set.peek(db, key)
    if kind == SORTED_SET:
        return SortedSet.peek(db, key)
    raise WrongTypeError


def in_own_order(view: List | Set | SortedSet, start: int, stop: int, backwards: bool) -> list[bytes]:
    """A range of the elements in the order in which they are kept; backwards: counted from the end."""
    if isinstance(view, Set):
        return view.members()[start:stop]
    if isinstance(view, SortedSet):
        return view.members_by_rank(start, stop, backwards)
    if backwards:
        return view.range(len(view) - stop, len(view) - start)[::-1]
    return view.range(start, stop)

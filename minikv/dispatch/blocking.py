# cython: language_level=3
# distutils: extra_compile_args = -O1
"""Commands that wait until a key is ready: one mechanism for all of them.

A handler that finds nothing to do returns `block(...)`. Its client then waits: the connection reads but does not
execute what it sends, until the command is answered.

    handler -> block -> Blocking.queues <- Blocking.wake <- dispatch, after the command (or EXEC) that changed a key
                              |                 `-> serve(client, key) -> Client.answer
                        Database.wait_for: changes of these keys are noted in Keyspace.ready

The client that has waited longest for a key is served first. Keys are checked after the whole transaction that changed
them, in the order of their first change; what a served client changes itself (BLMOVE) wakes others in a further round.
A client stops waiting when it is answered, times out, is unblocked by CLIENT UNBLOCK, or disconnects.

A key that is overwritten by one of the awaited type wakes as a new one does; Redis 7.0 leaves its clients waiting.
"""

from __future__ import annotations

import math
import time
from asyncio import TimerHandle
from collections import OrderedDict
from collections.abc import Callable, Iterable

import cython

from minikv.algorithms.long_double import LongDouble
from minikv.dispatch.client import Client, Waiting
from minikv.dispatch.table import CommandTable
from minikv.errors import CommandError
from minikv.keyspace.database import Database, Keyspace
from minikv.protocol.reply import NULL_ARRAY, POSTPONED

# Looks at one key that may be ready, as a handler of the client's: its reply, POSTPONED if there is nothing for it.
Serve = Callable[[Client, bytes], object]
# Those who wait for a type of a key, the oldest first.
Queue = OrderedDict[Waiting, None]

NO_KIND = -1
# The longest that a timer is set for; it is set again when it fires.
LONGEST_TIMER_S = 24 * 3600.0


def block(
    ctx: Client,
    keys: Iterable[bytes],
    timeout_ms: int,
    kind: int,
    serve: Serve,
    *,
    lost: CommandError | None = None,
    interest: object = None,
    otherwise: object = NULL_ARRAY,
    late: object = NULL_ARRAY,
) -> object:
    """Let the client wait for one of the keys to be a `kind` (RDB type) that has something for it.

    A handler returns what this returns: POSTPONED, or `otherwise` where nobody may wait (inside EXEC). timeout_ms: 0
    for ever; the client gets `late` when it has passed. serve(ctx, key): called after each change of a key that
    is a `kind`, any change; may raise CommandError, and changes nothing if it returns POSTPONED. lost: the client's
    answer when a key is no longer a `kind`; None: it goes on waiting. interest: when there is nothing for one client,
    there is nothing for the others with an equal interest either, unless it is None.
    """
    if ctx.in_exec:
        return otherwise
    ends_at = time.monotonic() + timeout_ms / 1000 if timeout_ms else math.inf
    ctx.server.blocking.add(Waiting(ctx, list(dict.fromkeys(keys)), kind, serve, lost, ends_at, interest, late))
    return POSTPONED


def wait_for_time(ctx: Client, timeout_ms: int, value: object) -> object:
    """Let the client wait for nothing that could come, and get this value then; at once inside EXEC."""
    return block(ctx, (), timeout_ms, NO_KIND, nothing, otherwise=value, late=value)


def nothing(ctx: Client, key: bytes) -> object:
    """No key is waited for."""
    return POSTPONED


def first_ready(
    ctx: Client, keys: Iterable[bytes], timeout_ms: int, kind: int, serve: Serve, *, otherwise: object = NULL_ARRAY
) -> object:
    """What `serve` makes of the first key that is ready; the client waits if none is."""
    for key in keys:
        value = serve(ctx, key)
        if value is not POSTPONED:
            return value
    return block(ctx, keys, timeout_ms, kind, serve, otherwise=otherwise)


def timeout_in_seconds(text: bytes) -> int:
    """A timeout such as `0.5`, in milliseconds, rounded up. One beyond 64 bits counts as negative, as in Redis."""
    number = LongDouble.parse(text)
    if number is None:
        raise CommandError("ERR timeout is not a float or out of range")
    timeout_ms = number.thousandths()
    if timeout_ms < 0:
        raise CommandError("ERR timeout is negative")
    return timeout_ms


@cython.cclass
class Blocking:
    """All clients of a server that wait for keys.

    queues: by (database number, key), by type, the oldest first; in place of them the Waiting that waits for the key
    alone, for one command may name a million keys. call_later: the event loop's.
    """

    def __init__(self, table: CommandTable, keyspace: Keyspace, call_later: Callable[..., TimerHandle]):
        self.table = table
        self.keyspace = keyspace
        self.call_later = call_later
        self.queues: dict[tuple[int, bytes], Waiting | dict[int, Queue]] = {}
        self.count = 0
        self.timeouts = 0

    def add(self, waiting: Waiting) -> None:
        """Start waiting."""
        number = waiting.database.number
        for key in waiting.keys:
            if (number, key) in self.queues:
                self.queues_of((number, key)).setdefault(waiting.kind, OrderedDict())[waiting] = None
            else:
                self.queues[number, key] = waiting
                waiting.database.wait_for(key)
        waiting.client.blocked = waiting
        self.count += 1
        self.table.set_waiting(True)
        if waiting.ends_at < math.inf:
            self.timeouts += 1
            self.set_timer(waiting)

    def remove(self, waiting: Waiting) -> None:
        """Stop waiting."""
        number = waiting.database.number
        for key in waiting.keys:
            if self.queues[number, key] is not waiting:
                queues = self.queues_of((number, key))
                queue = queues[waiting.kind]
                del queue[waiting]
                if not queue:
                    del queues[waiting.kind]
                if queues:
                    continue
            del self.queues[number, key]
            waiting.database.forget(key)
        if waiting.timer is not None:
            waiting.timer.cancel()
            waiting.timer = None
            self.timeouts -= 1
        waiting.client.blocked = None
        self.count -= 1
        self.table.set_waiting(self.count > 0)

    def queues_of(self, place: tuple) -> dict:
        """The queues of a key for which someone waits."""
        found = self.queues[place]
        if isinstance(found, Waiting):
            found = self.queues[place] = {found.kind: OrderedDict([(found, None)])}
        return found

    def forget(self, client: Client) -> None:
        """The client has disconnected."""
        if client.blocked is not None:
            self.remove(client.blocked)

    def answer(self, waiting: Waiting, value: object) -> None:
        """Stop waiting, with a reply."""
        self.remove(waiting)
        waiting.client.answer(value)

    def unblock(self, client: Client, value: object) -> bool:
        """CLIENT UNBLOCK: answer with an error, or, with None, as at the timeout; False if the client does not wait."""
        waiting = client.blocked
        if waiting is None:
            return False
        if value is None:
            value = waiting.late
        self.table.count_unblocked(waiting, value)
        self.answer(waiting, value)
        return True

    # Time

    def set_timer(self, waiting: Waiting) -> None:
        """Set the timer for when the client times out."""
        seconds = min(max(waiting.ends_at - time.monotonic(), 0), LONGEST_TIMER_S)
        waiting.timer = self.call_later(seconds, self.look_at_clock, waiting)

    def look_at_clock(self, waiting: Waiting) -> None:
        """A timer has fired, perhaps a little early."""
        if time.monotonic() < waiting.ends_at:
            self.set_timer(waiting)
        else:
            self.answer(waiting, waiting.late)

    # Keys

    def wake(self) -> None:
        """Serve the clients that wait for the keys in Keyspace.ready, until that makes no more keys ready."""
        keyspace = self.keyspace
        while keyspace.ready:
            ready = keyspace.ready
            keyspace.ready = {}
            for number, key in ready:
                self.look_at(keyspace.databases[number], key)

    def look_at(self, database: Database, key: bytes) -> None:
        """Serve the clients that wait for a key, until it has nothing left."""
        if (database.number, key) not in self.queues:
            return
        queues = self.queues_of((database.number, key))
        kind = database.lookup(key, False, False)
        queue = queues.get(kind)
        if queue is None or len(queues) > 1:
            self.tell_losers(queues, kind)
        if queue is None:
            return
        in_vain: set = set()
        for _ in range(len(queue)):
            waiting = next(iter(queue))
            queue.move_to_end(waiting)  # a client that is not served returns to its place
            if waiting.interest in in_vain:
                continue
            if not self.serve(waiting, key) and waiting.interest is not None:
                in_vain.add(waiting.interest)
            if database.lookup(key, False, False) != kind:
                return

    def tell_losers(self, queues: dict, kind: object) -> None:
        """Answer the clients that must not go on waiting once the key has lost the type that they wait for."""
        for other in [other for other in queues if other != kind]:
            for waiting in [waiting for waiting in queues[other] if waiting.lost is not None]:
                self.table.count_unblocked(waiting, waiting.lost)
                self.answer(waiting, waiting.lost)

    def serve(self, waiting: Waiting, key: bytes) -> bool:
        """Let one client's command look at the key; False if there is nothing for it."""
        client = waiting.client
        tracking = self.table.tracking
        tracking.begin_serving(client)
        try:
            value = self.table.call_again(waiting, key)
            if value is not POSTPONED:
                self.answer(waiting, value)
        except Exception as error:
            # A bug in that command must not hit the client whose command is being executed.
            client.fail(error)
            client.close()
            return True
        finally:
            tracking.end_serving()
        return value is not POSTPONED

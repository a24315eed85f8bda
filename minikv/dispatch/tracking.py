# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Server-assisted client side caching: which client may have which key in its cache, and the messages that it gets.

    table       key -> the tracker that has read it, or a tuple or set of them; databases are not told apart
    prefixes    prefix -> Prefix: those who are told of every key that begins with it (BCAST), and the keys that changed
    lengths     length of a prefix -> how many prefixes have it

A client that turns tracking on gets a Tracker for the rest of its life. The table refers to trackers, not to clients:
what a client leaves behind when it disconnects is dropped when the key changes, or another client reads it.

A key that changes leaves the table, and each of its trackers gets a message:

    the client that changed it itself     after the reply (after that of EXEC or EVAL)
    another client                        at once
    BCAST                                 at the end of the round, one message with all keys of a prefix

RESP3 knows push messages. RESP2 gets them on another connection (REDIRECT) that has subscribed to something.
"""

import cython
from cython.cimports.cpython.dict import PyDict_Next
from cython.cimports.cpython.object import PyObject

from minikv.errors import CommandError
from minikv.protocol.reply import Push, Raw, encode

INVALIDATE = b">2\r\n$10\r\ninvalidate\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
# Keys that leave a full table before a command runs, and the share of those that are too many: one MGET may bring a
# million, and the next one another million.
EFFORT = cython.declare(cython.Py_ssize_t, 100)
EFFORT_SHARE = cython.declare(cython.Py_ssize_t, 8)
# About what a key in the table takes beside its name, and a prefix beside its text.
KEY_BYTES = cython.declare(cython.longlong, 128)
PREFIX_BYTES = cython.declare(cython.longlong, 128)
OPTIONS = cython.declare(cython.int, BROADCAST | OPT_IN | OPT_OUT | NO_LOOP)
# Trackers of a key that are a tuple; more are a set.
TUPLE_MAX = cython.declare(cython.Py_ssize_t, 7)

SWITCHED = (
    "ERR You can't switch {} mode{} before disabling tracking for this client, and then re-enabling it with "
    "a different mode."
)
OVERLAP = "ERR Prefix '{}' overlaps with {} prefix '{}'. Prefixes for a single client must not overlap."


@cython.cclass
class Tracker:
    """How one client tracks. flags: see tracking.pxd. redirect: a client's number, or 0. prefixes: of BCAST, which
    take prefix_bytes.

    is_spent: the command that CLIENT CACHING was for has come.
    """

    def __init__(self, client_id: int):
        self.id = client_id
        self.prefixes = {}

    def remembers(self) -> cython.bint:
        """Whether the keys that the client's command has read go into the table."""
        flags: cython.int = self.flags
        if flags & (TRACKING | BROADCAST | OPT_IN | OPT_OUT) == TRACKING:
            return True
        if flags & BROADCAST or not flags & TRACKING:
            return False
        return (flags & CACHING != 0) == (flags & OPT_IN != 0)

    def next_command(self, is_client_command: cython.bint) -> cython.void:
        """A command comes, outside MULTI: CLIENT CACHING holds for one, or a transaction; CLIENT does not count."""
        if self.is_spent:
            self.flags &= ~CACHING
        self.is_spent = not is_client_command

    @property
    def is_on(self) -> bool:
        """Whether the client tracks."""
        return self.flags & TRACKING != 0

    @property
    def letters(self) -> bytes:
        """The flags of CLIENT LIST."""
        letters: bytes = b""
        if self.flags & TRACKING:
            letters += b"t"
        if self.flags & BROKEN_REDIRECT:
            letters += b"R"
        if self.flags & BROADCAST:
            letters += b"B"
        return letters

    @property
    def words(self) -> list:
        """The flags of CLIENT TRACKINGINFO."""
        words: list = [b"on" if self.flags & TRACKING else b"off"]
        for bit, word, with_caching in (
            (BROADCAST, b"bcast", b""),
            (OPT_IN, b"optin", b"caching-yes"),
            (OPT_OUT, b"optout", b"caching-no"),
            (NO_LOOP, b"noloop", b""),
            (BROKEN_REDIRECT, b"broken_redirect", b""),
        ):
            if self.flags & bit:
                words.append(word)
                if with_caching and self.flags & CACHING:
                    words.append(with_caching)
        return words


@cython.cclass
class Prefix:
    """trackers: id -> Tracker. changed: the keys of this round -> the client that alone has changed the key, or None.

    Redis keeps the last client that has changed a key: if that one has NOLOOP, it never hears of a change by another
    client just before its own.
    """

    def __init__(self):
        self.trackers = {}
        self.changed = {}


@cython.cclass
class Tracking(ChangeListener):
    """All trackers of a server.

    clients: how many track. max_keys: tracking-table-max-keys. items: pairs of key and client in the table, which
    takes table_bytes.
    on_broadcast: called when there is something for the end of the round. outside_call: keys change, but not because of
    a command. receiver: the blocked client that is being served.
    """

    def __init__(self, services: object):
        self.services = services
        self.on_broadcast = None
        self.max_keys = 0
        self.table = {}
        self.prefixes = {}
        self.lengths = {}
        self.after_answer = []

    @property
    def keys(self) -> int:
        """Keys in the table."""
        return len(self.table)

    @property
    def prefix_count(self) -> int:
        """Different prefixes."""
        return len(self.prefixes)

    # -- on and off ----------------------------------------------------------------------------------------------------

    def turn_on(self, client: object, redirect: int, options: cython.int, prefixes: list) -> None:
        """CLIENT TRACKING ON. CommandError."""
        tracker: Tracker = client.tracker
        if tracker is None:
            tracker = Tracker(client.id)
        check_options(tracker, options, prefixes)
        client.tracker = tracker
        if not tracker.flags & TRACKING:
            self.clients += 1
        tracker.flags = tracker.flags & CACHING | TRACKING | options
        tracker.redirect = redirect
        if options & BROADCAST:
            for prefix in prefixes or [b""]:
                self.add_prefix(tracker, prefix)
        self.update()

    def add_prefix(self, tracker: Tracker, name: bytes) -> None:
        prefix: Prefix = self.prefixes.get(name)
        if prefix is None:
            prefix = self.prefixes[name] = Prefix()
            self.lengths[len(name)] = self.lengths.get(len(name), 0) + 1
        prefix.trackers[tracker.id] = tracker
        if name not in tracker.prefixes:
            tracker.prefixes[name] = None
            tracker.prefix_bytes += PREFIX_BYTES + len(name)

    def turn_off(self, client: object) -> None:
        """CLIENT TRACKING OFF; also the end of a client."""
        tracker: Tracker = client.tracker
        if tracker is None or not tracker.flags & TRACKING:
            return
        tracker.flags = 0
        self.clients -= 1
        for name in tracker.prefixes:
            prefix: Prefix = self.prefixes[name]
            del prefix.trackers[tracker.id]
            if not prefix.trackers:
                del self.prefixes[name]
                self.lengths[len(name)] -= 1
                if self.lengths[len(name)] == 0:
                    del self.lengths[len(name)]
        tracker.prefixes = {}
        tracker.prefix_bytes = 0
        self.update()

    def update(self) -> cython.int:
        """Listen to changes as long as somebody tracks or the table has keys."""
        self.services.table.set_tracking(self.clients > 0)
        wanted: cython.bint = self.clients > 0 or len(self.table) > 0
        self.services.keyspace.listen(self if wanted else None)
        return 0

    # -- keys that were read -------------------------------------------------------------------------------------------

    def remember(self, tracker: Tracker, key: bytes) -> None:
        """`add`, for Python."""
        self.add(tracker, key)

    def add(self, tracker: Tracker, key: bytes) -> cython.int:
        """The client may have the key in its cache from now on."""
        found = self.table.get(key)
        if found is tracker:
            return 0
        if found is None:
            self.table[key] = tracker
            self.items += 1
            self.table_bytes += KEY_BYTES + len(key)
            return 0
        return self.add_second(tracker, key, found)

    def add_second(self, tracker: Tracker, key: bytes, found: object) -> cython.int:
        """The key is another client's already."""
        trackers: set
        if type(found) is not set:
            others: tuple = (found,) if type(found) is Tracker else found
            if tracker in others:
                return 0
            self.items += 1
            if len(others) < TUPLE_MAX:
                self.table[key] = (*others, tracker)
                return 0
            trackers = self.table[key] = {*others, tracker}
            return self.drop_gone(trackers)
        trackers = found
        if tracker not in trackers:
            trackers.add(tracker)
            self.items += 1
            if len(trackers) & (len(trackers) - 1) == 0:
                self.drop_gone(trackers)
        return 0

    def drop_gone(self, trackers: set) -> cython.int:
        """Drop the trackers of clients that have disconnected."""
        clients: dict = self.services.clients
        for tracker in list(trackers):
            if cython.cast(Tracker, tracker).id not in clients:
                trackers.discard(tracker)
                self.items -= 1
        return 0

    def limit(self) -> cython.int:
        """Forget some keys if there are more than tracking-table-max-keys; their trackers are told as of a change."""
        key: cython.pointer[PyObject] = cython.NULL
        found: cython.pointer[PyObject] = cython.NULL
        left: cython.Py_ssize_t = EFFORT + max(len(self.table) - self.max_keys, 0) // EFFORT_SHARE
        while self.max_keys > 0 and len(self.table) > self.max_keys and left > 0:
            if not PyDict_Next(self.table, cython.address(self.hand), cython.address(key), cython.address(found)):
                self.hand = 0
                continue
            name: bytes = cython.cast(bytes, key)
            self.invalidate(name, self.table.pop(name))
            left -= 1
        return 0

    # -- keys that change ----------------------------------------------------------------------------------------------

    def key_changed(self, key: bytes) -> cython.int:
        if self.lengths:
            self.note_broadcast(key)
        found = self.table.pop(key, None)
        if found is not None:
            self.invalidate(key, found)
            if not self.table and self.clients == 0:
                self.update()
        return 0

    def invalidate(self, key: bytes, found: object) -> cython.int:
        """Tell the trackers of a key that has left the table."""
        trackers: list = [found] if type(found) is Tracker else sorted(found, key=tracker_id)
        tracker: Tracker
        payload: bytes = b""
        self.items -= len(trackers)
        self.table_bytes -= KEY_BYTES + len(key)
        current = self.current()
        for tracker in trackers:
            if tracker.flags & (TRACKING | BROADCAST) != TRACKING:
                continue
            if tracker.flags & NO_LOOP and current is not None and current.id == tracker.id:
                continue
            if not payload:
                payload = b"*1\r\n$%d\r\n%b\r\n" % (len(key), key)
            self.send(tracker, payload)
        return 0

    def emptied(self) -> cython.int:
        """FLUSHALL, FLUSHDB: every cache is to be emptied."""
        clients: dict = self.services.clients
        for client in list(clients.values()):
            tracker: Tracker = client.tracker
            if tracker is not None and tracker.flags & TRACKING:
                self.send(tracker, b"_\r\n" if client.resp > 2 else b"$-1\r\n")
        self.table = {}
        self.items = self.table_bytes = 0
        self.hand = 0
        if self.clients == 0:
            self.update()
        return 0

    # -- broadcasts ----------------------------------------------------------------------------------------------------

    def note_broadcast(self, key: bytes) -> cython.int:
        """Those who track a prefix of the key are told at the end of the round."""
        if self.services.loading:
            return 0
        changer = None if self.services.scripts.running is not None else self.current()
        for length in self.lengths:
            prefix: Prefix = self.prefixes.get(key[:length]) if length <= len(key) else None
            if prefix is not None:
                prefix.changed[key] = changer if prefix.changed.get(key, changer) is changer else None
                if not self.has_broadcasts:
                    self.has_broadcasts = True
                    self.on_broadcast()
        return 0

    def broadcast(self) -> cython.int:
        """Send what the round has collected."""
        self.has_broadcasts = False
        for name in sorted([name for name, prefix in self.prefixes.items() if cython.cast(Prefix, prefix).changed]):
            prefix: Prefix = self.prefixes.get(name)
            if prefix is not None:
                self.announce(prefix)
        return 0

    def announce(self, prefix: Prefix) -> cython.int:
        changed: dict = prefix.changed
        prefix.changed = {}
        keys: list = sorted(changed)
        payload: bytes = encode(keys)
        tracker: Tracker
        for tracker in list(prefix.trackers.values()):
            if not tracker.flags & NO_LOOP:
                self.send(tracker, payload)
                continue
            client = self.services.clients.get(tracker.id)
            foreign: list = [key for key in keys if changed[key] is not client]
            if foreign:
                self.send(tracker, encode(foreign))
        return 0

    # -- messages ------------------------------------------------------------------------------------------------------

    def begin_serving(self, client: object) -> None:
        """A blocked client's command is executed, on behalf of another one."""
        self.receiver = client

    def end_serving(self) -> None:
        """It has got its answer."""
        waiting: list = self.after_answer
        self.receiver = None
        self.after_answer = []
        for target, data in waiting:
            target.push(Raw(data))

    def current(self) -> object:
        """The client whose command is being executed, or None."""
        return self.receiver if self.receiver is not None else self.services.serving

    def send(self, tracker: Tracker, payload: bytes) -> cython.int:
        """Tell a client, or the one that it has named, that keys (an array), or all (a null) are no longer valid."""
        clients: dict = self.services.clients
        client = clients.get(tracker.id)
        target = client
        if client is None:
            return 0
        if tracker.redirect:
            target = clients.get(tracker.redirect)
            if target is None:
                tracker.flags |= BROKEN_REDIRECT
                if client.resp > 2:
                    self.deliver(client, client, encode(Push((b"tracking-redir-broken", tracker.redirect)), 3))
                return 0
        if target.resp > 2:
            return self.deliver(client, target, INVALIDATE + payload)
        if tracker.redirect and target.subscriptions is not None:
            return self.deliver(client, target, MESSAGE + payload)
        return 0

    def deliver(self, client: object, target: object, data: bytes) -> cython.int:
        """What is for the client of this moment waits for the end of its reply, or at least of the reply begun."""
        is_nested: cython.bint = (
            target.in_exec or self.receiver is not None or self.services.scripts.running is not None
        )
        if client is self.receiver:
            self.after_answer.append((target, data))
        elif target is self.services.serving and (
            target.in_exec or (not self.outside_call and (client is target or is_nested))
        ):
            target.push(Raw(data))
        else:
            target.push_wire(data)
        return 0


def tracker_id(tracker: Tracker) -> int:
    return tracker.id


def check_options(tracker: Tracker, options: cython.int, prefixes: list) -> None:
    """CommandError if the options contradict each other, or how the client tracks already."""
    if prefixes and not options & BROADCAST:
        raise CommandError("ERR PREFIX option requires BCAST mode to be enabled")
    if tracker.flags & TRACKING and (tracker.flags ^ options) & BROADCAST:
        raise CommandError(SWITCHED.format("BCAST", " on/off"))
    if options & BROADCAST and options & (OPT_IN | OPT_OUT):
        raise CommandError("ERR OPTIN and OPTOUT are not compatible with BCAST")
    if options & OPT_IN and options & OPT_OUT:
        raise CommandError("ERR You can't specify both OPTIN mode and OPTOUT mode")
    if (options & OPT_IN and tracker.flags & OPT_OUT) or (options & OPT_OUT and tracker.flags & OPT_IN):
        raise CommandError(SWITCHED.format("OPTIN/OPTOUT", ""))
    if options & BROADCAST:
        check_prefixes(tracker, prefixes)


def check_prefixes(tracker: Tracker, prefixes: list) -> None:
    """CommandError if a key could begin with two of the client's prefixes."""
    existing: list = sorted(tracker.prefixes)
    for place, prefix in enumerate(prefixes):
        for other in existing:
            if overlap(prefix, other):
                raise CommandError(OVERLAP.format(shown(prefix), "an existing", shown(other)))
        for other in prefixes[place + 1 :]:
            if overlap(prefix, other):
                raise CommandError(OVERLAP.format(shown(prefix), "another provided", shown(other)))


def overlap(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)


def shown(prefix: bytes) -> str:
    return prefix.partition(b"\0")[0].decode("utf-8", "surrogateescape")

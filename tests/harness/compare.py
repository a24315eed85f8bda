"""The same commands to two servers, and their replies compared as bytes of the wire.

`ClientPair.assert_same` is the whole interface: it sends each command to the subject and to the oracle and fails with
both replies and the commands before it. Replies that may differ by nature (times, addresses, the order of a set) have
a comparison of their own, chosen by the command's name or given with the call.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.harness.process import Server
from tests.harness.wire import Value, WireClient, Words, encode, parse, split, words

Comparison = Callable[[bytes, bytes], bool]
HISTORY = 30  # commands shown when a comparison fails
# What a pair sends at once if it may: the socket takes it even if the server does not read.
WINDOW, WINDOW_BYTES = 40, 1 << 16
CLOCK_SLACK_MS = 1000  # the servers get a command one after the other, on busy cores

UNIX_MS_MIN = 10**12  # larger numbers are taken for times: from 2001 on

CLOSE_TIMEOUT_S = 30.0


def exact(subject: bytes, oracle: bytes) -> bool:
    """Equal bytes."""
    return subject == oracle


def unordered(subject: bytes, oracle: bytes) -> bool:
    """The same kind of reply with the same elements in any order."""
    left, right = parse(subject), parse(oracle)
    if left.kind != right.kind or not isinstance(left.payload, list) or not isinstance(right.payload, list):
        return left == right
    return sorted(left.payload, key=repr) == sorted(right.payload, key=repr)


def same_shape(subject: bytes, oracle: bytes) -> bool:
    """The same kinds of values in the same places, whatever they hold."""
    return _shape(parse(subject)) == _shape(parse(oracle))


def _shape(value: Value) -> object:
    if isinstance(value.payload, list):
        return value.kind, [_shape(element) for element in value.payload]
    return value.kind, value.payload is None


def same_kind(subject: bytes, oracle: bytes) -> bool:
    """Values of the same kind, whatever they hold; errors are compared as bytes."""
    return subject == oracle if subject[:1] == b"-" else subject[:1] == oracle[:1]


def same_error_code(subject: bytes, oracle: bytes) -> bool:
    """Both an error with the same first word, or equal bytes."""
    return subject == oracle or (subject[:1] == b"-" and subject.split(b" ")[0] == oracle.split(b" ")[0])


def within(distance: int) -> Comparison:
    """Integers that are no further apart than `distance`; negative ones (no key, no time) must be equal."""

    def close(subject: bytes, oracle: bytes) -> bool:
        left, right = parse(subject), parse(oracle)
        if left.kind != b":" or right.kind != b":":
            return subject == oracle
        a, b = int(left.payload), int(right.payload)
        return a == b if min(a, b) < 0 else abs(a - b) <= distance

    return close


def pairs_unordered(subject: bytes, oracle: bytes) -> bool:
    """The same kind of reply (a map, or an array of names and values by turns) with the same pairs in any order."""
    left, right = parse(subject), parse(oracle)
    if left.kind != right.kind or not isinstance(left.payload, list) or not isinstance(right.payload, list):
        return left == right
    mine, theirs = (sorted(zip(side[::2], side[1::2], strict=True), key=repr) for side in (left.payload, right.payload))
    return mine == theirs


def scanned(subject: bytes, oracle: bytes) -> bool:
    """Replies to SCAN: cursors are private; where both have come to the end, the keys are the same in any order."""
    left, right = parse(subject), parse(oracle)
    if not isinstance(left.payload, list) or not isinstance(right.payload, list):
        return left == right
    (cursor, keys), (other_cursor, other_keys) = left.payload, right.payload
    if cursor.payload != b"0" or other_cursor.payload != b"0":
        return _shape(cursor) == _shape(other_cursor) and keys.kind == other_keys.kind
    return sorted(keys.payload) == sorted(other_keys.payload)


def same_but_times(subject: bytes, oracle: bytes) -> bool:
    """Equal but for what tells of the clock: Unix times in milliseconds, idle times by name or in pending entries."""
    return _but_times(parse(subject)) == _but_times(parse(oracle))


def _but_times(value: Value) -> object:
    if value.kind == b":":
        return value.payload if abs(int(value.payload)) < UNIX_MS_MIN else b"time"
    if not isinstance(value.payload, list):
        return value
    items = [_but_times(item) for item in value.payload]
    kinds = [item.kind for item in value.payload]
    if kinds == [b"$", b"$", b":", b":"]:
        items[2] = b"idle"  # a pending entry: ID, consumer, idle time, deliveries
    for i, item in enumerate(value.payload[:-1]):
        if item.payload == b"idle" and kinds[i + 1] == b":":
            items[i + 1] = b"idle"
    return value.kind, items


DEFAULT_COMPARISONS: dict[bytes, Comparison] = {
    b"CLIENT ID": same_kind,
    b"CLIENT INFO": same_kind,
    b"CLIENT LIST": same_kind,
    b"EXPIRETIME": within(CLOCK_SLACK_MS // 1000 + 1),
    b"HGETALL": pairs_unordered,
    b"HKEYS": unordered,
    b"HSCAN": scanned,
    b"HVALS": unordered,
    b"INFO": same_kind,
    b"KEYS": unordered,
    b"LASTSAVE": same_kind,
    b"OBJECT IDLETIME": within(CLOCK_SLACK_MS // 1000 + 1),
    b"PEXPIRETIME": within(CLOCK_SLACK_MS),
    b"PTTL": within(CLOCK_SLACK_MS),
    b"RANDOMKEY": same_kind,
    b"SCAN": scanned,
    b"SDIFF": unordered,
    b"SINTER": unordered,
    b"SMEMBERS": unordered,
    b"SPOP": unordered,
    b"SSCAN": scanned,
    b"SUNION": unordered,
    b"TIME": same_shape,
    b"TTL": within(CLOCK_SLACK_MS // 1000),
    b"XINFO CONSUMERS": same_but_times,
    b"XINFO STREAM": same_but_times,
    b"XPENDING": same_but_times,
}


def each_by(comparisons: list[Comparison]) -> Comparison:
    """Arrays of as many elements as there are comparisons, each compared by its own; anything else as bytes."""

    def compare(subject: bytes, oracle: bytes) -> bool:
        head = b"*%d\r\n" % len(comparisons)
        if not subject.startswith(head) or not oracle.startswith(head):
            return subject == oracle
        pairs = zip(split(subject[len(head) :]), split(oracle[len(head) :]), strict=True)
        return all(same(*elements) for same, elements in zip(comparisons, pairs, strict=True))

    return compare


def comparison_for(command: Words) -> Comparison:
    """How the replies to this command are compared if the call does not say."""
    names = [word.upper() for word in words(command)[:2]]
    by_both = DEFAULT_COMPARISONS.get(b" ".join(names))
    return by_both or DEFAULT_COMPARISONS.get(names[0] if names else b"", exact)


class Outcome(NamedTuple):
    """What a connection gave for raw bytes: everything received, and whether it was closed."""

    received: bytes
    closed: bool


class ClientPair:
    """One connection to the subject and one to the oracle, used in lock step.

    resp: 2 or 3; 3 sends HELLO 3 first. pipelined: send the commands of a call of assert_same together; otherwise each
    waits for the reply to the one before.
    """

    def __init__(self, subject: Server, oracle: Server, resp: int = 2, *, pipelined: bool = False) -> None:
        self.servers = (subject, oracle)
        self.resp = resp
        self.pipelined = pipelined
        self._history: deque[tuple[Words | bytes, bytes]] = deque(maxlen=HISTORY)  # with the oracle's replies
        self._queued: list[Words] = []  # commands since MULTI: EXEC's reply holds theirs
        self._others: list[ClientPair] = []
        self.subject: WireClient = subject.connect()
        self.oracle: WireClient = oracle.connect()
        if resp == 3:
            self.subject.value("HELLO 3")
            self.oracle.value("HELLO 3")

    def assert_same(self, *commands: Words, compare: Comparison | None = None) -> list[bytes]:
        """Sends each command to both servers; fails where the replies differ. Returns the subject's replies."""
        __tracebackhide__ = True
        replies: list[bytes] = []
        for requests in self._requests(commands):
            request = b"".join(requests)
            self.oracle.send_raw(request)
            self.subject.send_raw(request)
            for _ in requests:
                replies.append(self._compare_next(commands[len(replies)], compare))
        return replies

    def _requests(self, commands: tuple[Words, ...]) -> Iterator[list[bytes]]:
        """The commands as bytes, those together that are sent together."""
        window: list[bytes] = []
        nbytes = 0
        for request in map(encode, commands):
            if window and not (self.pipelined and len(window) < WINDOW and nbytes + len(request) <= WINDOW_BYTES):
                yield window
                window, nbytes = [], 0
            window.append(request)
            nbytes += len(request)
        if window:
            yield window

    def _comparison_for(self, command: Words) -> Comparison:
        if words(command)[:1] in ([b"EXEC"], [b"exec"]):
            return each_by([comparison_for(queued) for queued in self._queued])
        return comparison_for(command)

    def _follow_transaction(self, command: Words, reply: bytes) -> None:
        if reply == b"+QUEUED\r\n":
            self._queued.append(command)
        elif self._queued and words(command)[:1] != [b"WATCH"]:
            self._queued = []

    def _read(self, client: WireClient, command: Words, likely: bytes = b"") -> bytes:
        try:
            return client.read_like(likely) if likely else client.read()
        except (OSError, AssertionError) as error:
            side = "oracle" if client is self.oracle else "subject"
            raise AssertionError(self._difference(f"{command!r}: {side}: {error!r}", b"", b"")) from error

    def assert_same_pipeline(self, *commands: Words) -> list[bytes]:
        """Sends all commands in one piece; the replies must be equal bytes. Returns the subject's replies."""
        __tracebackhide__ = True
        request = b"".join(encode(command) for command in commands)
        self.oracle.send_raw(request)
        self.subject.send_raw(request)
        replies = []
        for command in commands:
            replies.append(self._compare_next(command, None))
        return replies

    def _compare_next(self, command: Words, compare: Comparison | None) -> bytes:
        __tracebackhide__ = True
        expected = self._read(self.oracle, command)
        actual = self._read(self.subject, command, likely=expected)
        if (compare or actual != expected) and not (compare or self._comparison_for(command))(actual, expected):
            raise AssertionError(self._difference(repr(command), actual, expected))
        self._follow_transaction(command, expected)
        self._history.append((command, expected))
        return actual

    def assert_same_raw(self, *chunks: bytes) -> Outcome:
        """Sends raw bytes, each chunk alone; what comes back, and whether the connection closes, must be equal."""
        __tracebackhide__ = True
        expected = exchange(self.servers[1], self.oracle, chunks)
        actual = exchange(self.servers[0], self.subject, chunks)
        if expected.closed and not actual.closed:
            actual = with_late_close(self.subject, actual)
        elif actual.closed and not expected.closed:
            expected = with_late_close(self.oracle, expected)
        if actual != expected:
            raise AssertionError(self._difference(f"raw {_shortened(b''.join(chunks))}", actual, expected))
        self._history.append((b"".join(chunks), expected.received))
        return actual

    def another(self, resp: int | None = None) -> ClientPair:
        """Another connection to each of the same servers; closed together with this one."""
        pair = ClientPair(*self.servers, resp=self.resp if resp is None else resp, pipelined=self.pipelined)
        self._others.append(pair)
        return pair

    def close(self) -> None:
        for pair in self._others:
            pair.close()
        self.subject.close()
        self.oracle.close()

    def _difference(self, what: str, actual: object, expected: object) -> str:
        before = "".join(f"    {_shortened(sent)} -> {_shortened(reply)}\n" for sent, reply in self._history)
        return (
            f"the replies differ (RESP{self.resp})\n  before:\n{before}  command: {what}\n"
            f"    subject ({self.servers[0].name}): {_shortened(actual)}\n"
            f"    oracle ({self.servers[1].name}): {_shortened(expected)}"
        )


def exchange(server: Server, client: WireClient, chunks: tuple[bytes, ...]) -> Outcome:
    """Sends the chunks one by one, each handled before the next is sent, and takes what has come back."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for chunk in chunks:
            client.send_raw(chunk)
            server.barrier()
    return Outcome(*client.read_available())


def with_late_close(client: WireClient, outcome: Outcome) -> Outcome:
    """The outcome with what still comes until the close, which may follow its reply a moment later."""
    client.socket.settimeout(CLOSE_TIMEOUT_S)
    try:
        return Outcome(outcome.received + client.read_until_closed(), True)
    except TimeoutError:
        return outcome


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 2000 else f"{text[:1500]} ... {text[-400:]}"

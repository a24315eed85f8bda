# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Which client has subscribed to what, and the messages that it gets.

A message is encoded once for each protocol version, whatever the number of its receivers. Patterns are found by the
literal bytes that they begin with: a message is matched against those whose beginning its channel has, and no others.

    channels   channel -> its subscribers
    shard      the same for SSUBSCRIBE, in a space of its own
    patterns   beginning -> pattern -> its subscribers
    lengths    length of a beginning -> how many beginnings have it
    clients    all that listen to something

A client holds its Subscriptions (dispatch.client.Client); it has none while it listens to nothing.
"""

import cython

from minikv.keyspace.glob import glob_match
from minikv.protocol.reply import Push, encode

SPECIAL = frozenset(b"*?[\\")


@cython.cclass
class Subscriptions:
    """What one client listens to, in the order in which it subscribed."""

    def __init__(self):
        self.channels = {}
        self.patterns = {}
        self.shard = {}

    def __len__(self) -> int:
        """Channels and patterns, as replies count them."""
        return len(self.channels) + len(self.patterns)


@cython.cclass
class Message:
    """A message on its way, encoded when it is first needed."""

    def __init__(self, *items: bytes):
        self.items = items

    def send(self, client: object) -> None:
        if client.resp == 3:
            if self.resp3 is None:
                self.resp3 = encode(Push(self.items), 3)
            client.push_wire(self.resp3)
        else:
            if self.resp2 is None:
                self.resp2 = encode(Push(self.items), 2)
            client.push_wire(self.resp2)


@cython.cclass
class Registry:
    """All subscriptions of a server."""

    def __init__(self):
        self.channels = {}
        self.shard = {}
        self.patterns = {}
        self.lengths = {}
        self.clients = {}
        self.pattern_count = 0

    # -- subscribing

    def subscribe(self, client: object, channel: bytes) -> int:
        """How many channels and patterns the client has then."""
        own: Subscriptions = self.subscriptions_of(client)
        own.channels[channel] = None
        self.channels.setdefault(channel, {})[client] = None
        return len(own)

    def subscribe_shard(self, client: object, channel: bytes) -> int:
        """How many shard channels the client has then."""
        own: Subscriptions = self.subscriptions_of(client)
        own.shard[channel] = None
        self.shard.setdefault(channel, {})[client] = None
        return len(own.shard)

    def subscribe_pattern(self, client: object, pattern: bytes) -> int:
        """How many channels and patterns the client has then."""
        own: Subscriptions = self.subscriptions_of(client)
        own.patterns[pattern] = None
        beginning: bytes = literal_beginning(pattern)
        same: dict = self.patterns.get(beginning)
        if same is None:
            same = self.patterns[beginning] = {}
            self.lengths[len(beginning)] = self.lengths.get(len(beginning), 0) + 1
        subscribers: dict = same.get(pattern)
        if subscribers is None:
            subscribers = same[pattern] = {}
            self.pattern_count += 1
        subscribers[client] = None
        return len(own)

    def subscriptions_of(self, client: object) -> Subscriptions:
        if client.subscriptions is None:
            client.subscriptions = Subscriptions()
            self.clients[client] = None
        return client.subscriptions

    # -- unsubscribing

    def unsubscribe(self, client: object, channel: bytes) -> int:
        """How many channels and patterns are left to the client."""
        own: Subscriptions = client.subscriptions
        if own is None:
            return 0
        if channel in own.channels:
            del own.channels[channel]
            remove(self.channels, channel, client)
        return self.left(client)

    def unsubscribe_shard(self, client: object, channel: bytes) -> int:
        """How many shard channels are left to the client."""
        own: Subscriptions = client.subscriptions
        if own is None:
            return 0
        if channel in own.shard:
            del own.shard[channel]
            remove(self.shard, channel, client)
        self.left(client)
        return len(own.shard)

    def unsubscribe_pattern(self, client: object, pattern: bytes) -> int:
        """How many channels and patterns are left to the client."""
        own: Subscriptions = client.subscriptions
        if own is None:
            return 0
        if pattern in own.patterns:
            del own.patterns[pattern]
            beginning: bytes = literal_beginning(pattern)
            same: dict = self.patterns[beginning]
            remove(same, pattern, client)
            if pattern not in same:
                self.pattern_count -= 1
            if not same:
                del self.patterns[beginning]
                self.lengths[len(beginning)] -= 1
                if self.lengths[len(beginning)] == 0:
                    del self.lengths[len(beginning)]
        return self.left(client)

    def left(self, client: object) -> int:
        own: Subscriptions = client.subscriptions
        count = len(own)
        if count == 0 and not own.shard:
            client.subscriptions = None
            del self.clients[client]
        return count

    def forget(self, client: object) -> None:
        """Remove all subscriptions of a client."""
        own: Subscriptions = client.subscriptions
        if own is None:
            return
        for channel in list(own.channels):
            self.unsubscribe(client, channel)
        for pattern in list(own.patterns):
            self.unsubscribe_pattern(client, pattern)
        for channel in list(own.shard):
            self.unsubscribe_shard(client, channel)

    # -- messages

    def publish(self, channel: bytes, data: bytes) -> object:
        """How many clients get it; once for each of their patterns that match."""
        count = 0
        subscribers: dict = self.channels.get(channel)
        if subscribers is not None:
            count += deliver(Message(b"message", channel, data), subscribers)
        if self.patterns:
            for length in list(self.lengths):
                if length <= len(channel):
                    same: dict = self.patterns.get(channel[:length])
                    if same is not None:
                        count += self.publish_to_patterns(same, channel, data)
        return count

    def publish_to_patterns(self, patterns: dict, channel: bytes, data: bytes) -> int:
        count = 0
        for pattern, subscribers in list(patterns.items()):
            if glob_match(pattern, channel):
                count += deliver(Message(b"pmessage", pattern, channel, data), subscribers)
        return count

    def publish_shard(self, channel: bytes, data: bytes) -> int:
        """How many clients get it."""
        subscribers: dict = self.shard.get(channel)
        return 0 if subscribers is None else deliver(Message(b"smessage", channel, data), subscribers)


@cython.cfunc
def remove(channels: dict, channel: bytes, client: object) -> object:
    subscribers: dict = channels[channel]
    del subscribers[client]
    if not subscribers:
        del channels[channel]
    return None


@cython.cfunc
def deliver(message: Message, subscribers: dict) -> object:
    """A receiver may be closed meanwhile, because it does not read its replies."""
    receivers: list = list(subscribers)
    for client in receivers:
        message.send(client)
    return len(receivers)


def literal_beginning(pattern: bytes) -> bytes:
    """The bytes that every channel begins with which the pattern matches."""
    for index, byte in enumerate(pattern):
        if byte in SPECIAL:
            return pattern[:index]
    return pattern

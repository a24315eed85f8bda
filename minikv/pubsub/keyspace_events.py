# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Keyspace notifications: events on keys as messages of publish/subscribe.

    keyspace (keyspace/events.py) -> KeyspaceEvents -> Registry.publish

Each event is published twice, if both are wanted: by key, with the event as the message, then by event, with the key.
"""

import cython
from cython.cimports.minikv.keyspace.events import (
    EVENT_EVICTED,
    EVENT_EXPIRED,
    EVENT_GENERIC,
    EVENT_HASH,
    EVENT_LIST,
    EVENT_MISSED,
    EVENT_MODULE,
    EVENT_NEW,
    EVENT_SET,
    EVENT_SORTED_SET,
    EVENT_STREAM,
    EVENT_STRING,
)
from cython.cimports.minikv.pubsub.registry import Registry

CLASSES = {
    "g": EVENT_GENERIC,
    "$": EVENT_STRING,
    "l": EVENT_LIST,
    "s": EVENT_SET,
    "h": EVENT_HASH,
    "z": EVENT_SORTED_SET,
    "x": EVENT_EXPIRED,
    "e": EVENT_EVICTED,
    "t": EVENT_STREAM,
    "m": EVENT_MISSED,
    "d": EVENT_MODULE,
    "n": EVENT_NEW,
}


@cython.cclass
class KeyspaceEvents:
    """A reader of a keyspace's events that publishes them; which ones, notify-keyspace-events says."""

    def __init__(self, registry: Registry, databases: cython.int):
        self.registry = registry
        self.by_key = [b"__keyspace@%d__:" % number for number in range(databases)]
        self.by_event = [b"__keyevent@%d__:" % number for number in range(databases)]

    def choose(self, letters: str) -> int:
        """Take the setting; returns the classes to observe, 0 if there is no way in which to publish them."""
        self.names_keys = "K" in letters
        self.names_events = "E" in letters
        if not self.names_keys and not self.names_events:
            return 0
        return sum([bit for letter, bit in CLASSES.items() if letter in letters])

    def take(self, event_class: cython.int, event: bytes, number: cython.int, key: bytes) -> None:
        """Publish an event."""
        registry: Registry = self.registry
        if not registry.channels and not registry.patterns:
            return
        if self.names_keys:
            registry.publish(cython.cast(bytes, self.by_key[number]) + key, event)
        if self.names_events:
            registry.publish(cython.cast(bytes, self.by_event[number]) + event, key)

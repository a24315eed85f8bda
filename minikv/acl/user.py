# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""A user, and the selectors that say what the user may do.

The first selector is the root: what rules outside parentheses say. A command is allowed if one selector allows it with
all its keys and channels. minikv.acl.rules changes them, dispatch/permissions.py asks.
"""

import cython

from minikv.keyspace.glob import glob_match

# Pattern.kind
GLOB = cython.declare(cython.int, 0)
LITERAL = cython.declare(cython.int, 1)
PREFIX = cython.declare(cython.int, 2)  # a literal, then one *

SPECIAL = frozenset(b"*?[\\")


@cython.cclass
class Pattern:
    """A pattern of keys or channels. access: what is allowed on the keys, ACCESS_READ, ACCESS_WRITE or both."""

    def __init__(self, text: bytes, access: cython.int):
        self.text = text
        self.access = access
        self.kind = GLOB
        self.literal_len = len(text)
        if not SPECIAL.intersection(text):
            self.kind = LITERAL
        elif text.endswith(b"*") and len(text) > 1 and not SPECIAL.intersection(text[:-1]):
            self.kind = PREFIX
            self.literal_len = len(text) - 1

    def matches(self, string: bytes) -> cython.bint:
        if self.kind == GLOB:
            return glob_match(self.text, string)
        if self.kind == LITERAL:
            return string == self.text
        if len(string) < self.literal_len:
            return False
        ours: cython.p_const_char = self.text
        theirs: cython.p_const_char = string
        return memcmp(ours, theirs, self.literal_len) == 0


@cython.cclass
class Selector:
    """A set of commands, of keys and of channels.

    bits: see minikv.acl.catalog. all_commands: nothing was taken away since +@all. first_args: by a command's number,
    the first arguments with which it is allowed all the same. patterns, channels: by their text, in order.
    described: the commands as rules, None if they have changed since.
    """

    def __init__(self, all_channels: cython.bint = False):
        self.all_channels = all_channels
        self.first_args = {}
        self.set_bits(0)
        self.set_patterns(())
        self.set_channels(())

    def copy(self) -> object:
        """One like this."""
        twin = Selector(self.all_channels)
        twin.all_commands = self.all_commands
        twin.all_keys = self.all_keys
        twin.first_args = {number: list(words) for number, words in self.first_args.items()}
        twin.bits, twin.packed = self.bits, self.packed
        twin.set_patterns([Pattern(pattern.text, pattern.access) for pattern in self.patterns.values()])
        twin.set_channels(self.channels)
        twin.described = self.described
        return twin

    def set_bits(self, bits: object) -> None:
        """Which commands are allowed."""
        self.bits = bits
        self.packed = bits.to_bytes(bits.bit_length() // 8 + 1, "little")
        self.described = None

    def set_patterns(self, patterns: object) -> None:
        """Which keys are allowed, beside all_keys."""
        self.key_patterns = list(patterns)
        self.patterns = {pattern.text: pattern for pattern in self.key_patterns}

    def add_pattern(self, pattern: Pattern) -> None:
        """Allow more keys."""
        self.patterns[pattern.text] = pattern
        self.key_patterns.append(pattern)

    def set_channels(self, channels: object) -> None:
        """Patterns of the channels that are allowed, beside all_channels."""
        self.channels = {text: Pattern(text, ACCESS_BOTH) for text in channels}
        self.channel_patterns = list(self.channels.values())

    def add_channel(self, text: bytes) -> None:
        """Allow more channels."""
        if text not in self.channels:
            pattern = self.channels[text] = Pattern(text, ACCESS_BOTH)
            self.channel_patterns.append(pattern)

    def allows_command(self, id: cython.int, first_arg: bytes) -> cython.bint:
        """first_arg: the one behind the name, None if there is none."""
        if self.all_commands:
            return True
        place: cython.Py_ssize_t = id >> 3
        if place < len(self.packed) and self.packed[place] >> (id & 7) & 1:
            return True
        if first_arg is None or not self.first_args:
            return False
        words: list = self.first_args.get(id)
        return words is not None and first_arg.lower() in [word.lower() for word in words]

    def allows_key(self, key: bytes, access: cython.int) -> cython.bint:
        """access: what is done to the key; 0 means that any pattern will do."""
        if self.all_keys:
            return True
        pattern: Pattern
        for pattern in self.key_patterns:  # noqa: SIM110 (a generator would be slower)
            if pattern.access & access == access and pattern.matches(key):
                return True
        return False

    def allows_all_keys(self, access: cython.int) -> cython.bint:
        """Whether it allows this access to every key there may be."""
        if self.all_keys:
            return True
        pattern: Pattern = self.patterns.get(b"*")
        return pattern is not None and pattern.access & access == access

    def allows_channel(self, channel: bytes, is_pattern: cython.bint) -> cython.bint:
        """A pattern to subscribe to must be among the patterns, letter by letter."""
        if self.all_channels:
            return True
        if is_pattern:
            return channel in self.channels
        pattern: Pattern
        for pattern in self.channel_patterns:  # noqa: SIM110
            if pattern.matches(channel):
                return True
        return False


@cython.cclass
class User:
    """A user. passwords: SHA-256 in hexadecimal. nopass: any password will do.

    sanitizes, skips_sanitizing: kept for descriptions; RESTORE checks everybody's payloads. unrestricted: one selector
    allows everything, so nothing has to be checked.
    """

    def __init__(self, name: bytes, all_channels: cython.bint = False):
        self.name = name
        self.passwords = []
        self.selectors = [Selector(all_channels)]

    @property
    def root(self) -> object:
        """The selector outside parentheses."""
        return self.selectors[0]

    @property
    def is_open(self) -> bool:
        """Anybody may log in."""
        return self.nopass and self.enabled

    def take(self, other: User) -> None:
        """Become like another user, but for the name."""
        self.enabled, self.nopass = other.enabled, other.nopass
        self.skips_sanitizing, self.sanitizes = other.skips_sanitizing, other.sanitizes
        self.passwords = list(other.passwords)
        self.selectors = [selector.copy() for selector in other.selectors]
        self.settle()

    def settle(self) -> None:
        """Its rules have changed."""
        selector: Selector
        self.unrestricted = False
        for selector in self.selectors:
            if selector.all_commands and selector.all_keys and selector.all_channels:
                self.unrestricted = True

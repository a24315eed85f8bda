"""The rules of ACL SETUSER, the configuration file and ACL files: `on`, `>password`, `~pattern`, `+command`, `(...)`.

A rule changes a User or is refused with a RuleError, whose text and conditions are redis-server's. What a rule means
does not depend on the case of its words; patterns, passwords and first arguments are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from minikv.acl.catalog import Catalog, Entry
from minikv.acl.user import ACCESS_BOTH, ACCESS_READ, ACCESS_WRITE, Pattern, Selector, User
from minikv.config_file import split_words
from minikv.errors import MinikvError

# What C's isspace takes for a space, and NUL.
SPACES = frozenset(b" \t\n\v\f\r\0")
HEX_DIGITS = frozenset(b"0123456789abcdef")
HASH_LEN = 64

UNKNOWN_COMMAND = "Unknown command or category name in ACL"
SYNTAX = "Syntax error"
AFTER_ALL_KEYS = (
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. "
    "Try 'resetkeys' to start with an empty list of patterns"
)
AFTER_ALL_CHANNELS = (
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. "
    "Try 'resetchannels' to start with an empty list of channels"
)
NO_SUCH_PASSWORD = "The password you are trying to remove from the user does not exist"
BAD_HASH = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
DUPLICATE_USER = "Duplicate user found. A user can only be defined once in config files"
FIRST_ARG_OF_SUBCOMMAND = "Allowing first-arg of a subcommand is not supported"


class RuleError(MinikvError):
    """A rule that is refused; the text is the reason."""


class UnmatchedParenthesis(MinikvError):
    """A selector that does not end. start: the rule in which it begins."""

    def __init__(self, start: bytes) -> None:
        super().__init__(f"Unmatched parenthesis in acl selector starting at '{shown(start)}'.")
        self.start = start


def shown(text: bytes) -> str:
    """A rule in an error text, as C prints it."""
    return text.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def has_spaces(text: bytes) -> bool:
    """Whether a name or pattern has what would break a line of rules."""
    return not SPACES.isdisjoint(text)


def password_hash(password: bytes) -> bytes:
    """How a password is kept."""
    return sha256(password).hexdigest().encode()


def merge_selectors(words: Sequence[bytes]) -> list[bytes]:
    """The rules, each selector one of them, even if it came as several words; UnmatchedParenthesis."""
    merged: list[bytes] = []
    open_at = -1
    selector = b""
    for index, word in enumerate(words):
        if word.startswith(b"(") and not word.endswith(b")"):
            selector, open_at = word, index
        elif open_at < 0:
            merged.append(word)
        else:
            selector += b" " + word.partition(b"\0")[0]
            if word.endswith(b")"):
                merged.append(selector)
                open_at = -1
    if open_at >= 0:
        raise UnmatchedParenthesis(words[open_at])
    return merged


class Rules:
    """Applies rules to users.

    opens_channels: whether new users and selectors may use all channels (acl-pubsub-default). warn: takes a line for
    the log.
    """

    def __init__(
        self, catalog: Catalog, opens_channels: Callable[[], bool], warn: Callable[[str], object] = lambda line: None
    ) -> None:
        self.catalog = catalog
        self.opens_channels = opens_channels
        self.warn = warn

    def new_user(self, name: bytes) -> User:
        """One who may do nothing."""
        return User(name, self.opens_channels())

    def apply(self, user: User, rule: bytes) -> None:
        """Change the user by one rule; RuleError. `user.settle` is up to the caller."""
        if not rule:
            return
        word = rule.partition(b"\0")[0].lower()
        change = USER_WORDS.get(word)
        if change is not None:
            change(user)
        elif word == b"reset":
            self.reset(user)
        elif rule[:1] in (b">", b"#"):
            password = read_password(rule)
            if password not in user.passwords:
                user.passwords.append(password)
            user.nopass = False
        elif rule[:1] in (b"<", b"!"):
            password = read_password(rule)
            if password not in user.passwords:
                raise RuleError(NO_SUCH_PASSWORD)
            user.passwords.remove(password)
        elif rule[:1] == b"(" and rule[-1:] == b")":
            user.selectors.append(self.read_selector(rule))
        else:
            self.apply_to_selector(user.root, rule)

    def reset(self, user: User) -> None:
        """Back to the state of a new user."""
        forget_passwords(user)
        forget_selectors(user)
        user.enabled = False
        sanitize(user)
        root = user.root
        root.all_keys = False
        root.set_patterns(())
        root.all_channels = self.opens_channels()
        root.set_channels(())
        self.allow_nothing(root)

    def read_selector(self, rule: bytes) -> Selector:
        """A selector in parentheses. Redis ignores its rules if their quotes are not balanced."""
        selector = Selector(self.opens_channels())
        text = rule[1:-1].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        for word in split_words(text) or []:
            self.apply_to_selector(selector, word.encode("utf-8", "surrogateescape"))
        return selector

    def apply_to_selector(self, selector: Selector, rule: bytes) -> None:
        """Change what a selector allows; RuleError."""
        word = rule.partition(b"\0")[0].lower()
        change = SELECTOR_WORDS.get(word)
        if change is not None:
            change(selector)
        elif word in (b"allcommands", b"+@all"):
            selector.set_bits(self.catalog.everything)
            selector.all_commands = True
            selector.first_args = {}
        elif word in (b"nocommands", b"-@all"):
            self.allow_nothing(selector)
        elif rule[:1] in (b"~", b"%"):
            add_pattern(selector, rule)
        elif rule[:1] == b"&":
            add_channel(selector, rule[1:])
        elif word[:2] in (b"+@", b"-@"):
            self.set_category(selector, word[2:], word[:1] == b"+")
        elif word[:1] == b"+":
            self.allow(selector, rule.partition(b"\0")[0][1:])
        elif word[:1] == b"-":
            self.set_command(selector, self.find(word[1:]), False)
        else:
            raise RuleError(SYNTAX)

    def find(self, name: bytes) -> Entry:
        entry = self.catalog.lookup(name)
        if entry is None:
            raise RuleError(UNKNOWN_COMMAND)
        return entry

    def allow(self, selector: Selector, name: bytes) -> None:
        """+command, +command|subcommand or +command|first-argument."""
        if b"|" not in name:
            self.set_command(selector, self.find(name), True)
            return
        container, _, word = name.rpartition(b"|")
        entry = self.find(container)
        if entry.parent is not None:
            raise RuleError(FIRST_ARG_OF_SUBCOMMAND)
        if not word:
            raise RuleError(SYNTAX)
        if entry.children:
            self.set_command(selector, self.find(name), True)
            return
        self.warn(
            f"Deprecation warning: +{shown(name)} allows one first argument of a command that is not allowed otherwise"
        )
        words = selector.first_args.setdefault(entry.id, [])
        if word.lower() not in [known.lower() for known in words]:
            words.append(word)
        selector.described = None

    def allow_nothing(self, selector: Selector) -> None:
        selector.set_bits(0)
        selector.all_commands = False
        selector.first_args = {}

    def set_command(self, selector: Selector, entry: Entry, allowed: bool) -> None:
        """A command with all its subcommands."""
        selector.first_args.pop(entry.id, None)
        change_bits(selector, entry.everything, allowed)

    def set_category(self, selector: Selector, category: bytes, allowed: bool) -> None:
        touched = self.catalog.touched.get(category)
        if touched is None:
            raise RuleError(UNKNOWN_COMMAND)
        for number in list(selector.first_args):
            if self.catalog.members[category] >> number & 1:
                del selector.first_args[number]
        change_bits(selector, touched, allowed)


def change_bits(selector: Selector, bits: int, allowed: bool) -> None:
    if allowed:
        selector.set_bits(selector.bits | bits)
    else:
        selector.set_bits(selector.bits & ~bits)
        selector.all_commands = False


def read_password(rule: bytes) -> bytes:
    """The hash that >password, #hash, <password or !hash means."""
    if rule[:1] in (b">", b"<"):
        return password_hash(rule[1:])
    if len(rule) != HASH_LEN + 1 or not HEX_DIGITS.issuperset(rule[1:]):
        raise RuleError(BAD_HASH)
    return rule[1:]


def add_pattern(selector: Selector, rule: bytes) -> None:
    """~pattern, %R~pattern, %W~pattern or %RW~pattern."""
    if selector.all_keys:
        raise RuleError(AFTER_ALL_KEYS)
    access, text = ACCESS_BOTH, rule[1:]
    if rule[:1] == b"%":
        letters, _, text = text.partition(b"~")
        wanted = [{b"r": ACCESS_READ, b"w": ACCESS_WRITE}.get(letters[i : i + 1].lower()) for i in range(len(letters))]
        if not wanted or None in wanted or len(set(wanted)) < len(wanted):
            raise RuleError(SYNTAX)
        access = sum(each for each in wanted if each)
    if has_spaces(text):
        raise RuleError(SYNTAX)
    known = selector.patterns.get(text)
    if known is not None:
        known.access |= access
    else:
        selector.add_pattern(Pattern(text, access))


def add_channel(selector: Selector, text: bytes) -> None:
    if selector.all_channels:
        raise RuleError(AFTER_ALL_CHANNELS)
    if has_spaces(text):
        raise RuleError(SYNTAX)
    selector.add_channel(text)


def enable(user: User) -> None:
    user.enabled = True


def disable(user: User) -> None:
    user.enabled = False


def sanitize(user: User) -> None:
    user.sanitizes, user.skips_sanitizing = True, False


def skip_sanitizing(user: User) -> None:
    user.sanitizes, user.skips_sanitizing = False, True


def need_no_password(user: User) -> None:
    user.passwords = []
    user.nopass = True


def forget_passwords(user: User) -> None:
    user.passwords = []
    user.nopass = False


def forget_selectors(user: User) -> None:
    user.selectors = user.selectors[:1]


def allow_all_keys(selector: Selector) -> None:
    selector.all_keys = True
    selector.set_patterns(())


def forget_keys(selector: Selector) -> None:
    selector.all_keys = False
    selector.set_patterns(())


def allow_all_channels(selector: Selector) -> None:
    selector.all_channels = True
    selector.set_channels(())


def forget_channels(selector: Selector) -> None:
    selector.all_channels = False
    selector.set_channels(())


USER_WORDS: dict[bytes, Callable[[User], None]] = {
    b"on": enable,
    b"off": disable,
    b"sanitize-payload": sanitize,
    b"skip-sanitize-payload": skip_sanitizing,
    b"nopass": need_no_password,
    b"resetpass": forget_passwords,
    b"clearselectors": forget_selectors,
}

SELECTOR_WORDS: dict[bytes, Callable[[Selector], None]] = {
    b"allkeys": allow_all_keys,
    b"~*": allow_all_keys,
    b"resetkeys": forget_keys,
    b"allchannels": allow_all_channels,
    b"&*": allow_all_channels,
    b"resetchannels": forget_channels,
}

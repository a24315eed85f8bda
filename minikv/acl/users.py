"""All users: by name, changed by rules, loaded from lines of rules.

A change is complete or it does not happen: rules are applied to a copy, a file is loaded beside the users that there
are.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from minikv.acl.catalog import Catalog
from minikv.acl.description import describe
from minikv.acl.rules import (
    DUPLICATE_USER,
    UNKNOWN_COMMAND,
    RuleError,
    Rules,
    UnmatchedParenthesis,
    has_spaces,
    merge_selectors,
    password_hash,
    shown,
)
from minikv.acl.user import User
from minikv.errors import MinikvError

DEFAULT = b"default"
# What the default user may do before any rule.
ALL_RIGHTS = (b"+@all", b"~*", b"&*", b"on", b"nopass")

NO_CHANGE = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"


class UsersError(MinikvError):
    """Rules that are refused; the text is complete but for its code."""


class Follower(Protocol):
    """What has to know of changes: whoever holds the connections."""

    def before_change(self, user: User, staged: User) -> None:
        """The user is about to become like the staged one."""
        ...

    def after_change(self, user: User) -> None:
        """The user has other rights, or another password."""
        ...

    def after_removal(self, user: User) -> None:
        """There is no such user any more."""
        ...


class Nobody:
    """A Follower while there are no connections."""

    def before_change(self, user: User, staged: User) -> None:
        pass

    def after_change(self, user: User) -> None:
        pass

    def after_removal(self, user: User) -> None:
        pass


class Users:
    """The users of a server. default: whom a connection begins with; it is always the same object."""

    def __init__(self, rules: Rules, catalog: Catalog) -> None:
        self.rules = rules
        self.catalog = catalog
        self.follower: Follower = Nobody()
        self.default = self.default_user()
        self.by_name = {DEFAULT: self.default}

    def default_user(self) -> User:
        """The default user as it is without any rule."""
        user = self.rules.new_user(DEFAULT)
        for rule in ALL_RIGHTS:
            self.rules.apply(user, rule)
        user.settle()
        return user

    def __iter__(self) -> Iterator[User]:
        """In the order of their names."""
        return iter([self.by_name[name] for name in sorted(self.by_name)])

    def get(self, name: bytes) -> User | None:
        """The user of this name."""
        return self.by_name.get(name)

    def line(self, user: User) -> bytes:
        """The user as a line of a file."""
        return b"user %b %b" % (user.name, describe(user, self.catalog))

    def lines(self) -> list[bytes]:
        """All users as lines of a file."""
        return [self.line(user) for user in self]

    def is_as_set_by(self, password: bytes) -> bool:
        """Whether the default user is what the setting requirepass alone makes of it."""
        plain = self.default_user()
        if password:
            self.rules.apply(plain, b"resetpass")
            self.rules.apply(plain, b">" + password)
        return self.line(plain) == self.line(self.default)

    # -- logging in ----------------------------------------------------------------------------------------------------

    def authenticate(self, name: bytes, password: bytes) -> User | None:
        """The user, if it is enabled and the password is right."""
        user = self.by_name.get(name)
        if user is None or not user.enabled:
            return None
        if user.nopass:
            return user
        given = password_hash(password)
        # All are compared, in constant time: the duration tells nothing of which one is nearly right.
        found = [hmac.compare_digest(given, known) for known in user.passwords]
        return user if any(found) else None

    # -- changes -------------------------------------------------------------------------------------------------------

    def change(self, name: bytes, words: Sequence[bytes]) -> None:
        """ACL SETUSER; UsersError, and nothing has changed."""
        user = self.by_name.get(name)
        try:
            rules = merge_selectors(words)
        except UnmatchedParenthesis as error:
            raise UsersError(str(error)) from None
        staged = self.rules.new_user(name)
        if user is not None:
            staged.take(user)
        for rule in rules:
            try:
                self.rules.apply(staged, rule)
            except RuleError as error:
                raise UsersError(f"Error in ACL SETUSER modifier '{shown(rule)}': {error}") from None
        if user is None:
            staged.settle()
            self.by_name[name] = staged
            return
        self.follower.before_change(user, staged)
        user.take(staged)
        self.follower.after_change(user)

    def remove(self, name: bytes) -> bool:
        """ACL DELUSER; False if there is no such user. Not for the default user."""
        user = self.by_name.pop(name, None)
        if user is None:
            return False
        self.follower.after_removal(user)
        return True

    def set_default_password(self, password: bytes) -> None:
        """The setting requirepass; empty: the default user needs none."""
        self.rules.apply(self.default, b"resetpass")
        self.rules.apply(self.default, b">" + password if password else b"nopass")
        self.default.settle()
        self.follower.after_change(self.default)

    # -- files ---------------------------------------------------------------------------------------------------------

    def load_directives(self, lines: Iterable[tuple[str, Sequence[bytes]]]) -> None:
        """The users of a configuration file: the place of each line and its words after `user`; UsersError."""
        errors = []
        seen: set[bytes] = set()
        for place, (name, *words) in lines:
            try:
                if name in seen:
                    raise RuleError(DUPLICATE_USER)
                seen.add(name)
                self._load_directive(name, words)
            except (RuleError, UnmatchedParenthesis) as error:
                errors.append(f"{place}: user {shown(name)}: {error}")
        if errors:
            raise UsersError("\n".join(errors))

    def _load_directive(self, name: bytes, words: Sequence[bytes]) -> None:
        if has_spaces(name):
            raise RuleError("Spaces not allowed in ACL usernames")
        user = self.by_name.setdefault(name, self.default) if name == DEFAULT else self.rules.new_user(name)
        if name == DEFAULT:
            self.rules.reset(user)
        for rule in merge_selectors(words):
            try:
                self.rules.apply(user, rule)
            except RuleError as error:
                raise RuleError(f"{error}: '{without_password(rule)}'") from None
        user.settle()
        self.by_name[name] = user

    def load_file_text(self, text: bytes, path: str) -> None:
        """ACL LOAD: replace all users by those of a file; UsersError, and nothing has changed."""
        loaded: dict[bytes, User] = {}
        errors = ""
        for number, line in enumerate(file_lines(text), 1):
            if line:
                errors += self._load_line(line, f"{path}:{number}", number, loaded)
        if errors:
            raise UsersError(errors + NO_CHANGE)
        new_default = loaded.get(DEFAULT) or self.default_user()
        removed = [user for user in self.by_name.values() if user is not self.default]
        self.default.take(new_default)
        self.by_name = {**loaded, DEFAULT: self.default}
        self.follower.after_change(self.default)
        for user in removed:
            self.follower.after_removal(user)

    def _load_line(self, line: bytes, place: str, number: int, loaded: dict[bytes, User]) -> str:
        """What is wrong with a line of an ACL file; empty if its user was added."""
        words = line.split(b" ")
        if words[0] != b"user" or len(words) < 2:
            return f"{place} should start with user keyword followed by the username. "
        name = words[1]
        if has_spaces(name):
            return f"'{place}: username '{shown(name)}' contains invalid characters. "
        if name in loaded:
            return f"WARNING: Duplicate user '{shown(name)}' found on line {number}. "
        user = loaded[name] = self.rules.new_user(name)
        try:
            rules = merge_selectors(words[2:])
        except UnmatchedParenthesis:
            return f"{place}: Unmatched parenthesis in selector definition."
        errors = ""
        refused = False
        for rule in rules:
            rule = rule.strip(b"\t\r\n")
            try:
                self.rules.apply(user, rule)
            except RuleError as error:
                if str(error) == UNKNOWN_COMMAND:
                    errors += f"{place}: Error in applying operation '{shown(rule)}': {error}. "
                elif not refused:
                    refused = True
                    errors += f"{place}: {error}. "
        user.settle()
        return errors


def file_lines(text: bytes) -> list[bytes]:
    """The lines of an ACL file without blanks at their ends. A NUL hides the rest of its line, as in Redis."""
    read = re.sub(rb"\0[^\n]*\n?", b"", text)
    return [line.strip(b" \t\r\n") for line in read.split(b"\n")]


def without_password(rule: bytes) -> str:
    """A rule as a log or an error may show it."""
    return shown(rule[:1] + b"(redacted)" if rule[:1] in (b">", b"<", b"#", b"!") else rule)

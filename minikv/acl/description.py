"""A user as rules: what ACL LIST shows, and what the configuration file and ACL files hold.

The commands are described as briefly as categories allow, by the steps of redis-server: from `+@all` or `-@all`,
again and again the category that fits best, and at the end single commands.
"""

from __future__ import annotations

from minikv.acl.catalog import Catalog
from minikv.acl.user import ACCESS_READ, ACCESS_WRITE, Pattern, Selector, User

PREFIXES = {ACCESS_READ: b"%R~", ACCESS_WRITE: b"%W~"}


def describe(user: User, catalog: Catalog) -> bytes:
    """All rules that make this user, without the name."""
    words = [*flags(user), *[b"#" + password for password in user.passwords]]
    words.append(describe_selector(user.root, catalog))
    words += [b"(%b)" % describe_selector(selector, catalog) for selector in user.selectors[1:]]
    return b" ".join(words)


def flags(user: User) -> list[bytes]:
    """In Redis's order."""
    words = [b"on" if user.enabled else b"off"]
    if user.nopass:
        words.append(b"nopass")
    if user.skips_sanitizing:
        words.append(b"skip-sanitize-payload")
    if user.sanitizes:
        words.append(b"sanitize-payload")
    return words


def describe_selector(selector: Selector, catalog: Catalog) -> bytes:
    words = [keys(selector)] if selector.all_keys or selector.patterns else []
    if not selector.all_channels:
        words.append(b"resetchannels")
    if selector.all_channels or selector.channels:
        words.append(channels(selector))
    return b" ".join([*words, commands(selector, catalog)])


def keys(selector: Selector) -> bytes:
    return b"~*" if selector.all_keys else b" ".join(map(pattern_rule, selector.patterns.values()))


def pattern_rule(pattern: Pattern) -> bytes:
    return PREFIXES.get(pattern.access, b"~") + pattern.text


def channels(selector: Selector) -> bytes:
    return b"&*" if selector.all_channels else b" ".join([b"&" + text for text in selector.channels])


def commands(selector: Selector, catalog: Catalog) -> bytes:
    """The rules that allow its commands."""
    if selector.described is None:
        selector.described = " ".join(command_rules(selector, catalog))
    return selector.described.encode("utf-8", "surrogateescape")


def command_rules(selector: Selector, catalog: Catalog) -> list[str]:
    wanted = selector.bits
    subtracts = wanted & catalog.future != 0
    reached = catalog.everything if subtracts else 0
    sign = "-" if subtracts else "+"
    rules = ["+@all" if subtracts else "-@all"]
    for category in best_categories(wanted, subtracts, catalog):
        touched = catalog.touched[category]
        reached = reached & ~touched if subtracts else reached | touched
        rules.append(f"{sign}@{category.decode()}")
    if reached == wanted and not selector.first_args:
        return rules
    for entry in catalog.in_order:
        name = entry.name.decode()
        allowed = wanted >> entry.id & 1
        if reached >> entry.id & 1 != allowed:
            rules.append(("+" if allowed else "-") + name)
            reached = reached | entry.everything if allowed else reached & ~entry.everything
        if not allowed:
            for word in selector.first_args.get(entry.id, ()):
                rules.append(f"+{name}|{word.decode('utf-8', 'surrogateescape')}")
    return rules


def best_categories(wanted: int, subtracts: bool, catalog: Catalog) -> list[bytes]:
    """The categories to add or subtract, one after the other.

    Of those with more commands that fit than do not, the one with fewest that do not; among equals the one with most
    that do.
    """
    chosen: list[bytes] = []
    left = wanted
    while True:
        best, best_same, best_different = b"", 0, 0
        for category in catalog.categories:
            if category in chosen:
                continue
            members = catalog.members[category] & catalog.counted
            on = (left & members).bit_count()
            off = members.bit_count() - on
            same, different = (off, on) if subtracts else (on, off)
            if same <= different:
                continue
            if not best or different < best_different or (different == best_different and same > best_same):
                best, best_same, best_different = category, same, different
        if not best:
            return chosen
        chosen.append(best)
        touched = catalog.touched[best]
        left = left | touched if subtracts else left & ~touched

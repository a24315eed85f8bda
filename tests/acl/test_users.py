"""Users without a server: what a file of rules may be, and that a bad one changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from minikv.acl import file
from minikv.acl.catalog import Catalog
from minikv.acl.log import AclLog
from minikv.acl.rules import Rules
from minikv.acl.start import open_users
from minikv.acl.user import ACCESS_READ, ACCESS_WRITE, Pattern, Selector
from minikv.acl.users import NO_CHANGE, Users, UsersError
from minikv.config import Config
from minikv.errors import ConfigError
from minikv.keyspace.glob import glob_match

COMMANDS = {
    "get": "read string fast",
    "set": "write string slow",
    "config": "slow",
    "config|get": "admin slow dangerous",
    "config|set": "admin slow dangerous",
    "publish": "pubsub fast",
}
CATEGORIES = ("read", "write", "string", "pubsub", "admin", "fast", "slow", "connection", "dangerous")


@pytest.fixture
def catalog() -> Catalog:
    def known(name: str, words: str) -> SimpleNamespace:
        categories = [b"@" + word.encode() for word in words.split()]
        return SimpleNamespace(full_name=name.encode(), spec=SimpleNamespace(category_names=lambda: categories))

    return Catalog([known(name, words) for name, words in COMMANDS.items()], CATEGORIES)


@pytest.fixture
def users(catalog: Catalog) -> Users:
    return Users(Rules(catalog, lambda: False), catalog)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "users.acl"


GOOD = b"""user default on nopass ~* &* +@all
user alice on #%b ~a:* %%R~b &c -@all +get +config|get (~x resetchannels -@all +set)

user bob off  resetchannels -@all\t\r
""" % (b"0" * 64)


def test_a_file_is_loaded_and_written_back(users: Users, path: Path) -> None:
    path.write_bytes(GOOD)
    file.load(users, str(path))
    lines = users.lines()
    assert lines == [
        b"user alice on #%b ~a:* %%R~b resetchannels &c -@all +@read +config|get (~x resetchannels -@all +@write)"
        % (b"0" * 64),
        b"user bob off resetchannels -@all",
        b"user default on nopass ~* &* +@all",
    ]
    file.save(users, str(path))
    assert path.read_bytes() == b"".join(line + b"\n" for line in lines)
    file.load(users, str(path))
    assert users.lines() == lines
    assert os.listdir(path.parent) == ["users.acl"]


def test_a_file_cut_anywhere_is_loaded_whole_or_not_at_all(users: Users, path: Path) -> None:
    users.change(b"kept", [b"on", b">p"])
    before = users.lines()
    for end in range(len(GOOD) + 1):
        path.write_bytes(GOOD[:end])
        try:
            file.load(users, str(path))
        except UsersError as error:
            assert str(error).endswith(NO_CHANGE)
            assert f"{path}:" in str(error)
            assert users.lines() == before
        else:
            assert users.get(b"kept") is None
            users.load_file_text(b"\n".join(before), "before")
            assert users.lines() == before


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"alice on", "F:1 should start with user keyword followed by the username. "),
        (b"\nuser", "F:2 should start with user keyword followed by the username. "),
        (b"user a\tb on", "'F:1: username 'a\tb' contains invalid characters. "),
        (b"user a on\nuser a off", "WARNING: Duplicate user 'a' found on line 2. "),
        (b"user a +none +@none", "F:1: Error in applying operation '+none': Unknown command or category name in ACL. "),
        (b"user a x y +none", "F:1: Syntax error. F:1: Error in applying operation '+none': Unknown"),
        (b"user a on (~x +get", "F:1: Unmatched parenthesis in selector definition."),
        (b"user a <p", "F:1: The password you are trying to remove from the user does not exist. "),
        (b"# comment", "F:1 should start with user keyword"),
        (b"USER a on", "F:1 should start with user keyword"),
        (b"user a on\0 ~x\nuser b x", "F:1: "),
    ],
)
def test_what_is_wrong_with_a_file(users: Users, text: bytes, error: str) -> None:
    users.change(b"kept", [b"on"])
    with pytest.raises(UsersError) as raised:
        users.load_file_text(text, "F")
    assert str(raised.value).startswith(error)
    assert [user.name for user in users] == [b"default", b"kept"]


def test_a_missing_file(users: Users, path: Path) -> None:
    with pytest.raises(UsersError, match=r"Error loading ACLs, opening file '.*': No such file or directory"):
        file.load(users, str(path))


def test_a_directory_that_cannot_be_written(users: Users, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        file.save(users, str(tmp_path / "none" / "users.acl"))


def test_a_file_without_the_default_user_makes_it_anew(users: Users) -> None:
    users.change(b"default", [b"resetpass", b">p", b"-@all"])
    users.load_file_text(b"user a on", "F")
    assert users.line(users.default) == b"user default on nopass ~* &* +@all"
    assert users.get(b"default") is users.default


def opened(catalog: Catalog, *arguments: str) -> Users:
    return open_users(Config.load(arguments), catalog, lambda line: None, lambda line: None)


def test_users_of_the_command_line(catalog: Catalog) -> None:
    users = opened(catalog, "--requirepass", "p", "--user", "a", "on", ">secret", "(~x", "+get)")
    assert users.authenticate(b"a", b"secret") is users.get(b"a")
    assert users.authenticate(b"default", b"p") is users.default
    assert users.authenticate(b"default", b"q") is users.authenticate(b"none", b"p") is None
    assert opened(catalog, "--requirepass", "p", "--user", "default", "on", "nopass").default.nopass


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--user", "a", "+none"), "--user: user a: Unknown command or category name in ACL: '+none'"),
        (("--user", "a", "x"), "--user: user a: Syntax error: 'x'"),
        (("--user", "a b", "on"), "--user: user a b: Spaces not allowed in ACL usernames"),
        (("--user", "a", "(~x"), "Unmatched parenthesis"),
        (("--user", "a", "on", "--user", "a", "off"), "Duplicate user found"),
        (("--user", "a", "<secret"), "'<(redacted)'"),
        (("--user", "a", "on", "--aclfile", "f"), "only one of both"),
        (("--aclfile", "/none/f"), "Error loading ACLs, opening file '/none/f': No such file or directory"),
    ],
)
def test_users_that_a_server_does_not_start_with(catalog: Catalog, arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        opened(catalog, *arguments)
    assert text in str(raised.value)
    assert "secret" not in str(raised.value)


def test_what_redis_has_and_this_server_lacks_may_be_named(users: Users) -> None:
    users.change(b"a", [b"+psync", b"+bgrewriteaof", b"-sync"])
    assert users.line(users.by_name[b"a"]) == b"user a off resetchannels -@all +bgrewriteaof +psync"
    users.change(b"a", [b"+@all", b"-@read"])
    assert users.line(users.by_name[b"a"]).endswith(b"+@all -@read")


@pytest.mark.parametrize("pattern", [b"a", b"a*", b"*", b"", b"a\\*", b"a?", b"[a]*", b"a**", b"*a", b"ab:*"])
def test_a_pattern_matches_what_the_glob_matches(pattern: bytes) -> None:
    selector = Selector()
    selector.add_pattern(Pattern(pattern, ACCESS_READ))
    for key in (b"", b"a", b"ab", b"b", b"*", b"a*", b"ab:", b"ab:x", b"aa", b"a\0"):
        assert selector.allows_key(key, ACCESS_READ) == selector.allows_key(key, 0) == glob_match(pattern, key)
        assert not selector.allows_key(key, ACCESS_WRITE)


def test_the_log_keeps_the_beginning_of_long_names() -> None:
    log = AclLog(Config(), lambda client: b"name=" + b"c" * 10_000)
    for end in (b"x", b"y"):
        log.note(object(), b"key", b"toplevel", b"k" * 5000 + end, b"u" * 5000 + end)
    (entry,) = log.newest(10)
    assert entry.count == 2  # what differs is not kept
    assert (len(entry.object), len(entry.username), len(entry.client)) == (1024, 1024, 4096)


def test_the_log_forgets_to_group_after_a_minute() -> None:
    now = [1000.0]
    log = AclLog(Config(), lambda client: b"client\n", lambda: now[0])
    for seconds in (0, 30, 59, 61, 200):
        now[0] = 1000.0 + seconds
        log.note(object(), b"key", b"toplevel", b"k", b"u")
    assert [(entry.count, entry.changed_ms) for entry in log.newest(10)] == [(1, 1_200_000), (4, 1_061_000)]
    assert log.newest(10)[0].client == b"client"
    assert log.newest(-1) == []

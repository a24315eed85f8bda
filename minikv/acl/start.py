"""The users that a server starts with: of its configuration file, or of an ACL file, or the default user alone."""

from __future__ import annotations

from collections.abc import Callable

from minikv.acl import file
from minikv.acl.catalog import Catalog
from minikv.acl.rules import Rules
from minikv.acl.users import Users, UsersError
from minikv.config import Config
from minikv.errors import ConfigError


def open_users(config: Config, catalog: Catalog, warn: Callable[[str], object], note: Callable[[str], object]) -> Users:
    """All users; ConfigError with a line for each mistake. warn, note: take lines for the log."""
    users = Users(Rules(catalog, lambda: config.acl_pubsub_default == "allchannels", warn), catalog)
    users.set_default_password(config.requirepass)
    if config.aclfile and config.users:
        place = config.users[0].place
        raise ConfigError(f"{place}: users are defined here and in an ACL file ('aclfile'); only one of both may do so")
    try:
        users.load_directives([(line.place, encoded(line.words[1:])) for line in config.users])
        if config.aclfile:
            file.load(users, config.aclfile)
    except UsersError as error:
        raise ConfigError(str(error)) from None
    for user in users:
        if not user.enabled:
            note(f"The user '{user.name.decode('utf-8', 'surrogateescape')}' is disabled: it has no rule 'on'")
    return users


def encoded(words: list[str]) -> list[bytes]:
    """The words of a configuration file as rules."""
    return [word.encode("utf-8", "surrogateescape") for word in words]

"""The ACL file on disk (setting `aclfile`): read whole, replaced in one step."""

from __future__ import annotations

import os

from minikv.acl.users import Users, UsersError
from minikv.config_file import write_atomically


def load(users: Users, path: str) -> None:
    """Replace all users by those of the file; UsersError, and nothing has changed."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UsersError(f"Error loading ACLs, opening file '{path}': {reason}") from None
    users.load_file_text(text, path)


def save(users: Users, path: str) -> None:
    """Write all users to the file; OSError leaves the old one untouched."""
    text = b"".join(line + b"\n" for line in users.lines())
    write_atomically(path, text.decode("utf-8", "surrogateescape"))

"""The shape of every HELP reply: a first line, what the container says about its subcommands, HELP itself."""

from __future__ import annotations

from collections.abc import Iterable

from minikv.protocol.reply import SimpleString


def help_lines(container: str, lines: Iterable[str]) -> list[SimpleString]:
    """The reply to `<container> HELP`; `lines` hold a subcommand each, its sentences indented by four blanks below."""
    first = f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    return [SimpleString(line.encode()) for line in (first, *lines, "HELP", "    Show this text.")]

"""COMMAND DOCS: every command is described, with the facts of Redis and sentences of our own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
from typing import Any

import pytest

from minikv.commands.command import documents
from tests.harness import Server, Value, parse
from tests.harness.compatibility import NEWER_ARGUMENTS, OWN_COMMANDS

FACTS = ["since", "group", "doc_flags", "deprecated_since", "arguments"]
OWN = {name for name in documents() if name in OWN_COMMANDS or name.partition("|")[0] in OWN_COMMANDS}


def tree(value: Value, resp3: bool = False) -> Any:
    """Maps (flat arrays in RESP2) as they come over RESP3."""
    if value.kind == b"%":
        return {tree(name): tree(item) for name, item in zip(value.payload[::2], value.payload[1::2], strict=True)}
    if isinstance(value.payload, list):
        items = [tree(item) for item in value.payload]
        return sorted(items) if value.kind == b"~" else items
    return int(value.payload) if value.kind == b":" else value.payload.decode()


def all_documents(server: Server) -> dict[str, dict[str, Any]]:
    """Every command and subcommand that the server documents, by full name."""
    with server.connect() as client:
        client.value("HELLO 3")
        found: dict[str, dict[str, Any]] = tree(parse(client.call("COMMAND DOCS")))
    for document in list(found.values()):
        found |= document.get("subcommands", {})
    return found


@pytest.fixture
def ours(minikv: Server) -> dict[str, dict[str, Any]]:
    return all_documents(minikv)


def test_exactly_the_commands_that_exist_are_documented(ours: dict[str, dict[str, Any]]) -> None:
    assert sorted(ours) == sorted(documents())


def test_every_document_has_its_fields(ours: dict[str, dict[str, Any]]) -> None:
    for name, document in ours.items():
        assert {"summary", "since", "group"} <= document.keys(), name
        assert document["summary"][0].isupper() and not document["summary"].endswith("."), name


def test_facts_are_those_of_redis(ours: dict[str, dict[str, Any]], oracle: Server) -> None:
    theirs = all_documents(oracle)
    for name in ours.keys() - OWN:
        for fact in FACTS:
            if fact != "arguments" or name not in NEWER_ARGUMENTS:
                assert ours[name].get(fact) == theirs[name].get(fact), (name, fact)
        assert ("complexity" in ours[name]) == ("complexity" in theirs[name]), name
        subcommands = set(theirs[name].get("subcommands", ())) | OWN
        assert set(ours[name].get("subcommands", ())) <= subcommands, name


def test_sentences_are_our_own(ours: dict[str, dict[str, Any]], oracle: Server) -> None:
    theirs = all_documents(oracle)
    same = [name for name, document in ours.items() if document["summary"] == theirs.get(name, {}).get("summary")]
    assert same == []


def test_redis_cli_helps_with_our_words(minikv: Server) -> None:
    """redis-cli asks for COMMAND DOCS when it starts and makes its help from the reply."""
    for name in ("set", "client kill", "bitfield"):
        result = subprocess.run(
            ["redis-cli", "-s", minikv.socket_path], input=f"help {name}\n", capture_output=True, text=True, timeout=30
        )
        assert result.returncode == 0 and not result.stderr
        assert documents()[name.replace(" ", "|")]["summary"] in result.stdout, name


def test_redis_cli_shows_hints_while_one_types(minikv: Server) -> None:
    terminal, other_end = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    with subprocess.Popen(
        ["redis-cli", "-s", minikv.socket_path],
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        env=os.environ | {"TERM": "xterm", "HOME": minikv.directory},
    ) as cli:
        os.close(other_end)
        shown = read_until(terminal, b"> ")
        os.write(terminal, b"getrange")
        shown += read_until(terminal, b"key start end")
        os.write(terminal, b"\x15exit\r")  # control-U empties the line
        assert cli.wait(30) == 0
    os.close(terminal)
    assert b"rror" not in shown


def read_until(terminal: int, words: bytes) -> bytes:
    """What the terminal shows up to and with the words."""
    shown = b""
    while words not in shown:
        assert select.select([terminal], [], [], 30)[0], shown
        shown += os.read(terminal, 4096)
    return shown

"""Every command of the table: what COMMAND INFO says of it, and what too few or too many arguments give."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import ClientPair, Server, Value, parse
from tests.harness.compatibility import NEWER_ARGUMENTS, OWN_COMMANDS

OWN = frozenset(OWN_COMMANDS)  # Redis has nothing to compare with


def described(server: Server, names: list[str]) -> dict[str, Value]:
    """COMMAND INFO of each command and of its subcommands, by full name."""
    found = {}
    reply = parse(server.call(["COMMAND", "INFO", *names]))
    for name, entry in zip(names, reply.payload, strict=True):
        if entry.payload is not None:
            found[name] = entry
            found |= {sub.payload[0].payload.decode(): sub for sub in entry.payload[9].payload}
    return found


@pytest.fixture
def names(minikv: Server, oracle: Server) -> list[str]:
    """The commands that both servers have, without subcommands."""
    return sorted(name for name in listed(minikv) - OWN if "|" not in name)


def listed(server: Server) -> set[str]:
    return {element.payload.decode() for element in parse(server.call("COMMAND LIST")).payload}


def test_every_command_is_one_of_redis(names: list[str], oracle: Server) -> None:
    assert sorted(set(names) - described(oracle, names).keys()) == []


def test_command_list_names_subcommands_too(names: list[str], minikv: Server, oracle: Server) -> None:
    assert listed(minikv) - OWN >= described(minikv, names).keys() - OWN
    assert listed(oracle) >= described(oracle, names).keys()


FIELDS = ["name", "arity", "flags", "first key", "last key", "step", "categories", "tips", "key specifications"]
UNORDERED = {"flags", "categories", "tips", "key specifications"}


def without_notes(value: Value) -> Value:
    """A key specification without its sentence; anything else as it is."""
    if isinstance(value.payload, list) and value.payload[0].payload == b"notes":
        return value._replace(payload=value.payload[2:])
    return value


def test_command_info_is_that_of_redis(names: list[str], minikv: Server, oracle: Server) -> None:
    ours, theirs = described(minikv, names), described(oracle, names)
    different = []
    for name in sorted(ours.keys() & theirs.keys()):
        for index, field in enumerate(FIELDS):
            left, right = ours[name].payload[index], theirs[name].payload[index]
            if field in UNORDERED:
                left, right = (sorted(map(without_notes, side.payload), key=repr) for side in (left, right))
            if left != right and not (field == "arity" and name in NEWER_ARGUMENTS):
                different.append(f"{name} {field}:\n    {left}\n    {right}")
    assert not different, "\n".join(different)


def test_every_subcommand_is_one_of_redis(names: list[str], minikv: Server, oracle: Server) -> None:
    assert sorted(described(minikv, names).keys() - described(oracle, names).keys() - OWN) == []


def wrong_calls(full_name: str, arity: int) -> Iterator[list[str]]:
    """The command with one argument too few and, where there is a limit, one and several too many."""
    command = full_name.upper().split("|")
    least = abs(arity) - len(command)  # arguments behind the name that Redis wants
    if least > 0:
        yield command + ["x"] * (least - 1)
        yield command
    if arity > 0:
        yield command + ["x"] * (least + 1)
        yield command + ["x"] * (least + 5)


def test_a_wrong_number_of_arguments_gives_the_same_error(pair: ClientPair, names: list[str]) -> None:
    minikv, oracle = pair.servers
    different = []
    ours = described(minikv, names)
    for name, entry in described(oracle, names).items():
        if name not in ours or name in NEWER_ARGUMENTS:
            continue
        for call in wrong_calls(name, int(entry.payload[1].payload)):
            replies = pair.subject.call(call), pair.oracle.call(call)
            if replies[0] != replies[1]:
                different.append(f"{call}: {replies[0]!r} {replies[1]!r}")
    assert not different, "\n".join(different)


def test_an_unknown_subcommand_gives_the_same_error(pair: ClientPair, names: list[str]) -> None:
    containers = {name.split("|")[0] for name in described(pair.servers[0], names) if "|" in name}
    assert containers
    for container in sorted(containers):
        pair.assert_same([container, "nonesuch"], [container, "NoneSuch", "x"], [container, ""], [container, "a\r\nb"])


def test_command_list_is_filtered_as_in_redis(minikv: Server, oracle: Server) -> None:
    """By every category and some patterns: the same of those commands that both have."""
    both = listed(minikv) & listed(oracle)
    categories = [element.payload.decode() for element in parse(oracle.call("ACL CAT")).payload]
    patterns = ["*", "get*", "GET*", "*|*", "client|*", "[xz]*", "?et", "nonesuch", "", "config", "s?????"]
    filters = [("ACLCAT", name) for name in [*categories, "READ", "@read", "nonesuch", ""]]
    filters += [("PATTERN", pattern) for pattern in patterns] + [("MODULE", "x"), ("module", "")]
    for kind, value in filters:
        ours, theirs = (
            {
                element.payload.decode()
                for element in parse(server.call(["COMMAND", "LIST", "FILTERBY", kind, value])).payload
            }
            for server in (minikv, oracle)
        )
        assert ours & both == theirs & both, (kind, value)


@pytest.mark.parametrize(
    "command",
    [
        "COMMAND INFO nonesuch",
        "COMMAND INFO get nonesuch strlen",
        "COMMAND INFO COMMAND|COUNT",
        "COMMAND DOCS nonesuch",
        "COMMAND LIST FILTERBY",
        "COMMAND LIST FILTERBY MODULE x",
        "COMMAND LIST FILTERBY ACLCAT",
        "COMMAND LIST FILTERBY PATTERN x y",
        "COMMAND LIST x",
        "COMMAND INFO get get GET",
        "COMMAND INFO config|get CONFIG|GET config|nonesuch get|x",
        "COMMAND LIST FILTERBY nonesuch x",
        "COMMAND GETKEYS",
        "COMMAND GETKEYS get",
        "COMMAND GETKEYS nonesuch a",
        "COMMAND GETKEYS get a",
        "COMMAND GETKEYS mset a 1 b 2",
        *[f"COMMAND GETKEYS zunionstore to {count} a b" for count in ("-2", "0", "1", "2", "3", "x", "")],
        *[f"COMMAND GETKEYS zunion {count} a b" for count in ("-2", "0", "1", "2", "3", "x", "2x", "+1", "01")],
        "COMMAND GETKEYSANDFLAGS zunionstore to 0 a b",
        "COMMAND GETKEYS ping",
        "COMMAND GETKEYS bitop and a b c",
        "COMMAND GETKEYS zunionstore out -2 a b",
        "COMMAND GETKEYS zunionstore out 0 a b",
        "COMMAND GETKEYS zunionstore out 3 a b",
        "COMMAND GETKEYS zunionstore out x a b",
        "COMMAND GETKEYS zunionstore out 2 a b",
        "COMMAND GETKEYS sintercard 2 a",
        "COMMAND GETKEYSANDFLAGS set a 1",
        "COMMAND COUNT x",
    ],
)
def test_command_subcommands(pair: ClientPair, command: str) -> None:
    pair.assert_same(command)


def test_docs_name_a_command_as_often_as_it_is_asked_for(pair: ClientPair) -> None:
    replies = [
        parse(client.call("COMMAND DOCS get GET config|get x")).payload for client in (pair.subject, pair.oracle)
    ]
    assert replies[0][::2] == replies[1][::2]
    assert len(replies[0]) == 6


@pytest.mark.parametrize(
    "command",
    [
        "xinfo Stream s foo",
        "XINFO Stream",
        "XGROUP Create s g 0 foo",
        "xgroup setid s g 0 foo",
        "ACL cat a b",
        "CLIENT unblock 1 foo",
        "slowlog Get 1 2",
    ],
)
def test_errors_name_a_subcommand_as_it_was_written(pair: ClientPair, command: str) -> None:
    pair.assert_same("XADD s 1-1 a b", command)


@pytest.mark.parametrize("number", ["2147483648", "-2147483649", "2147483647", "16", "-1", "x", "9223372036854775808"])
def test_databases_that_cannot_be(pair: ClientPair, number: str) -> None:
    pair.assert_same(f"SELECT {number}")

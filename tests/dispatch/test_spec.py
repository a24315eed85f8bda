"""What a command's decorator may leave out."""

from __future__ import annotations

from minikv.dispatch.spec import FAST, READONLY, CommandSpec, KeySpec, command, describe, in_category


def test_key_flags_alone_mean_that_the_first_argument_is_the_only_key() -> None:
    short = describe("GET", arity=2, flags=READONLY, key_flags="RO access")
    assert short == describe("GET", arity=2, flags=READONLY, keys=(1, 1, 1), key_flags="RO access")
    assert short.keyspecs == (KeySpec("RO access", ("index", 1), ("range", 0, 1, 0)),)


def test_without_key_flags_there_is_no_key() -> None:
    assert describe("PING", arity=-1).keys == (0, 0, 0)


def test_a_category_holds_for_all_commands_that_name_none_of_their_own() -> None:
    string = in_category("string")

    @string("KEYS", arity=2, categories="keyspace dangerous")
    @string("GET", arity=2)
    def handler() -> None: ...

    specs: tuple[CommandSpec, ...] = getattr(handler, "__command_specs__", ())
    assert [spec.categories for spec in specs] == [("string",), ("keyspace", "dangerous")]


def test_a_decorator_leaves_its_handler_as_it_is() -> None:
    def handler() -> int:
        return 3

    assert command("THREE", arity=1, flags=FAST)(handler) is handler

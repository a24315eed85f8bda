"""XREAD and XREADGROUP with BLOCK: who is served, with what, and what becomes of those whose stream or group goes."""

from __future__ import annotations

import pytest

from tests.harness import ClientPair, Scene


@pytest.fixture
def scene(pair: ClientPair) -> Scene:
    for server in pair.servers:
        server.call("CONFIG RESETSTAT")
    return Scene(pair)


def test_all_readers_get_a_new_entry(scene: Scene) -> None:
    scene.do("a", "XREAD BLOCK 0 STREAMS s $")
    scene.do("b", "XREAD BLOCK 0 COUNT 1 STREAMS s t 0 0")
    scene.do("c", "XREAD BLOCK 0 STREAMS s 5-1")
    scene.do("d", "XADD s 3-1 a 1")
    scene.do("d", "XADD s 5-1 a 1", "XADD s 6-1 a 1", "XADD t 1-1 a 1")
    scene.do("a", "XREAD BLOCK 0 STREAMS s $", "PING")
    scene.do("d", "XADD s 7-1 a 1", "XLEN s")


def test_what_is_there_is_read_at_once(scene: Scene) -> None:
    scene.do("a", "XADD s 1-1 a 1", "XREAD BLOCK 0 STREAMS s 0", "XREAD BLOCK 0 STREAMS nonesuch s 0 0")
    scene.do("a", "MULTI", "XREAD BLOCK 0 STREAMS s $", "EXEC")
    scene.do("a", "XREAD BLOCK 50 STREAMS s $")
    scene.await_reply("a")


def test_a_transaction_is_seen_as_a_whole(scene: Scene) -> None:
    scene.do("a", "XREAD BLOCK 0 STREAMS s 0")
    scene.do("b", "MULTI", "XADD s 1-1 a 1", "XADD s 2-1 a 1", "XADD s 3-1 a 1", "XDEL s 2-1", "EXEC")
    scene.do("a", "XREAD BLOCK 0 STREAMS s $")
    scene.do("b", "MULTI", "XADD s 4-1 a 1", "DEL s", "EXEC")
    scene.do("b", "XADD s 5-1 a 1")


def test_a_stream_may_come_in_other_ways(scene: Scene) -> None:
    scene.do("a", "XREAD BLOCK 0 STREAMS s 0")
    scene.do("b", "SET s x", "DEL s", "XGROUP CREATE s g 0 MKSTREAM", "DEL s", "XADD t 1-1 a 1", "RENAME t s")
    scene.do("a", "XREAD BLOCK 0 STREAMS s 1-1")
    scene.do("b", "XSETID s 9-9", "XDEL s 1-1", "XADD s 10-1 a 1")


def test_consumers_share_what_comes(scene: Scene) -> None:
    scene.do("d", "XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE s h $")
    scene.do("a", "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >")
    scene.do("b", "XREADGROUP GROUP g bob BLOCK 0 COUNT 1 STREAMS s >")
    scene.do("c", "XREADGROUP GROUP h carol BLOCK 0 NOACK STREAMS s >")
    scene.do("d", "XADD s 1-1 a 1")
    scene.do("d", "MULTI", "XADD s 2-1 a 1", "XADD s 3-1 a 1", "EXEC", "XINFO GROUPS s", "XPENDING s g")
    scene.do("a", "XREADGROUP GROUP g alice BLOCK 0 STREAMS s 0", "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >")
    scene.do("b", "XREADGROUP GROUP g bob BLOCK 0 COUNT 1 STREAMS s >", "XREADGROUP GROUP h bob BLOCK 0 STREAMS s >")
    scene.do("d", "XINFO GROUPS s", "XPENDING s g", "XPENDING s h")


@pytest.mark.parametrize(
    "end",
    [
        ["XGROUP DESTROY s g"],
        ["XGROUP DESTROY s other"],
        ["DEL s"],
        ["UNLINK s"],
        ["SET s x"],
        ["RENAME s t"],
        ["FLUSHALL"],
        ["MULTI", "DEL s", "XGROUP CREATE s g $ MKSTREAM", "EXEC"],
        ["MULTI", "XGROUP DESTROY s g", "XGROUP CREATE s g 0", "EXEC"],
        ["XTRIM s MAXLEN 0"],
        ["XGROUP SETID s g 0"],
        ["XGROUP DELCONSUMER s g alice"],
    ],
)
def test_the_stream_or_the_group_goes(scene: Scene, end: list[str]) -> None:
    scene.do("b", "XADD s 1-1 a 1", "XGROUP CREATE s g $", "XGROUP CREATE s other $")
    scene.do("a", "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >")
    scene.do("c", "XREAD BLOCK 0 STREAMS s $")
    scene.do("b", *end)
    scene.do("b", "DEL s", "XADD s 2-1 a 1", "XGROUP CREATE s g 0", "XADD s 3-1 a 1")
    scene.figures()


def test_only_those_of_one_group_wait_together(scene: Scene) -> None:
    """One worker of each group gets the new entry, also when workers of other groups stand between them."""
    scene.do("e", "XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE s h $")
    scene.do("a", "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >")
    scene.do("b", "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >")
    scene.do("c", "XREADGROUP GROUP h carol BLOCK 0 STREAMS s >")
    scene.do("d", "XREAD BLOCK 0 STREAMS s $")
    scene.do("e", "XADD s 1-1 a 1", "XINFO GROUPS s")
    scene.do("e", "XADD s 2-1 a 1", "XADD s 3-1 a 1", "XINFO GROUPS s", "XPENDING s g", "XPENDING s h")

"""Publish/subscribe: what each client gets, in both protocol versions, as redis-server sends it."""

from __future__ import annotations

import random

import pytest

from tests.harness import ClientPair
from tests.harness.scene import Scene

KINDS = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"]
NAMES = ["a", "ab", "abc", "b", "news.tech", "news.", ""]
# Redis goes through patterns in the order of their hashes: no two of these match one channel.
PATTERNS = ["a?", "news.*", "[bc]", "a", "abc*"]


@pytest.fixture
def scene(pair: ClientPair) -> Scene:
    return Scene(pair)


def speak(scene: Scene, name: str, resp: int) -> None:
    """HELLO, whose reply has the client's number."""
    pair = scene.client(name)
    for client in (pair.subject, pair.oracle):
        client.call(f"HELLO {resp}")


@pytest.mark.parametrize("resp", [2, 3])
def test_messages_reach_those_who_listen(scene: Scene, resp: int) -> None:
    for name, request in [
        ("one", "SUBSCRIBE a b a"),
        ("two", "PSUBSCRIBE a*"),
        ("five", "PSUBSCRIBE *"),
        ("three", "SSUBSCRIBE a"),
        ("four", "SUBSCRIBE a"),
    ]:
        speak(scene, name, resp)
        scene.do(name, request)
    for request in ["PUBLISH a x", "PUBLISH b x", "PUBLISH c x", "SPUBLISH a x", "SPUBLISH c x", ("PUBLISH", "a", "")]:
        scene.do("sender", request)
    scene.do("four", "UNSUBSCRIBE a")
    scene.do("five", "PUNSUBSCRIBE *")
    scene.do("sender", "PUBLISH a x", "PUBLISH z x")
    scene.do("three", "SUNSUBSCRIBE")
    scene.do(
        "sender", "SPUBLISH a x", "PUBSUB CHANNELS a", "PUBSUB NUMPAT", "PUBSUB NUMSUB a b c", "PUBSUB SHARDNUMSUB a"
    )


@pytest.mark.parametrize("resp", [2, 3])
def test_the_end_of_subscriptions_is_confirmed_even_if_there_was_none(scene: Scene, resp: int) -> None:
    speak(scene, "one", resp)
    for request in [
        *("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE a b", "PUNSUBSCRIBE a", "SUNSUBSCRIBE a"),
        *("SUBSCRIBE a", "SSUBSCRIBE s", "PSUBSCRIBE p*"),
        *("SUNSUBSCRIBE x", "UNSUBSCRIBE x", "PUNSUBSCRIBE", "UNSUBSCRIBE", "SUNSUBSCRIBE"),
    ]:
        scene.do("one", request)


@pytest.mark.parametrize(
    "request_",
    [
        *("GET x", "SET x 1", "HELLO 3", "PUBLISH a x", "MULTI", "EXEC", "CLIENT LIST", "PUBSUB CHANNELS", "COMMAND"),
        *(
            "PING",
            "PING m",
            "PING m n",
            "SUBSCRIBE",
            "NONESUCH",
            "RESET",
            "QUIT",
            "AUTH x",
            "SUBSCRIBE b",
            "SPUBLISH a x",
        ),
    ],
)
@pytest.mark.parametrize("listens", ["SUBSCRIBE a", "PSUBSCRIBE a", "SSUBSCRIBE a"])
def test_a_listener_may_do_little_in_resp2_and_all_in_resp3(scene: Scene, listens: str, request_: str) -> None:
    speak(scene, "two", 2)
    scene.do("two", listens)
    scene.do("two", request_)
    if not request_.startswith(("CLIENT", "COMMAND", "HELLO")):
        speak(scene, "three", 3)
        scene.do("three", listens)
        scene.do("three", request_)


@pytest.mark.parametrize("resp", [2, 3])
def test_a_message_to_oneself_comes_before_the_reply(scene: Scene, resp: int) -> None:
    speak(scene, "one", resp)
    scene.do("one", "SUBSCRIBE a", "PUBLISH a x", "MULTI", "PUBLISH a 1", "PING", "PUBLISH a 2", "EXEC", "PUBLISH a 3")


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("mode", ["OFF", "SKIP", "ON"])
def test_silent_clients_get_messages_all_the_same(scene: Scene, mode: str, resp: int) -> None:
    speak(scene, "one", resp)
    scene.do("one", f"CLIENT REPLY {mode}")
    scene.do("one", "SUBSCRIBE a", "PING")
    scene.do("sender", "PUBLISH a x")
    scene.do("one", "UNSUBSCRIBE a")


@pytest.mark.parametrize("resp", [2, 3])
def test_subscriptions_in_a_transaction(scene: Scene, resp: int) -> None:
    speak(scene, "one", resp)
    scene.do(
        "one", "MULTI", "SUBSCRIBE a", "PING", "PSUBSCRIBE x", "GET k", "UNSUBSCRIBE", "PUNSUBSCRIBE", "EXEC", "GET k"
    )


def test_reset_and_the_end_of_a_connection_end_subscriptions(scene: Scene) -> None:
    scene.do("one", "SUBSCRIBE a b", "PSUBSCRIBE p*", "SSUBSCRIBE s")
    scene.do("two", "SUBSCRIBE b", "PSUBSCRIBE p*")
    figures = ("PUBSUB NUMSUB a b", "PUBSUB NUMPAT", "PUBSUB SHARDNUMSUB s")
    scene.do("watcher", *figures)
    scene.do("one", "RESET", "GET x")
    scene.do("watcher", *figures)
    scene.do("two", "QUIT")
    scene.do("watcher", *figures)


@pytest.mark.parametrize(
    "request_",
    [
        *("PUBSUB", "PUBSUB NONESUCH", "PUBSUB CHANNELS a b", "PUBSUB SHARDCHANNELS a b", "pubsub channels a b"),
        *(
            "PUBSUB NUMPAT x",
            "PUBSUB NUMSUB",
            "PUBSUB SHARDNUMSUB",
            "PUBSUB CHANNELS n*",
            "PUBLISH a",
            "SPUBLISH a b c",
        ),
    ],
)
def test_questions_and_wrong_ones(scene: Scene, request_: str) -> None:
    scene.do("one", "SUBSCRIBE news")
    scene.do("two", request_)


@pytest.mark.parametrize("seed", range(6))
def test_random_subscriptions(scene: Scene, seed: int) -> None:
    source = random.Random(seed)
    clients = ["a", "b", "c", "d"]
    for index, name in enumerate(clients):
        speak(scene, name, 2 + index % 2)
    for _ in range(150):
        kind = source.choice(KINDS)
        scene.do(source.choice(clients), (kind, source.choice(PATTERNS if kind.startswith("P") else NAMES)))
        if source.random() < 0.5:
            scene.do("sender", (source.choice(["PUBLISH", "SPUBLISH"]), source.choice(NAMES), "data"))
    scene.do("sender", ("PUBSUB", "NUMSUB", *NAMES), "PUBSUB NUMPAT", ("PUBSUB", "SHARDNUMSUB", *NAMES))


def test_clients_are_listed_and_closed_as_listeners(scene: Scene) -> None:
    scene.do("one", "SUBSCRIBE a b", "PSUBSCRIBE p*")
    scene.do("two", "SSUBSCRIBE s")
    scene.do("three", "PING")
    for server in (scene.client("three").subject, scene.client("three").oracle):
        shown = server.value("CLIENT LIST TYPE pubsub").decode().splitlines()
        fields = [dict(word.partition("=")[::2] for word in line.split()) for line in shown]
        assert sorted((f["flags"].strip("U"), f["sub"], f["psub"], f["ssub"]) for f in fields) == [
            ("P", "0", "0", "1"),
            ("P", "2", "1", "0"),
        ]
    scene.do("three", "CLIENT KILL TYPE pubsub", "PUBSUB NUMPAT", "PUBSUB NUMSUB a b", "PUBSUB SHARDNUMSUB s")

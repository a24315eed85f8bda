"""Commands on places: every digit of their replies, compared with a real redis-server."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.harness import ClientPair, Words

LATITUDE_MAX = "85.05112878"
COORDINATES = [
    *(
        "0",
        "-0",
        "13.361389",
        "-122.4194155",
        "1e1",
        "0x10",
        "180",
        "-180",
        "180.0001",
        LATITUDE_MAX,
        f"-{LATITUDE_MAX}",
    ),
    *("85.05112879", "90", "-90", "1e-300", "inf", "-inf", "nan", "", "x", " 1", "1e400", "179.99999999999999"),
]
UNITS = ["m", "km", "ft", "mi", "M", "Km", "x", ""]
SICILY: Words = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 13.583333 37.316667 Agrigento"
READS: list[Words] = ["ZRANGE g 0 -1 WITHSCORES", "TYPE g"]


def random_place(rng: random.Random, spread: float = 1.0) -> tuple[str, str]:
    """Anywhere, at an edge, or near the place (10, 45)."""
    choice = rng.random()
    if choice < 0.1:
        return rng.choice(["180", "-180", "0", "90"]), rng.choice([LATITUDE_MAX, f"-{LATITUDE_MAX}", "0", "66.5"])
    if choice < 0.5:
        return repr(10 + rng.gauss(0, spread)), repr(45 + rng.gauss(0, spread))
    return repr(rng.uniform(-180, 180)), repr(rng.uniform(-85.05, 85.05))


def fill(pair: ClientPair, rng: random.Random, count: int, key: str = "g") -> None:
    for start in range(0, count, 100):
        words = [(*random_place(rng), f"member:{n}") for n in range(start, min(start + 100, count))]
        pair.assert_same(["GEOADD", key, *itertools.chain.from_iterable(words)])


@pytest.mark.parametrize("longitude", COORDINATES)
def test_coordinates(pair: ClientPair, longitude: str) -> None:
    pair.assert_same(SICILY)
    for latitude in COORDINATES:
        pair.assert_same(
            ["GEOADD", "g", longitude, latitude, "x"], ["GEOADD", "g", "1", "2", "y", longitude, latitude, "z"]
        )
        pair.assert_same("ZSCORE g x", "GEOPOS g x", "GEOHASH g x", "GEODIST g x Palermo", "GEODIST g x y km")
        pair.assert_same(["GEORADIUS", "g", longitude, latitude, "200", "km"])
        pair.assert_same(["GEOSEARCH", "g", "FROMLONLAT", longitude, latitude, "BYBOX", "400", "900", "km", "WITHDIST"])


def test_distances_between_random_places(pair: ClientPair, rng: random.Random) -> None:
    fill(pair, rng, 300)
    for _ in range(300):
        one, other = rng.randrange(305), rng.randrange(305)
        pair.assert_same(["GEODIST", "g", f"member:{one}", f"member:{other}", rng.choice(UNITS)])
    members = [f"member:{n}" for n in range(302)]
    pair.assert_same(["GEOPOS", "g", *members], ["GEOHASH", "g", *members], "GEOPOS g", "GEOHASH g", "GEOPOS none a b")


def test_distances_are_rounded_alike(resp2_pair: ClientPair, rng: random.Random) -> None:
    """In binary: one of some ten thousand is not what printf would write."""
    fill(resp2_pair, rng, 3000)
    for unit in ("m", "m", "m", "ft", "ft", "km"):
        resp2_pair.assert_same(["GEORADIUS", "g", *random_place(rng), "inf", unit, "WITHDIST"])


def test_scores_that_are_no_geohashes(pair: ClientPair, rng: random.Random) -> None:
    """Any sorted set is taken for places."""
    scores = ["0", "-1", "-1.5", "0.9", "4503599627370496", "18014398509481984", "1e18", "1.7e19", "1e300", "-1e300"]
    scores += ["inf", "-inf", "1.9e19", "3.6e15", "1e15"]
    for number, score in enumerate(scores):
        pair.assert_same(["ZADD", "g", score, f"m{number}"])
    names = [f"m{number}" for number in range(len(scores))]
    pair.assert_same(["GEOPOS", "g", *names], ["GEOHASH", "g", *names])
    for one, other in itertools.product(names, repeat=2):
        pair.assert_same(["GEODIST", "g", one, other])
    for name in names:
        for radius in ("0", "1000", "30000000", "inf"):
            pair.assert_same(["GEORADIUSBYMEMBER", "g", name, radius, "m", "WITHHASH", "WITHDIST"])


CONDITIONS = [
    [],
    ["NX"],
    ["XX"],
    ["CH"],
    ["NX", "XX"],
    ["xx", "ch"],
    ["Nx", "CH"],
    ["CH", "CH"],
    ["XX", "CH", "NX"],
    ["GT"],
]


@pytest.mark.parametrize("options", CONDITIONS)
def test_options_of_geoadd(pair: ClientPair, options: list[str]) -> None:
    pair.assert_same(SICILY)
    for words in (
        ["1", "2", "Palermo"],
        ["1", "2", "new"],
        ["13.583333", "37.316667", "Agrigento"],
        ["1", "2", "Palermo", "3", "4", "newer", "5", "6", "Palermo"],
        ["1", "2"],
        ["1", "2", "a", "3"],
        ["1", "200", "a"],
        ["1", "2", "a", "x", "4", "b"],
        ["CH", "1", "2"],
        [],
    ):
        pair.assert_same(["GEOADD", "g", *options, *words], *READS, ["GEOADD", "born", *options, *words], "DEL born")


@pytest.mark.parametrize("count", [30, 400, 3000])
def test_searches_anywhere(pair: ClientPair, count: int, rng: random.Random) -> None:
    fill(pair, rng, count)
    for _ in range(250):
        place = random_place(rng, 2.0)
        length = repr(rng.choice([0, 1, 500, 3e3, 5e4, 1e5, 4e5, 1e6, 3e6, 6e6, 1e7, 2e7, 3e7]) * rng.uniform(0.5, 1.5))
        width = repr(rng.choice([0, 10, 1e4, 1e6, 5e6, 2e7, 5e7]) * rng.uniform(0.5, 1.5))
        order = rng.choice([["ASC"], ["DESC"], []])
        limit = rng.choice(
            [[], [], ["COUNT", rng.choice([1, 2, 5, 50, 5000])], ["COUNT", 3, "ANY"], ["ANY", "COUNT", 40]]
        )
        shown = rng.sample(["WITHDIST", "WITHHASH", "WITHCOORD"], rng.randrange(4))
        near = rng.choice([["FROMLONLAT", *place], ["FROMMEMBER", f"member:{rng.randrange(count)}"]])
        shape = rng.choice([["BYRADIUS", length, "m"], ["BYBOX", width, length, rng.choice(UNITS[:4])]])
        options = [near, shape, order, limit, shown]
        rng.shuffle(options)
        pair.assert_same(["GEOSEARCH", "g", *itertools.chain.from_iterable(options)])
        pair.assert_same(["GEORADIUS", "g", *place, length, "m", *order, *limit, *shown])
        pair.assert_same(["GEORADIUSBYMEMBER_RO", "g", f"member:{rng.randrange(count)}", length, "m", *limit, *shown])


def test_results_are_stored(pair: ClientPair, rng: random.Random) -> None:
    fill(pair, rng, 500)
    for _ in range(80):
        place = random_place(rng, 2.0)
        length = repr(rng.choice([0, 3e4, 4e5, 6e6, 2e7]) * rng.uniform(0.5, 1.5))
        limit = rng.choice([[], ["COUNT", rng.choice([1, 5, 5000])], ["COUNT", 3, "ANY"], ["DESC", "COUNT", "7"]])
        option = rng.choice(["STORE", "STOREDIST"])
        unit = rng.choice(UNITS[:4])
        pair.assert_same(rng.choice(["SET to x", "ZADD to 1 x", "DEL to", "EXPIRE to 100"]))
        pair.assert_same(
            ["GEORADIUS", "g", *place, length, unit, *limit, option, "to"], "ZRANGE to 0 -1 WITHSCORES", "TTL to"
        )
        pair.assert_same(
            ["GEORADIUSBYMEMBER", "g", "member:1", length, unit, option, "to"], "ZRANGE to 0 -1 WITHSCORES"
        )
        distances = ["STOREDIST"] if option == "STOREDIST" else []
        shape = rng.choice([["BYRADIUS", length, unit], ["BYBOX", length, length, unit]])
        pair.assert_same(["GEOSEARCHSTORE", "to", "g", "FROMLONLAT", *place, *shape, *limit, *distances])
        pair.assert_same("ZRANGE to 0 -1 WITHSCORES", "TTL to", "OBJECT ENCODING to", "TYPE to")
    pair.assert_same("GEOSEARCHSTORE g g FROMMEMBER member:1 BYRADIUS 3000 km ASC COUNT 20", *READS)


@pytest.mark.parametrize("places", [1, 3, 30])
def test_members_at_the_same_distance(pair: ClientPair, places: int, rng: random.Random) -> None:
    """Which of them COUNT takes, and in which order, is up to the sort."""
    for size in (1, 5, 6, 7, 8, 20, 40, 41, 60, 300, 1500):
        spots = [random_place(rng, 0.2) for _ in range(places)]
        words = [(*rng.choice(spots), f"m{rng.randrange(10**6)}") for _ in range(size)]
        pair.assert_same("DEL g", ["GEOADD", "g", *itertools.chain.from_iterable(words)])
        for count in {1, 2, 3, 5, size // 2 + 1, max(size - 1, 1), size, size + 1}:
            for order in ("ASC", "DESC"):
                pair.assert_same(
                    ["GEOSEARCH", "g", "FROMLONLAT", "10", "45", "BYRADIUS", "20000", "km", "COUNT", count, order]
                )
                pair.assert_same(["GEORADIUS", "g", "11", "44", "100", "km", "WITHDIST", order])


EVERY_COMMAND: list[Words] = [
    "GEOADD g 1 2 a",
    "GEOADD g XX 1 2 a",
    "GEOADD g x 2 a",
    "GEOADD g 1 2",
    "GEOPOS g Palermo none",
    "GEOPOS g",
    "GEOHASH g Palermo none",
    "GEODIST g Palermo Catania",
    "GEODIST g Palermo Catania x",
    "GEODIST g Palermo none",
    "GEODIST g Palermo Catania km km",
    "GEORADIUS g 15 37 200 km",
    "GEORADIUS g 15 37 x km",
    "GEORADIUS g 15 37 -1 km",
    "GEORADIUS g 15 37 200 x",
    "GEORADIUS g 15 x 200 km",
    "GEORADIUS g 15 370 200 x",
    "GEORADIUS g 15 37 200 km WITHDIST WITHCOORD WITHHASH",
    "GEORADIUS g 15 37 200 km COUNT 0",
    "GEORADIUS g 15 37 200 km COUNT -1",
    "GEORADIUS g 15 37 200 km COUNT x",
    "GEORADIUS g 15 37 200 km COUNT",
    "GEORADIUS g 15 37 200 km COUNT 1 ANY",
    "GEORADIUS g 15 37 200 km ANY",
    "GEORADIUS g 15 37 200 km COUNT 1 COUNT 2 DESC ASC",
    "GEORADIUS g 15 37 200 km nonesuch",
    "GEORADIUS g 15 37 200 km STORE to",
    "GEORADIUS g 15 37 200 km STORE",
    "GEORADIUS g 15 37 1 m STORE to",
    "GEORADIUS g 15 37 200 km STORE to STOREDIST to2",
    "GEORADIUS g 15 37 200 km STOREDIST to WITHDIST",
    "GEORADIUS g 15 37 200 km STORE to ANY",
    "GEORADIUS g 15 37 200 km FROMMEMBER Palermo",
    "GEORADIUS_RO g 15 37 200 km ASC",
    "GEORADIUS_RO g 15 37 200 km STORE to",
    "GEORADIUSBYMEMBER g Palermo 200 km",
    "GEORADIUSBYMEMBER g none 200 km",
    "GEORADIUSBYMEMBER g Palermo x x",
    "GEORADIUSBYMEMBER g Palermo 200 x COUNT",
    "GEORADIUSBYMEMBER g Palermo 200 km STORE to",
    "GEORADIUSBYMEMBER g Palermo 200 km STORE to WITHHASH",
    "GEORADIUSBYMEMBER g Palermo x x ANY",
    "GEORADIUSBYMEMBER_RO g Palermo 200 km DESC WITHDIST",
    "GEORADIUSBYMEMBER_RO g Palermo 200 km STOREDIST to",
    "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km",
    "GEOSEARCH g FROMMEMBER Palermo BYBOX 400 400 km ASC WITHCOORD WITHDIST",
    "GEOSEARCH g BYBOX 400 400 km FROMMEMBER none",
    "GEOSEARCH g FROMMEMBER Palermo FROMLONLAT 15 37 BYBOX 1 1 km",
    "GEOSEARCH g FROMLONLAT 15 37 FROMMEMBER Palermo BYBOX 1 1 km",
    "GEOSEARCH g FROMMEMBER Palermo FROMMEMBER Catania BYRADIUS 1 km",
    "GEOSEARCH g FROMLONLAT 1 2 FROMLONLAT 15 37 BYRADIUS 200 km BYRADIUS 100 km",
    "GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km BYBOX 1 1 km",
    "GEOSEARCH g FROMMEMBER Palermo BYBOX 1 1 km BYRADIUS 1 km",
    "GEOSEARCH g FROMMEMBER Palermo BYBOX 1 -1 km",
    "GEOSEARCH g FROMMEMBER Palermo BYBOX x -1 km",
    "GEOSEARCH g FROMMEMBER Palermo BYBOX 1 x km",
    "GEOSEARCH g FROMMEMBER Palermo BYBOX 1 1 x",
    "GEOSEARCH g FROMMEMBER Palermo BYRADIUS x km",
    "GEOSEARCH g FROMMEMBER Palermo BYRADIUS -1 x",
    "GEOSEARCH g FROMMEMBER Palermo ASC ASC ASC",
    "GEOSEARCH g BYRADIUS 1 km ASC COUNT 1",
    "geosearch g ASC COUNT 1 ANY DESC",
    "GeoSearchStore to g ASC COUNT 1 ANY DESC",
    "GEOSEARCHSTORE to g BYBOX 1 1 km ASC COUNT 1",
    "GEOSEARCHSTORE to g FROMMEMBER Palermo BYBOX 1 1 km",
    "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYBOX 400 400 km STOREDIST COUNT 2",
    "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYBOX 400 400 km WITHDIST",
    "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYBOX 400 400 km STORE to",
    "GEOSEARCHSTORE to g FROMLONLAT -150 37 BYRADIUS 1 km",
    "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km STOREDIST",
    "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km STORE to",
    "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 ANY ANY",
    "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS inf km COUNT 9223372036854775807",
]
AFTER: list[Words] = [*READS, "ZRANGE to 0 -1 WITHSCORES", "ZRANGE to2 0 -1 WITHSCORES", "TTL to"]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command(pair: ClientPair, command: str) -> None:
    for births in ([], [SICILY], ["SET g x"], ["HSET g a b"], [SICILY, "ZADD to 1 x", "EXPIRE to 100"], ["SET to x"]):
        pair.assert_same("FLUSHALL", *births, command, *AFTER)
    pair.assert_same("FLUSHALL", SICILY, "SET to x", command, "TYPE to", "MULTI", command, "EXEC", "TYPE to")


def test_hits_misses_and_changes_are_counted(resp2_pair: ClientPair) -> None:
    clients = (resp2_pair.subject, resp2_pair.oracle)
    resp2_pair.assert_same("CONFIG RESETSTAT", "FLUSHALL")
    before = [figures(client) for client in clients]
    for command in [*EVERY_COMMAND, SICILY, *EVERY_COMMAND]:
        resp2_pair.assert_same(command)
        after = [figures(client) for client in clients]
        assert difference(before[0], after[0]) == difference(before[1], after[1]), command


def figures(client: object) -> dict[str, int]:
    lines = client.value("INFO everything").decode().splitlines()  # type: ignore[attr-defined]
    wanted = ("keyspace_hits", "keyspace_misses", "rdb_changes_since_last_save")
    return {name: int(value) for name, _, value in (line.partition(":") for line in lines) if name in wanted}


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


@pytest.mark.parametrize("command", ["GEORADIUS g 1 2 3 m", "GEORADIUSBYMEMBER g x 3 m", "GEORADIUS_RO g 1 2 3 m"])
def test_keys_of_a_command_that_may_store(pair: ClientPair, command: str) -> None:
    for options in (
        "",
        "STORE to",
        "STOREDIST to",
        "STORE a STOREDIST b",
        "ASC store to",
        "STORE",
        "COUNT STORE x",
        "STORE STORE",
    ):
        pair.assert_same(f"COMMAND GETKEYS {command} {options}", f"COMMAND GETKEYSANDFLAGS {command} {options}")

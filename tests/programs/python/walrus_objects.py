"""walrus: containers, models with an index, a cache, a rate limiter, locks, streams and autocomplete."""

import sys

from walrus import AutoIncrementField, BooleanField, Database, IntegerField, Model, TextField

db = Database(port=int(sys.argv[1]))

numbers = db.Hash("h")
numbers.update(a=1, b=2)
assert numbers.as_dict() == {b"a": b"1", b"b": b"2"}
scores = db.ZSet("z")
scores.add({"a": 3, "b": 1})
assert scores.score("a") == 3.0 and list(scores[:]) == [b"b", b"a"]
bits = db.bit_field("bits")
assert bits.set("u8", 0, 7).get("u8", 0).execute() == [0, 7]


class User(Model):
    __database__ = db
    id = AutoIncrementField()
    name = TextField(fts=True)
    age = IntegerField(index=True)
    active = BooleanField(index=True, default=True)


for name, age in (("Ada Lovelace", 36), ("Alan Turing", 41), ("Grace Hopper", 85)):
    User.create(name=name, age=age)
assert [user.name for user in User.query(User.age > 40, order_by=User.age)] == ["Alan Turing", "Grace Hopper"]
assert [user.age for user in User.query(User.name.search("lovelace"))] == [36]
assert User.load(1).name == "Ada Lovelace" and User.count() == 3

cache = db.cache()
calls = []


@cache.cached(timeout=60)
def compute(n):
    calls.append(n)
    return n * n


assert [compute(4), compute(4)] == [16, 16] and calls == [4]
limit = db.rate_limit("limit", limit=3, per=60)
assert [limit.limit("me") for _ in range(5)] == [False, False, False, True, True]
lock = db.lock("lock", ttl=10000)
assert lock.acquire() and not db.lock("lock", ttl=10000).acquire(block=False)
lock.release()
names = db.autocomplete()
for name in ("python", "pyramid", "perl"):
    names.store(name)
assert sorted(names.search("py")) == [b"pyramid", b"python"] or sorted(names.search("py")) == ["pyramid", "python"]
group = db.consumer_group("group", ["stream"])
db.Stream("stream").add({"n": 0})
group.create()
entry = db.Stream("stream").add({"n": 1})
group.set_id("0")
assert [data for _, messages in group.read() for _, data in messages] == [{b"n": b"0"}, {b"n": b"1"}]
assert group.stream.ack(entry) == 1

"""flask-session: a session that survives between requests, and ends."""

import sys

from flask import Flask, session
from flask_session import Session
from redis import Redis

app = Flask("programs")
app.config.update(
    SESSION_TYPE="redis", SESSION_REDIS=Redis(port=int(sys.argv[1])), PERMANENT_SESSION_LIFETIME=60, SECRET_KEY="x"
)
Session(app)


@app.route("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.route("/end")
def end():
    session.clear()
    return "ended"


mine, yours = app.test_client(), app.test_client()
assert [mine.get("/count").text for _ in range(3)] == ["1", "2", "3"]
assert yours.get("/count").text == "1"
assert mine.get("/end").text == "ended"
assert mine.get("/count").text == "1"
assert all(0 < Redis(port=int(sys.argv[1])).ttl(key) <= 60 for key in Redis(port=int(sys.argv[1])).keys("session:*"))

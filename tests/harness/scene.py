"""Several clients that act in turn on both servers, some of which wait for others: tests of blocking commands."""

from __future__ import annotations

from tests.harness.compare import ClientPair, Outcome
from tests.harness.wire import Words, encode


class Scene:
    """Clients by name, each a pair of connections; `do` lets one of them send something and compares what all get.

    A client that waits gets nothing: that is compared too.
    """

    def __init__(self, pair: ClientPair) -> None:
        self.pair = pair
        self.clients: dict[str, ClientPair] = {}
        self.steps: list[str] = []

    def client(self, name: str) -> ClientPair:
        if name not in self.clients:
            self.clients[name] = self.pair.another()
        return self.clients[name]

    def do(self, name: str, *commands: Words) -> dict[str, bytes]:
        """Send commands as one piece; returns what has come back by client, without those that got nothing."""
        __tracebackhide__ = True
        return self.send(name, b"".join(map(encode, commands)), repr(commands))

    def send(self, name: str, data: bytes, what: str) -> dict[str, bytes]:
        __tracebackhide__ = True
        sender = self.client(name)
        sender.subject.send_raw(data)
        sender.oracle.send_raw(data)
        return self.compare(f"{name}: {what}")

    def compare(self, step: str) -> dict[str, bytes]:
        """What all clients have received since the last look must be the same on both sides."""
        __tracebackhide__ = True
        self.steps.append(step)
        subject, oracle = self.pair.servers
        subject.barrier()
        oracle.barrier()
        ours = {name: Outcome(*client.subject.read_available()) for name, client in self.clients.items()}
        theirs = {name: Outcome(*client.oracle.read_available()) for name, client in self.clients.items()}
        assert ours == theirs, "\n".join(["subject and oracle differ after", *self.steps])
        return {name: outcome.received for name, outcome in ours.items() if outcome.received}

    def await_reply(self, name: str) -> bytes:
        """The reply that the client waits for, by a timeout perhaps."""
        client = self.client(name)
        theirs, ours = client.oracle.read(), client.subject.read()
        assert ours == theirs, "\n".join(["subject and oracle differ after", *self.steps])
        return ours

    def figures(self) -> None:
        """INFO's figures of waiting clients, and the statistics of blocking commands, are equal."""
        subject, oracle = (
            {
                name: value.partition("usec")[0] + value.partition("rejected_calls")[2]
                for name, value in server.info().items()
                if name.startswith(("blocked_", "clients_in_", "cmdstat_b", "errorstat_"))
            }
            for server in self.pair.servers
        )
        assert subject == oracle

    def close(self) -> None:
        """End the connections of all clients."""
        for client in self.clients.values():
            client.close()

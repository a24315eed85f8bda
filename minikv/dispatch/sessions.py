"""What a change of users means to the clients that are connected: other rights at once, or the end of the connection.

It follows minikv.acl.users.Users.
"""

from __future__ import annotations

from collections.abc import Callable

from minikv.acl.user import User
from minikv.dispatch.client import Client
from minikv.dispatch.services import Services


class Sessions:
    """on_default: called when the default user has changed, who decides what strangers may do."""

    def __init__(self, services: Services, on_default: Callable[[], None]) -> None:
        self.services = services
        self.on_default = on_default

    def before_change(self, user: User, staged: User) -> None:
        """Close the connections that listen to a channel which the user may not listen to any more."""
        if any(selector.all_channels for selector in staged.selectors):
            return
        upcoming = {channel for selector in staged.selectors for channel in selector.channels}
        if all(not before.all_channels and upcoming.issuperset(before.channels) for before in user.selectors):
            return
        listeners = [client for client in self.services.pubsub.clients if client.user is user]
        self.services.kill([client for client in listeners if not may_listen(client, staged)])

    def after_change(self, user: User) -> None:
        """Let the user's clients have the new rights."""
        is_default = user is self.services.users.default
        if is_default:
            self.on_default()
        for client in list(self.services.clients.values()):
            if client.user is user or is_default:
                client.review()

    def after_removal(self, user: User) -> None:
        """Close the user's connections; what one of them still asks has no rights."""
        clients = [client for client in self.services.clients.values() if client.user is user]
        for client in clients:
            client.user = self.services.users.default
            client.authenticated = False
            client.review()
        self.services.kill(clients)


def may_listen(client: Client, user: User) -> bool:
    """Whether the user may listen to everything that the client listens to."""
    own = client.subscriptions
    if own is None:
        return True
    return all(
        any(selector.allows_channel(name, is_pattern) for selector in user.selectors)
        for names, is_pattern in ((own.patterns, True), (own.channels, False), (own.shard, False))
        for name in names
    )

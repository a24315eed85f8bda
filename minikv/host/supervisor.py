"""systemd's notification protocol: one datagram to the socket that it names."""

import os
import socket
from collections.abc import Mapping

READY = "STATUS=Ready to accept connections\nREADY=1\n"


def wanted(setting: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `supervised no|systemd|auto` asks for notification here."""
    return setting == "systemd" or (setting == "auto" and bool(environment.get("NOTIFY_SOCKET")))


def notify(message: str, environment: Mapping[str, str] = os.environ) -> str:
    """Send the message; empty on success, else the reason."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return "systemd supervision error: NOTIFY_SOCKET not found!"
    if address[0] not in "/@":
        return f"systemd supervision error: NOTIFY_SOCKET '{address}' is neither a path nor an abstract name"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.sendall(message.encode())
    except OSError as error:
        return f"systemd supervision error: can't send to NOTIFY_SOCKET '{address}': {os.strerror(error.errno or 0)}"
    return ""

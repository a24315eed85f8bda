"""Certificates for the tests of TLS, made by the openssl command."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")  # made in no time
PASSWORD = "open sesame"


class Certificates:
    """An authority and what it has signed: server, second (a server's, too), client, expired; stranger is of another.

    Each name has a .crt and a .key in `directory`; locked.key is the server's key, encrypted with PASSWORD.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for authority in ("ca", "other-ca"):
            self._openssl("req", "-x509", *CURVE, "-days", "2", "-subj", f"/CN={authority}", *self._out(authority))
        for name in ("server", "second", "client"):
            self._sign(name, "ca", days=2)
        self._sign("expired", "ca", days=-1)
        self._sign("stranger", "other-ca", days=2)
        locked = ("-out", self.path("locked.key"), "-aes256", "-passout", f"pass:{PASSWORD}")
        self._openssl("ec", "-in", self.path("server.key"), *locked)

    def path(self, name: str) -> str:
        """The path of one of the files, as `server.crt`."""
        return str(self.directory / name)

    def settings(self, name: str = "server") -> dict[str, str]:
        """What a server needs that shows this certificate."""
        return {
            "tls-cert-file": self.path(f"{name}.crt"),
            "tls-key-file": self.path(f"{name}.key"),
            "tls-ca-cert-file": self.path("ca.crt"),
        }

    def client_context(self, name: str | None = "client") -> ssl.SSLContext:
        """A client that shows this certificate, or none, and trusts the authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.path("ca.crt"))
        if name is not None:
            context.load_cert_chain(self.path(f"{name}.crt"), self.path(f"{name}.key"))
        return context

    def cli_arguments(self) -> list[str]:
        """What redis-cli and redis-benchmark need."""
        files = ("--cert", "client.crt"), ("--key", "client.key"), ("--cacert", "ca.crt")
        return ["--tls", *(word for option, name in files for word in (option, self.path(name)))]

    def _sign(self, name: str, authority: str, days: int) -> None:
        request = self.path(f"{name}.csr")
        self._openssl("req", *CURVE, "-subj", f"/CN={name}", "-keyout", self.path(f"{name}.key"), "-out", request)
        signer = ("-CA", self.path(f"{authority}.crt"), "-CAkey", self.path(f"{authority}.key"), "-CAcreateserial")
        self._openssl("x509", "-req", "-in", request, *signer, "-days", str(days), "-out", self.path(f"{name}.crt"))

    def _out(self, name: str) -> tuple[str, ...]:
        return "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.crt")

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

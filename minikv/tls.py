"""TLS: what the tls- settings say, as contexts for connections that come in and go out.

    tls = Tls(config, log)
    tls.configure()                          ConfigError; the log says why, and what was configured before stays
    tls.accept(incoming, outgoing)           the TLS of a peer that has connected, between two ssl.MemoryBIO
    tls.connect(sock)                        a connection of ours, encrypted

OpenSSL is the one of Python's ssl module. What the module does not offer (`tls-ciphersuites`, other sizes and times of
the session cache than OpenSSL's own, which are Redis's defaults) is called in the same library by ctypes.

As in Redis, a certificate is checked against the authorities and not against the name of a host, and the certificate
of the server serves for connections that go out, unless there is one for clients.
"""

import contextlib
import ctypes
import os
import socket
import ssl
import warnings

from minikv.config import Config
from minikv.errors import ConfigError
from minikv.log import Log

# One read of encrypted bytes: four full records.
INPUT_BYTES = 66 * 1024

FAILED = "Unable to update TLS configuration. Check server logs."

# Those that make the contexts anew; tls-auth-clients is looked at when a peer connects.
TLS_SETTINGS = (
    "tls-ca-cert-dir",
    "tls-ca-cert-file",
    "tls-cert-file",
    "tls-ciphers",
    "tls-ciphersuites",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-client-key-file-pass",
    "tls-cluster",
    "tls-dh-params-file",
    "tls-key-file",
    "tls-key-file-pass",
    "tls-prefer-server-ciphers",
    "tls-protocols",
    "tls-replication",
    "tls-session-cache-size",
    "tls-session-cache-timeout",
    "tls-session-caching",
)

VERSIONS = {
    "tlsv1": ssl.OP_NO_TLSv1,
    "tlsv1.1": ssl.OP_NO_TLSv1_1,
    "tlsv1.2": ssl.OP_NO_TLSv1_2,
    "tlsv1.3": ssl.OP_NO_TLSv1_3,
}
DEFAULT_VERSIONS = frozenset({"tlsv1.2", "tlsv1.3"})
VERIFY = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "yes": ssl.CERT_REQUIRED}

# Of OpenSSL's ssl.h: commands of SSL_CTX_ctrl, and a mode of the session cache.
SET_SESSION_CACHE_SIZE = 42
SET_SESSION_CACHE_MODE = 44
SESSION_CACHE_OFF = 0
# What a new context has, and Redis's defaults.
SESSION_CACHE_SIZE = 20480
SESSION_CACHE_TIMEOUT_S = 300


class Tls:
    """The contexts of a server; `server` and `client` are None until they are configured.

    input: where connections put what they read from their sockets, each for a moment.
    """

    def __init__(self, config: Config, log: Log) -> None:
        self._config = config
        self._log = log
        self.input = bytearray(INPUT_BYTES)
        self.server: ssl.SSLContext | None = None
        self.client: ssl.SSLContext | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the settings ask for TLS anywhere."""
        config = self._config
        return config.tls_port > 0 or config.tls_replication or config.tls_cluster

    def reconfigure(self) -> None:
        """After CONFIG SET of any setting but the port."""
        if self.is_wanted:
            self.configure()

    def configure(self) -> None:
        """Make both contexts anew, or leave both as they are: ConfigError."""
        config = self._config
        try:
            if not config.tls_cert_file:
                raise ConfigError("No tls-cert-file configured!")
            if not config.tls_key_file:
                raise ConfigError("No tls-key-file configured!")
            needs_authority = config.tls_auth_clients != "no" or config.tls_cluster or config.tls_replication
            if needs_authority and not config.tls_ca_cert_file and not config.tls_ca_cert_dir:
                raise ConfigError(
                    "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication "
                    "or tls-auth-clients are enabled!"
                )
            self.server, self.client = self._server_context(), self._client_context()
        except ConfigError as error:
            self._log.warning(str(error))
            raise ConfigError(FAILED) from None

    def accept(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """The server's side of a connection."""
        assert self.server is not None
        self.server.verify_mode = VERIFY[self._config.tls_auth_clients]
        return self.server.wrap_bio(incoming, outgoing, server_side=True)

    def connect(self, sock: socket.socket) -> ssl.SSLSocket:
        """The client's side of a connection; shakes hands within the socket's timeout. OSError."""
        try:
            if self.client is None:
                raise ssl.SSLError("TLS is not configured")
            return self.client.wrap_socket(sock)
        except OSError:
            sock.close()
            raise

    # -- contexts ------------------------------------------------------------------------------------------------------

    def _server_context(self) -> ssl.SSLContext:
        config = self._config
        context = self._context(
            ssl.PROTOCOL_TLS_SERVER, config.tls_cert_file, config.tls_key_file, config.tls_key_file_pass
        )
        context.verify_mode = VERIFY[config.tls_auth_clients]
        if not config.tls_prefer_server_ciphers:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        if config.tls_dh_params_file:
            try:
                context.load_dh_params(config.tls_dh_params_file)
            except OSError as error:
                raise ConfigError(f"Failed to load DH params file: {config.tls_dh_params_file}: {why(error)}") from None
        self._set_session_cache(context)
        return context

    def _client_context(self) -> ssl.SSLContext:
        config = self._config
        files = config.tls_cert_file, config.tls_key_file, config.tls_key_file_pass
        if config.tls_client_cert_file and config.tls_client_key_file:
            files = config.tls_client_cert_file, config.tls_client_key_file, config.tls_client_key_file_pass
        context = self._context(ssl.PROTOCOL_TLS_CLIENT, *files)
        context.check_hostname = False
        return context

    def _context(self, protocol: int, certificate: str, key: str, password: str) -> ssl.SSLContext:
        """What both sides have in common."""
        config = self._config
        context = ssl.SSLContext(protocol)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_DH_USE
        self._set_versions(context)
        load_certificate(context, certificate, key, password)
        if config.tls_ca_cert_file or config.tls_ca_cert_dir:
            try:
                context.load_verify_locations(config.tls_ca_cert_file or None, config.tls_ca_cert_dir or None)
            except OSError as error:
                raise ConfigError(f"Failed to configure CA certificate(s) file/directory: {why(error)}") from None
        try:
            context.set_ciphers(config.tls_ciphers or "DEFAULT")
        except ssl.SSLError:
            raise ConfigError(f"Failed to configure ciphers: {config.tls_ciphers}") from None
        if config.tls_ciphersuites:
            set_ciphersuites(context, config.tls_ciphersuites)
        return context

    def _set_versions(self, context: ssl.SSLContext) -> None:
        text = self._config.tls_protocols
        wanted = set(text.lower().split(" ")) if text else DEFAULT_VERSIONS
        if not wanted <= VERSIONS.keys():
            raise ConfigError(
                "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # two limits could not leave out one in between
            if not wanted <= DEFAULT_VERSIONS:
                context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            for version, leave_out in VERSIONS.items():
                if version not in wanted:
                    context.options |= leave_out

    def _set_session_cache(self, context: ssl.SSLContext) -> None:
        config = self._config
        if not config.tls_session_caching:
            openssl_control(context, SET_SESSION_CACHE_MODE, SESSION_CACHE_OFF)
        elif config.tls_session_cache_size != SESSION_CACHE_SIZE:
            openssl_control(context, SET_SESSION_CACHE_SIZE, config.tls_session_cache_size)
        if config.tls_session_cache_timeout != SESSION_CACHE_TIMEOUT_S:
            function = openssl_function("SSL_CTX_set_timeout", ctypes.c_long, ctypes.c_long)
            function(pointer_to(context), config.tls_session_cache_timeout)


def load_certificate(context: ssl.SSLContext, certificate: str, key: str, password: str) -> None:
    """Load both; ConfigError, which names the file that is wrong."""
    try:
        # A password is given in any case: without one OpenSSL asks on the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:
        if reason := unreadable(certificate) or why_no_certificate(certificate):
            raise ConfigError(f"Failed to load certificate: {certificate}: {reason}") from None
        raise ConfigError(f"Failed to load private key: {key}: {unreadable(key) or why(error)}") from None


def unreadable(path: str) -> str:
    """Why the file cannot be read, or nothing."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


def why_no_certificate(path: str) -> str:
    """Why there is no certificate in the file, or nothing."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        return why(error)
    return ""


def why(error: Exception) -> str:
    """What OpenSSL or the system says, without Python's file and line."""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        text = str(error.args[-1]).removeprefix("[SSL] ").split(" (_ssl.c")[0]
        return f"{error.library} routines: {reason}" if reason else text
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


# -- what the ssl module does not offer --------------------------------------------------------------------------------


def set_ciphersuites(context: ssl.SSLContext, names: str) -> None:
    """The ciphers of TLS 1.3; ConfigError."""
    function = openssl_function("SSL_CTX_set_ciphersuites", ctypes.c_int, ctypes.c_char_p)
    if not function(pointer_to(context), names.encode("utf-8", "surrogateescape")):
        openssl_function("ERR_clear_error", None, first=())()
        raise ConfigError(f"Failed to configure ciphersuites: {names}")


def openssl_control(context: ssl.SSLContext, command: int, number: int) -> None:
    function = openssl_function("SSL_CTX_ctrl", ctypes.c_long, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    function(pointer_to(context), command, number, None)


def pointer_to(context: ssl.SSLContext) -> ctypes.c_void_p:
    """The SSL_CTX of a context: the first field of CPython's object, in all its releases so far."""
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__)


def openssl_function(
    name: str, result: object, *arguments: object, first: tuple[object, ...] = (ctypes.c_void_p,)
) -> "ctypes._NamedFuncPointer":
    """A function of the OpenSSL that the ssl module has loaded; ConfigError if it hides it."""
    with contextlib.suppress(OSError, AttributeError):
        function = getattr(ctypes.CDLL(getattr(ssl._ssl, "__file__", None)), name)  # type: ignore[attr-defined]
        function.argtypes, function.restype = (*first, *arguments), result
        return function  # type: ignore[no-any-return]
    raise ConfigError(f"The OpenSSL of this Python hides {name}, which the TLS settings need")

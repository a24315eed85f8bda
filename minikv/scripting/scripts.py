# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
"""The scripts of EVAL: the cache, flags, and how one is run.

A script is known by the SHA-1 of its text, and, to spare EVAL the hashing, by the text itself.
"""

import hashlib
import time

import cython
from cython.cimports.minikv.dispatch.client import Client
from cython.cimports.minikv.dispatch.script_client import ScriptClient
from cython.cimports.minikv.dispatch.table import CommandTable
from cython.cimports.minikv.scripting.interpreter import Interpreter

from minikv.dispatch.arguments import NOT_AN_INTEGER, integer
from minikv.errors import CommandError
from minikv.scripting.flags import Flag, split_shebang

NO_WRITES = cython.declare(cython.int, Flag.NO_WRITES)
ALLOW_OOM = cython.declare(cython.int, Flag.ALLOW_OOM)
COMPATIBLE = cython.declare(cython.int, Flag.COMPATIBLE)

NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL."
# What a cached script takes beside its text.
SCRIPT_BYTES = 200


EVALS = (b"eval", b"eval_ro")  # called with the script's text


@cython.cclass
class Script:
    """A script that has been compiled. flags: see minikv.scripting.flags."""

    def __init__(self, sha: bytes, body: bytes, reference: int, flags: int):
        self.sha = self.name = sha
        self.body = body
        self.reference = reference
        self.flags = flags


@cython.cclass
class Scripts:
    """The scripts of a server.

    interpreter: None before the first script. running: the Script or Function that runs, if any; is_busy: so long that
    other clients are told.
    """

    def __init__(self, server: object, table: CommandTable, log: object):
        self.server = server
        self.table = table
        self.log = log
        self.client = ScriptClient(server)
        self.by_sha = {}
        self.by_body = {}

    # -- commands ------------------------------------------------------------------------------------------------------

    def eval(self, caller: Client, body: bytes, numkeys: bytes, arguments: tuple, read_only: bool = False) -> object:
        """EVAL and EVAL_RO."""
        keys: cython.int = key_count(numkeys, len(arguments))
        found = self.by_body.get(body)
        if found is None:
            found = self.load(body)
        return self.run(caller, found, keys, arguments, read_only)

    def evalsha(self, caller: Client, sha: bytes, numkeys: bytes, arguments: tuple, read_only: bool = False) -> object:
        """EVALSHA and EVALSHA_RO."""
        if len(sha) != 40:
            raise CommandError(NO_SCRIPT)
        keys: cython.int = key_count(numkeys, len(arguments))
        found = self.by_sha.get(sha)
        if found is None:
            found = self.by_sha.get(sha.lower())
            if found is None:
                raise CommandError(NO_SCRIPT)
        return self.run(caller, found, keys, arguments, read_only)

    def load(self, body: bytes) -> Script:
        """The script with this text, compiled if it is new."""
        sha = hashlib.sha1(body).hexdigest().encode()
        found = self.by_sha.get(sha)
        if found is not None:
            return found
        flags, code = split_shebang(body)
        if self.interpreter is None:
            self.interpreter = Interpreter(
                self.table, self.client, self.log, False, self.server.config.script_memory_limit
            )
            self.interpreter.on_busy = self.on_count
        try:
            reference = self.interpreter.compile(code, b"@user_script")
        except CommandError as error:
            raise CommandError(f"ERR Error compiling script (new function): {error}") from None
        script = Script(sha, body, reference, flags)
        self.by_sha[sha] = self.by_body[body] = script
        self.kept_bytes += 2 * len(body) + SCRIPT_BYTES
        return script

    def promises(self, command: bytes, text: bytes) -> tuple[bool, bool] | None:
        """Whether a script of EVAL or EVALSHA may write, and fill the memory; None if it does not say."""
        by_sha: cython.bint = command.startswith(b"evalsha")
        found = self.by_sha.get(text.lower()) if by_sha else self.by_body.get(text)
        if found is None and by_sha:
            return None
        try:
            flags: cython.int = split_shebang(text)[0] if found is None else found.flags
        except CommandError:
            return None
        return None if flags & COMPATIBLE else promises_of(flags)

    def flush(self) -> None:
        """Forget all scripts, with the state that they ran in."""
        self.by_sha = {}
        self.by_body = {}
        self.kept_bytes = 0
        self.interpreter = None

    def kill(self, of_eval: bool) -> None:
        """SCRIPT KILL, or FUNCTION KILL: end the script that runs."""
        if self.running is None:
            raise CommandError("NOTBUSY No scripts in execution right now.")
        if self.client.wrote:
            raise CommandError(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait "
                "the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
            )
        if isinstance(self.running, Script) != of_eval:
            raise CommandError(self.busy_text())
        self.killed = True

    def busy_text(self) -> str:
        """What other clients get while the script runs that they wait for."""
        kind = "SCRIPT" if isinstance(self.running, Script) else "FUNCTION"
        return f"BUSY Redis is busy running a script. You can only call {kind} KILL or SHUTDOWN NOSAVE."

    @property
    def request(self) -> tuple:
        """The command that has called the script that runs."""
        name = self.running.name if self.called_name.lower() not in EVALS else cython.cast(Script, self.running).body
        return (self.called_name, name, b"%d" % self.keys, *self.arguments)

    def declared_keys(self) -> tuple:
        """The keys of the script that runs."""
        return self.arguments[: self.keys]

    # -- running -------------------------------------------------------------------------------------------------------

    @cython.cfunc
    def run(self, caller: Client, script: Script, keys: cython.int, arguments: tuple, ro: cython.bint) -> object:
        self.begin(caller, script, script.flags, ro, arguments, keys)
        try:
            return self.interpreter.run(script.reference, script.sha, arguments, keys, True, caller.resp)
        finally:
            self.end()

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def begin(
        self, caller: Client, script: object, flags: cython.int, ro: cython.bint, arguments: tuple, keys: cython.int
    ) -> cython.int:
        """A script or function begins to run, if it may. CommandError."""
        out_of_memory: cython.bint = self.check(flags, ro)
        self.client.begin(
            caller,
            ro or (flags & NO_WRITES) != 0,
            (flags & (ALLOW_OOM | NO_WRITES)) != 0,
            out_of_memory,
        )
        self.running = script
        self.called_name = cython.cast(bytes, self.table.called_name)
        self.arguments = arguments
        self.keys = keys
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def end(self) -> cython.void:
        """It has ended."""
        self.running = self.arguments = self.client.caller = None
        if self.began_ns != 0:
            self.began_ns = 0
            self.killed = False
            if self.is_busy:
                self.is_busy = False
                self.table.set_busy(None)

    def on_count(self) -> bool:
        """A script has run for some milliseconds more; True ends it. Above the threshold others are served."""
        now_ns: cython.longlong = time.monotonic_ns()
        if self.began_ns == 0:
            self.began_ns = now_ns
            self.threshold_ns = self.server.config.busy_reply_threshold * 1000000
        if self.threshold_ns <= 0 or now_ns - self.began_ns < self.threshold_ns:
            return False
        if not self.is_busy:
            self.is_busy = True
            self.table.set_busy(self.busy_text())
            self.log.warning(
                f"Slow script detected: still in execution after {(now_ns - self.began_ns) // 1000000} milliseconds."
            )
        if not self.server.serve_others():
            return True
        if self.killed:
            self.log.warning("Lua script killed by user.")
        return self.killed

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def check(self, flags: cython.int, read_only: cython.bint) -> cython.bint:
        """Refuse a script that the server's state does not allow. Whether the memory limit is exceeded."""
        out_of_memory: cython.bint = self.table.gates != 0 and self.table.out_of_memory()
        if flags & COMPATIBLE:
            return out_of_memory
        if not flags & NO_WRITES:
            if read_only:
                raise CommandError("ERR Can not execute a script with write flag using *_ro command.")
            if self.table.writes_refused():
                raise CommandError(
                    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
                    "Writable scripts are blocked. Use 'no-writes' flag for read only scripts."
                )
        if out_of_memory and not flags & (ALLOW_OOM | NO_WRITES):
            raise CommandError(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
            )
        return out_of_memory


def promises_of(flags: int) -> tuple[bool, bool]:
    """Whether a script of these flags may write, and fill the memory."""
    return not flags & NO_WRITES, not flags & (NO_WRITES | ALLOW_OOM)


@cython.cfunc
@cython.exceptval(-1, check=True)
def key_count(text: bytes, argc: cython.Py_ssize_t, error: str = NOT_AN_INTEGER) -> cython.int:
    """The argument that says how many of those behind it are keys."""
    count: cython.longlong = integer(text, error)
    if count > argc:
        raise CommandError("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise CommandError("ERR Number of keys can't be negative")
    return count

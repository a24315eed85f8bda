# cython: language_level=3
# distutils: extra_compile_args = -O3
"""The functions of FUNCTION LOAD: libraries, how they are kept, and how a function is run.

A library is known by the name in its first line, a function by its own; both names are unique on a server, where case
does not matter to a function's. Libraries belong to the data: they are saved and loaded with it, in the order of their
names.
"""

import re
import time

import cython
from cython.cimports.minikv.dispatch.client import Client
from cython.cimports.minikv.scripting.interpreter import Interpreter
from cython.cimports.minikv.scripting.scripts import Scripts, key_count

from minikv.errors import CommandError, RdbError
from minikv.protocol.request import split_words
from minikv.rdb import format as rdb_format
from minikv.rdb import payload
from minikv.scripting.flags import FLAGS
from minikv.scripting.scripts import promises_of

NAME = re.compile(rb"[A-Za-z0-9_]+")
BAD_NAME = (
    "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
)
BAD_COUNT = "ERR Bad number of keys provided"
NOT_FOUND = "ERR Function not found"
# What a library takes beside its text.
LIBRARY_BYTES = 400
# One that takes longer to load is refused.
LOAD_NS = cython.declare(cython.longlong, 500 * 1000 * 1000)


@cython.cclass
class Function:
    """One function. description: None without one."""

    def __init__(self, library: object, name: bytes, reference: int, description: object, flags: int):
        self.library = library
        self.name = name
        self.reference = reference
        self.description = description
        self.flags = flags

    def flag_names(self) -> list:
        """As FUNCTION LIST shows them."""
        return [name for name, flag in FLAGS.items() if self.flags & flag]


class Library:
    """The functions of one source text."""

    def __init__(self, name: bytes, code: bytes) -> None:
        self.name = name
        self.code = code
        self.functions: dict[bytes, Function] = {}


@cython.cclass
class Functions:
    """The libraries of a server.

    on_change: called with all libraries, as strings of the RDB format, when they have changed. unusable: sources of a
    dump that could not be loaded; they are kept for the next dump.
    """

    def __init__(self, server: object, scripts: Scripts, log: object, on_change: object):
        self.server = server
        self.scripts = scripts
        self.log = log
        self.on_change = on_change
        self.libraries = {}
        self.functions = {}
        self.unusable = []

    def kept_bytes(self) -> int:
        """What the libraries take beside Lua's memory."""
        return sum(len(library.code) + LIBRARY_BYTES for library in self.libraries.values())

    # -- running -------------------------------------------------------------------------------------------------------

    def fcall(self, caller: Client, name: bytes, numkeys: bytes, arguments: tuple, read_only: bool = False) -> object:
        """FCALL and FCALL_RO."""
        found = self.functions.get(name.lower())
        if found is None:
            raise CommandError(NOT_FOUND)
        function: Function = found
        keys: cython.int = key_count(numkeys, len(arguments), BAD_COUNT)
        scripts: Scripts = self.scripts
        scripts.begin(caller, function, function.flags, read_only, arguments, keys)
        try:
            return self.interpreter.run(function.reference, function.name, arguments, keys, False, caller.resp)
        finally:
            scripts.end()

    def promises(self, command: bytes, name: bytes) -> tuple[bool, bool] | None:
        """Whether a function may write, and fill the memory; None if there is none of that name."""
        found = self.functions.get(name.lower())
        return None if found is None else promises_of(found.flags)

    # -- libraries -----------------------------------------------------------------------------------------------------

    def load(self, code: bytes, replace: bool) -> bytes:
        """FUNCTION LOAD: the name of the library."""
        name = library_name(code)
        old = self.libraries.get(name)
        if old is not None and not replace:
            raise CommandError(f"ERR Library '{name.decode()}' already exists")
        library = self.compile(name, code)
        self.add([library], [] if old is None else [old])
        return name

    def compile(self, name: bytes, code: bytes) -> Library:
        """A library with its functions, which nobody can call yet."""
        if self.interpreter is None:
            self.interpreter = Interpreter(
                self.scripts.table, self.scripts.client, self.log, True, self.server.config.script_memory_limit
            )
        interpreter: Interpreter = self.interpreter
        library = Library(name, code)

        def register(function: bytes, reference: int, description: object, flags: list) -> None:
            if not NAME.fullmatch(function):
                raise CommandError(BAD_NAME)
            if not all(flag.lower() in FLAGS for flag in flags):
                raise CommandError("ERR unknown flag given")
            if function in library.functions:
                raise CommandError("ERR Function already exists in the library")
            bits = 0
            for flag in flags:
                bits |= FLAGS[flag.lower()]
            library.functions[function] = Function(library, function, reference, description, bits)

        try:
            reference = interpreter.compile(code[code.find(b"\n") :], b"@user_function")
        except CommandError as error:
            raise CommandError(f"ERR Error compiling function: {error}") from None
        self.load_began_ns = time.monotonic_ns()
        interpreter.on_busy = self.is_load_too_long
        try:
            interpreter.load_library(reference, register)
            if not library.functions:
                raise CommandError("ERR No functions registered")
        except CommandError as error:
            self.forget(library)
            if str(error) == "ERR No functions registered":
                raise
            raise CommandError(f"ERR Error registering functions: {error}") from None
        finally:
            interpreter.forget(reference)
            interpreter.on_busy = self.scripts.on_count
        return library

    def is_load_too_long(self) -> bool:
        """Whether the library that is being loaded must be stopped."""
        return time.monotonic_ns() - self.load_began_ns > LOAD_NS

    def add(self, new: list, old: list) -> None:
        """Put libraries in the place of others; CommandError, with nothing changed, if a function's name is taken."""
        others = [library for library in self.libraries.values() if library not in old]
        taken = {name.lower() for library in others for name in library.functions}
        for library in new:
            for name in library.functions:
                if name.lower() in taken:
                    for refused in new:
                        self.forget(refused)
                    raise CommandError(f"ERR Function {name.decode()} already exists")
            taken.update(name.lower() for name in library.functions)
        for library in old:
            self.remove(library)
        for library in new:
            self.libraries[library.name] = library
            self.functions.update((name.lower(), function) for name, function in library.functions.items())
        self.changed()

    def remove(self, library: Library) -> None:
        del self.libraries[library.name]
        for name in library.functions:
            self.functions.pop(name.lower(), None)
        self.forget(library)

    def forget(self, library: Library) -> None:
        """Let Lua free the functions."""
        for function in library.functions.values():
            self.interpreter.forget(function.reference)

    def delete(self, name: bytes) -> None:
        """FUNCTION DELETE."""
        library = self.libraries.get(name)
        if library is None:
            raise CommandError("ERR Library not found")
        self.remove(library)
        self.changed()

    def flush(self) -> None:
        """FUNCTION FLUSH: no library is left, nor the state that they ran in."""
        self.libraries.clear()
        self.functions.clear()
        self.unusable.clear()
        self.interpreter = None
        self.changed()

    # -- dumps ---------------------------------------------------------------------------------------------------------

    def encoded(self) -> tuple:
        """All libraries as strings of the RDB format."""
        codes = [self.libraries[name].code for name in sorted(self.libraries)]
        return tuple(rdb_format.encode_string(code) for code in [*codes, *self.unusable])

    def changed(self) -> None:
        self.on_change(self.encoded())

    def take(self, encoded: tuple) -> None:
        """The libraries of a dump that has been loaded, in the place of all."""
        opcode = bytes((rdb_format.OP_FUNCTION2,))
        self.flush()
        for code in payload.libraries(b"".join([opcode + library for library in encoded])):
            try:
                name = library_name(code)
                self.add([self.compile(name, code)], [self.libraries[name]] if name in self.libraries else [])
            except CommandError as error:
                self.log.warning(f"A library of functions is kept for the next dump, but cannot be run: {error}")
                self.unusable.append(code)
        self.changed()

    def dump(self) -> bytes:
        """FUNCTION DUMP."""
        opcode = bytes((rdb_format.OP_FUNCTION2,))
        return payload.seal(b"".join([opcode + library for library in self.encoded()]))

    def restore(self, data: bytes, policy: bytes) -> None:
        """FUNCTION RESTORE: all libraries or, with a CommandError, none. policy: flush, append or replace."""
        if not payload.is_sound(data):
            raise CommandError("ERR DUMP payload version or checksum are wrong")
        try:
            codes = payload.libraries(data[: -payload.FOOTER_LEN])
        except RdbError as error:
            raise CommandError(f"ERR {error.reason}") from None
        named: dict = {}
        for code in codes:
            name = library_name(code)
            if name in named or (policy == b"append" and name in self.libraries):
                raise CommandError(f"ERR Library {name.decode()} already exists")
            named[name] = code
        compiled = []
        try:
            for name, code in named.items():
                compiled.append(self.compile(name, code))
        except CommandError:
            for library in compiled:
                self.forget(library)
            raise
        if policy == b"flush":
            old = list(self.libraries.values())
        else:
            old = [self.libraries[name] for name in named if name in self.libraries]
        self.add(compiled, old)


def library_name(code: bytes) -> bytes:
    """The name that the first line of a library gives it; CommandError if the line is not understood."""
    end = code.find(b"\n")
    if not code.startswith(b"#!"):
        raise CommandError("ERR Missing library metadata")
    words = split_words(code[:end]) if end >= 0 else None
    if not words:
        raise CommandError("ERR Invalid library metadata")
    name = None
    for word in words[1:]:
        if not word.lower().startswith(b"name="):
            raise CommandError(f"ERR Invalid metadata value given: {text(word)}")
        if name is not None:
            raise CommandError("ERR Invalid metadata value, name argument was given multiple times")
        name = word[len(b"name=") :]
    if name is None:
        raise CommandError("ERR Library name was not given")
    if not NAME.fullmatch(name):
        raise CommandError(BAD_NAME)
    engine = words[0][2:]
    if engine.lower() != b"lua":
        raise CommandError(f"ERR Engine '{text(engine)}' not found")
    return name


def text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")

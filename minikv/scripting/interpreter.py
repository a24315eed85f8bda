# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""One Lua state: its memory, what scripts find in it, and how one is run.

The state is made with the first script. Its memory is limited: above `limit_bytes` a script gets Lua's own error "not
enough memory". At the bottom of its stack lies what every run needs:

    1 the table behind the globals   2 the handler of errors   3, 4 the names KEYS and ARGV
    5 the metatable of the globals   6 what a library of functions sees in their place while it is loaded
"""

import hashlib
from pathlib import Path

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.ref import Py_DECREF, Py_INCREF
from cython.cimports.libc.math import floor
from cython.cimports.minikv.dispatch.script_client import ScriptClient
from cython.cimports.minikv.dispatch.table import CommandTable
from cython.cimports.minikv.scripting.bit import add_bit
from cython.cimports.minikv.scripting.cjson import add_cjson
from cython.cimports.minikv.scripting.cmsgpack import add_cmsgpack
from cython.cimports.minikv.scripting.lua import (
    LUA_COLLECT,
    LUA_FUNCTION,
    LUA_GLOBALS,
    LUA_NIL,
    LUA_NUMBER,
    LUA_RAISE,
    LUA_REGISTRY,
    LUA_STEP,
    LUA_STRING,
    LUA_TABLE,
    lua_close,
    lua_createtable,
    lua_Debug,
    lua_gc,
    lua_getinfo,
    lua_getstack,
    lua_gettop,
    lua_insert,
    lua_isnumber,
    lua_next,
    lua_pcall,
    lua_pushboolean,
    lua_pushnil,
    lua_pushnumber,
    lua_pushstring,
    lua_pushvalue,
    lua_rawget,
    lua_rawgeti,
    lua_rawset,
    lua_rawseti,
    lua_remove,
    lua_replace,
    lua_settop,
    lua_State,
    lua_toboolean,
    lua_tonumber,
    lua_type,
    luaL_loadbuffer,
    luaL_ref,
    luaL_unref,
    minikv_lua_new,
    minikv_lua_push_backing,
    minikv_lua_push_body,
    minikv_lua_unwatch,
    minikv_lua_watch,
    nrand48,
)
from cython.cimports.minikv.scripting.stack import add, raise_where, set_field
from cython.cimports.minikv.scripting.struct import add_struct
from cython.cimports.minikv.scripting.values import bytes_at, number_text, push_bytes, push_value, value_at

from minikv.acl.user import ALLOWED
from minikv.errors import CommandError, CountedError
from minikv.saving.settings import REDIS_VERSION

# After a script that leaves more than this, everything unused is freed at once.
LARGE_BYTES = cython.declare(cython.size_t, 64 << 20)
# One step of the collector after this many scripts.
# Values of a reply, in which a table counts for several.
MAX_VALUES = cython.declare(cython.longlong, 32 * 1024 * 1024)
RUNS_PER_STEP = cython.declare(cython.int, 50)
# Lua's instructions between two looks at the clock: some milliseconds.
INSTRUCTIONS = cython.declare(cython.int, 100000)
# Arguments of a command that need no memory of their own.
FEW = cython.declare(cython.int, 16)
# Bodies find their own upvalues behind the shim's.
RANDOM_MAX = cython.declare(cython.double, 2147483647.0)

PRELUDE = Path(__file__).with_name("prelude.lua").read_bytes()

LEVELS = ((b"LOG_DEBUG", 0), (b"LOG_VERBOSE", 1), (b"LOG_NOTICE", 2), (b"LOG_WARNING", 3))
REPLICATION = ((b"REPL_NONE", 0), (b"REPL_AOF", 1), (b"REPL_SLAVE", 2), (b"REPL_REPLICA", 2), (b"REPL_ALL", 3))
LOG_LEVELS = ("debug", "verbose", "notice", "warning")


class Bug(Exception):
    """Something that is no error of a script's has ended it."""


@cython.cclass
class Interpreter:
    """A Lua state with Redis's functions.

    is_library: for functions, not for EVAL. limit_bytes: script-memory-limit; Lua collects its garbage when it has
    doubled, so about half of this can be in use. client: whom the commands see. on_busy: called after each INSTRUCTIONS
    of a script; True kills it.
    """

    def __init__(
        self,
        table: CommandTable,
        client: ScriptClient,
        log: object,
        is_library: cython.bint,
        limit_bytes: cython.size_t,
    ):
        self.table = table
        self.client = client
        self.log = log
        self.is_library = is_library
        self.L = cython.NULL
        self.memory.limit = limit_bytes
        self.memory.relaxed = 1
        self.memory.owner = cython.cast(cython.p_void, self)
        self.memory.on_count = count_hook
        self.random[0], self.random[1], self.random[2] = 0x330E, 0xABCD, 0x1234
        self.open()

    def __dealloc__(self):
        if self.L != cython.NULL:
            lua_close(self.L)

    def open(self) -> None:
        """Make the state and what scripts see."""
        self.L = minikv_lua_new(cython.address(self.memory))
        L: cython.pointer[lua_State] = self.L
        if L == cython.NULL:
            raise MemoryError
        if luaL_loadbuffer(L, PyBytes_AS_STRING(PRELUDE), PyBytes_GET_SIZE(PRELUDE), b"=prelude"):
            raise Bug(bytes_at(L, -1))
        lua_createtable(L, 0, 0)
        self.add_redis()
        add_bit(L)
        add_cjson(L)
        add_cmsgpack(L)
        add_struct(L)
        lua_createtable(L, 0, 0)
        add(L, b"random", random_body)
        add(L, b"randomseed", randomseed_body)
        set_field(L, b"random")
        if self.is_library:
            lua_createtable(L, 0, 8)
            add(L, b"register_function", register_body)
            add(L, b"log", log_body)
            add_numbers(L, LEVELS)
            add_version(L)
            set_field(L, b"load")
        if self.table.services.config.lua_enable_deprecated_api:
            lua_createtable(L, 0, 0)
            set_field(L, b"deprecated")
        if lua_pcall(L, 1, 4, 0):
            raise Bug(bytes_at(L, -1))
        # 1 the globals, 2 the table behind them, 3 their metatable, 4 those of a library that is loaded
        lua_pushvalue(L, 1)
        lua_replace(L, LUA_GLOBALS)
        lua_remove(L, 1)
        minikv_lua_push_body(L, error_body)
        lua_pushvalue(L, -1)
        lua_pushstring(L, b"__redis__err__handler")
        lua_insert(L, -2)
        lua_rawset(L, 1)
        lua_insert(L, 2)
        push_bytes(L, b"ARGV")
        lua_insert(L, 3)
        push_bytes(L, b"KEYS")
        lua_insert(L, 3)
        lua_gc(L, LUA_COLLECT, 0)

    @cython.cfunc
    def add_redis(self) -> object:
        """The table `redis`, as a field of the table on top."""
        L: cython.pointer[lua_State] = self.L
        lua_createtable(L, 0, 32)
        add(L, b"call", call_body)
        add(L, b"pcall", pcall_body)
        add(L, b"log", log_body)
        add(L, b"sha1hex", sha1hex_body)
        add(L, b"error_reply", error_reply_body)
        add(L, b"status_reply", status_reply_body)
        add(L, b"setresp", setresp_body)
        add(L, b"set_repl", set_repl_body)
        if not self.is_library:
            add(L, b"replicate_commands", replicate_commands_body)
            add(L, b"breakpoint", breakpoint_body)
            add(L, b"debug", debug_body)
        add(L, b"acl_check_cmd", acl_check_cmd_body)
        add_numbers(L, LEVELS)
        add_numbers(L, REPLICATION)
        add_version(L)
        set_field(L, b"redis")

    @property
    def used_bytes(self) -> int:
        """Memory of the state."""
        return self.memory.used

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def compile(self, source: bytes, name: bytes) -> cython.int:
        """A reference to the function that the source is the body of; CommandError with Lua's message."""
        L: cython.pointer[lua_State] = self.L
        if luaL_loadbuffer(L, PyBytes_AS_STRING(source), PyBytes_GET_SIZE(source), PyBytes_AS_STRING(name)):
            text: bytes = bytes_at(L, -1)
            lua_settop(L, -2)
            raise CommandError(text.decode("utf-8", "surrogateescape"))
        return luaL_ref(L, LUA_REGISTRY)

    def load_library(self, reference: cython.int, register: object) -> None:
        """Run the body of a library, which registers its functions; CommandError with the message of its error.

        register(name, reference, description, flags): for each function; the last two are None or bytes, and a list.
        """
        L: cython.pointer[lua_State] = self.L
        base: cython.int = lua_gettop(L)
        self.killed = False
        self.register = register
        self.set_globals(6)
        lua_rawgeti(L, LUA_REGISTRY, reference)
        minikv_lua_watch(L, INSTRUCTIONS)
        self.memory.relaxed = 0
        status: cython.int = lua_pcall(L, 0, 0, 2)
        self.memory.relaxed = 1
        minikv_lua_unwatch(L)
        text: object = None
        if status:
            text = field(L, b"err") if lua_type(L, -1) == LUA_TABLE else bytes_at(L, -1)
        self.set_globals(1)
        self.register = None
        lua_settop(L, base)
        bug, self.bug = self.bug, None
        if bug is not None:
            raise bug
        if status:
            raise CommandError((text or b"ERR unknown error").decode("utf-8", "surrogateescape"))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_globals(self, index: cython.int) -> cython.int:
        """What the globals are: this table of the stack."""
        lua_pushstring(self.L, b"__index")
        lua_pushvalue(self.L, index)
        lua_rawset(self.L, 5)
        return 0

    def forget(self, reference: cython.int) -> None:
        """The function is not needed any more."""
        luaL_unref(self.L, LUA_REGISTRY, reference)

    @cython.cfunc
    def run(
        self,
        reference: cython.int,
        name: bytes,
        arguments: tuple,
        keys: cython.int,
        as_globals: cython.bint,
        caller_resp: cython.int,
    ) -> object:
        """The reply of a function; CommandError.

        arguments: the first `keys` of them are keys. as_globals: KEYS and ARGV; else they are the function's arguments.
        name: of the script or function in messages.
        """
        L: cython.pointer[lua_State] = self.L
        base: cython.int = lua_gettop(L)
        number: cython.int
        count: cython.int = len(arguments)
        left: cython.longlong = MAX_VALUES
        self.killed = False
        lua_rawgeti(L, LUA_REGISTRY, reference)
        if as_globals:
            lua_pushvalue(L, 3)
        lua_createtable(L, keys, 0)
        for number in range(keys):
            push_bytes(L, cython.cast(bytes, arguments[number]))
            lua_rawseti(L, -2, number + 1)
        if as_globals:
            lua_rawset(L, 1)
            lua_pushvalue(L, 4)
        lua_createtable(L, count - keys, 0)
        for number in range(keys, count):
            push_bytes(L, cython.cast(bytes, arguments[number]))
            lua_rawseti(L, -2, number - keys + 1)
        if as_globals:
            lua_rawset(L, 1)
        if self.on_busy is not None:
            minikv_lua_watch(L, INSTRUCTIONS)
        self.memory.relaxed = 0
        status: cython.int = lua_pcall(L, 0 if as_globals else 2, 1, 2)
        self.memory.relaxed = 1
        minikv_lua_unwatch(L)
        try:
            if self.bug is not None:
                raise self.bug
            if status:
                self.failure(status, name)
            value = value_at(L, self.client.resp, caller_resp, cython.address(left))
        finally:
            self.bug = None
            lua_settop(L, base)
            self.collect()
        if isinstance(value, CommandError):
            raise value
        return value

    @cython.cfunc
    @cython.exceptval(check=False)
    def collect(self) -> cython.void:
        """After a script: free something now and then, all after a large one, or the next would find too little."""
        self.runs += 1
        if self.memory.used > LARGE_BYTES or self.memory.used > self.memory.limit // 2:
            lua_gc(self.L, LUA_COLLECT, 0)
        elif self.runs >= RUNS_PER_STEP:
            self.runs = 0
            lua_gc(self.L, LUA_STEP, 0)

    @cython.cfunc
    def failure(self, status: cython.int, name: bytes) -> object:
        """Raise the error on top of the stack."""
        L: cython.pointer[lua_State] = self.L
        if lua_type(L, -1) != LUA_TABLE:
            text: bytes = bytes_at(L, -1) if lua_type(L, -1) == LUA_STRING else b"execution failure"
            raise CommandError(
                f"ERR Error running script {name.decode()}, {text[:100].decode('utf-8', 'surrogateescape')}\n"
            )
        counted: cython.bint = field(L, b"ignore_error_stats_update") is not None
        text = field(L, b"err") or b"ERR unknown error"
        source = field(L, b"source")
        line = field(L, b"line")
        if source is not None and line is not None:
            text += b" script: %s, on %s:%s." % (name, source, line)
        shown: str = text.decode("utf-8", "surrogateescape")
        raise CountedError(shown) if counted else CommandError(shown)

    @cython.cfunc
    @cython.exceptval(check=False)
    def call(self, L: cython.pointer[lua_State], raises: cython.bint) -> cython.int:
        """redis.call and redis.pcall."""
        try:
            value = self.execute(L)
            lua_settop(L, 0)
            push_value(L, value, self.client.resp)
            if isinstance(value, CommandError):
                if not isinstance(value, Uncounted):
                    push_bytes(L, b"ignore_error_stats_update")
                    lua_pushboolean(L, True)
                    lua_rawset(L, -3)
                return LUA_RAISE if raises else 1
            return 1
        except BaseException as error:
            return self.stop(L, error)

    @cython.cfunc
    @cython.exceptval(check=False)
    def stop(self, L: cython.pointer[lua_State], error: object) -> cython.int:
        """End the script by something that is not its own error."""
        self.bug = error
        self.killed = True
        lua_settop(L, 0)
        return raise_text(L, b"ERR internal error")

    @cython.cfunc
    def execute(self, L: cython.pointer[lua_State]) -> object:
        """Execute the command that the stack holds."""
        argc: cython.int = lua_gettop(L)
        i: cython.int
        kind: cython.int
        few: cython.pointer[PyObject][16]
        argv: cython.pointer[cython.pointer[PyObject]] = few
        if argc == 0:
            return Uncounted("ERR Please specify at least one argument for this redis lib call")
        for i in range(argc):
            kind = lua_type(L, i + 1)
            if kind != LUA_STRING and kind != LUA_NUMBER:
                return Uncounted("ERR Lua redis lib command arguments must be strings or integers")
        if self.bug is not None or self.client is None:
            return Uncounted("ERR the script is being stopped")
        if argc > FEW:
            argv = cython.cast(
                cython.pointer[cython.pointer[PyObject]], PyMem_Malloc(argc * cython.sizeof(cython.pointer[PyObject]))
            )
            if argv == cython.NULL:
                raise MemoryError
        argument: bytes
        for i in range(argc):
            is_number: cython.bint = lua_type(L, i + 1) == LUA_NUMBER
            argument = number_text(lua_tonumber(L, i + 1)) if is_number else bytes_at(L, i + 1)
            Py_INCREF(argument)
            argv[i] = cython.cast(cython.pointer[PyObject], argument)
        try:
            return self.table.call_from_script(self.client, argv, argc)
        finally:
            for i in range(argc):
                Py_DECREF(cython.cast(object, argv[i]))
            if argc > FEW:
                PyMem_Free(argv)

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def register_from(self, L: cython.pointer[lua_State]) -> cython.int:
        """Register the function that the stack describes. CommandError."""
        argc: cython.int = lua_gettop(L)
        description: object = None
        flags: list = []
        name: object = None
        if self.register is None:
            raise CommandError("ERR redis.register_function can only be called on FUNCTION LOAD command")
        if argc < 1 or argc > 2:
            raise CommandError("ERR wrong number of arguments to redis.register_function")
        if argc == 2:
            if not is_text(L, 1):
                raise CommandError("ERR first argument to redis.register_function must be a string")
            if lua_type(L, 2) != LUA_FUNCTION:
                raise CommandError("ERR second argument to redis.register_function must be a function")
            name = bytes_at(L, 1)
        else:
            if lua_type(L, 1) != LUA_TABLE:
                raise CommandError(
                    "ERR calling redis.register_function with a single argument is only applicable to Lua table "
                    "(representing named arguments)."
                )
            lua_pushnil(L)  # in the place of the function
            name, description, flags = self.named_arguments(L)
        lua_settop(L, 2)
        reference: cython.int = luaL_ref(L, LUA_REGISTRY)
        try:
            self.register(name, reference, description, flags)
        except CommandError:
            luaL_unref(L, LUA_REGISTRY, reference)
            raise
        return 0

    @cython.cfunc
    def named_arguments(self, L: cython.pointer[lua_State]) -> tuple:
        """Name, description and flags of the table at 1; the function goes to 2."""
        name: object = None
        description: object = None
        flags: list = []
        place: cython.int
        lua_pushnil(L)
        while lua_next(L, 1):
            if not is_text(L, -2):
                raise CommandError("ERR named argument key given to redis.register_function is not a string")
            lua_pushvalue(L, -2)
            key = bytes_at(L, -1).lower()
            lua_settop(L, -2)
            if key == b"function_name":
                if not is_text(L, -1):
                    raise CommandError("ERR function_name argument given to redis.register_function must be a string")
                name = bytes_at(L, -1)
            elif key == b"description":
                if not is_text(L, -1):
                    raise CommandError("ERR description argument given to redis.register_function must be a string")
                description = bytes_at(L, -1)
            elif key == b"callback":
                if lua_type(L, -1) != LUA_FUNCTION:
                    raise CommandError("ERR callback argument given to redis.register_function must be a function")
                lua_pushvalue(L, -1)
                lua_replace(L, 2)
            elif key == b"flags":
                if lua_type(L, -1) != LUA_TABLE:
                    raise CommandError(
                        "ERR flags argument to redis.register_function must be a table representing function flags"
                    )
                place = 1
                while True:
                    lua_rawgeti(L, -1, place)
                    place += 1
                    if lua_type(L, -1) == LUA_NIL:
                        break
                    flags.append(bytes_at(L, -1) if is_text(L, -1) else b"")
                    lua_settop(L, -2)
                lua_settop(L, -2)
            else:
                raise CommandError("ERR unknown argument given to redis.register_function")
            lua_settop(L, -2)
        if name is None:
            raise CommandError("ERR redis.register_function must get a function name argument")
        if lua_type(L, 2) == LUA_NIL:
            raise CommandError("ERR redis.register_function must get a callback argument")
        return name, description, flags

    @cython.cfunc
    @cython.exceptval(check=False)
    def interrupt(self, L: cython.pointer[lua_State]) -> cython.int:
        """A script runs for long."""
        try:
            if not self.killed:
                self.killed = self.on_busy()
            if self.killed:
                if self.register is not None:
                    return raise_text(L, b"ERR FUNCTION LOAD timeout")
                return raise_text(L, b"ERR Error running script: Script killed by user with SCRIPT KILL.")
            return 0
        except BaseException as error:
            self.bug = error
            self.killed = True
            return raise_text(L, b"ERR internal error")


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_version(L: cython.pointer[lua_State]) -> cython.int:
    """Redis's version, as fields of the table on top."""
    lua_pushnumber(L, version_number())
    set_field(L, b"REDIS_VERSION_NUM")
    push_bytes(L, REDIS_VERSION.encode())
    return set_field(L, b"REDIS_VERSION")


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_numbers(L: cython.pointer[lua_State], numbers: tuple) -> cython.int:
    """Constants, as fields of the table on top."""
    for name, number in numbers:
        lua_pushnumber(L, number)
        set_field(L, name)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def is_text(L: cython.pointer[lua_State], index: cython.int) -> cython.bint:
    """A string, or a number, which is one, too."""
    return lua_type(L, index) == LUA_STRING or lua_type(L, index) == LUA_NUMBER


class Uncounted(CommandError):
    """An error of redis.call itself, which no statistics have yet."""


def version_number() -> int:
    """7.0.15 as 0x0007000f."""
    major, minor, patch = map(int, REDIS_VERSION.split("."))
    return major << 16 | minor << 8 | patch


# -- small tools on the stack ------------------------------------------------------------------------------------------


@cython.cfunc
def field(L: cython.pointer[lua_State], name: bytes) -> object:
    """A field of the table on top as text, None without one."""
    push_bytes(L, name)
    lua_rawget(L, -2)
    text: object = None
    if is_text(L, -1):
        text = bytes_at(L, -1)
    elif lua_toboolean(L, -1):
        text = b"true"
    lua_settop(L, -2)
    return text


@cython.cfunc
@cython.exceptval(check=False)
def raise_text(L: cython.pointer[lua_State], text: cython.p_const_char) -> cython.int:
    """Let the body's caller raise {err=text}."""
    push_error(L, text)
    return LUA_RAISE


@cython.cfunc
@cython.exceptval(check=False)
def push_error(L: cython.pointer[lua_State], text: cython.p_const_char) -> cython.int:
    lua_createtable(L, 0, 1)
    lua_pushstring(L, b"err")
    lua_pushstring(L, text)
    lua_rawset(L, -3)
    return 1


# -- the functions of `redis` ------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def count_hook(owner: cython.p_void, L: cython.pointer[lua_State]) -> cython.int:
    return cython.cast(Interpreter, owner).interrupt(L)


@cython.cfunc
@cython.exceptval(check=False)
def call_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return cython.cast(Interpreter, owner).call(L, True)


@cython.cfunc
@cython.exceptval(check=False)
def pcall_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return cython.cast(Interpreter, owner).call(L, False)


@cython.cfunc
@cython.exceptval(check=False)
def error_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """The handler of every error that ends a script: {err=} with the place where it happened."""
    record: lua_Debug
    lua_settop(L, 1)
    if lua_type(L, 1) != LUA_TABLE:
        text: bytes = b"ERR "
        if lua_type(L, 1) == LUA_STRING or lua_type(L, 1) == LUA_NUMBER:
            text += bytes_at(L, 1)
        else:
            text += shown(L, 1)
        lua_settop(L, 0)
        push_error(L, text)
    elif minikv_lua_push_backing(L, 1):
        lua_settop(L, 1)
        return 1
    if not lua_getstack(L, 1, cython.address(record)):
        return 1
    lua_getinfo(L, b"nSl", cython.address(record))
    if record.what[0] == 67 and lua_getstack(L, 2, cython.address(record)):  # C
        lua_getinfo(L, b"nSl", cython.address(record))
    lua_pushstring(L, b"source")
    lua_pushstring(L, record.source)
    lua_rawset(L, 1)
    lua_pushstring(L, b"line")
    lua_pushnumber(L, record.currentline)
    lua_rawset(L, 1)
    return 1


@cython.cfunc
def shown(L: cython.pointer[lua_State], index: cython.int) -> bytes:
    """What tostring makes of a value that is no text."""
    kind: cython.int = lua_type(L, index)
    if kind == 0:
        return b"nil"
    if kind == 1:
        return b"true" if lua_toboolean(L, index) else b"false"
    return b"error object"


@cython.cfunc
@cython.exceptval(check=False)
def log_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    argc: cython.int = lua_gettop(L)
    i: cython.int
    if argc < 2:
        return raise_text(L, b"ERR redis.log() requires two arguments or more.")
    if not lua_isnumber(L, 1):
        return raise_text(L, b"ERR First argument must be a number (log level).")
    level: cython.double = lua_tonumber(L, 1)
    if not -1 < level < 4:
        return raise_text(L, b"ERR Invalid debug level.")
    line: bytes = b""
    for i in range(2, argc + 1):
        if lua_type(L, i) == LUA_STRING or lua_type(L, i) == LUA_NUMBER:
            line += bytes_at(L, i) if i == 2 else b" " + bytes_at(L, i)
    try:
        text = line.partition(b"\0")[0].decode("utf-8", "backslashreplace")
        getattr(cython.cast(Interpreter, owner).log, LOG_LEVELS[int(level)])(text)
    except Exception as error:
        return cython.cast(Interpreter, owner).stop(L, error)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def sha1hex_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if lua_gettop(L) != 1:
        return raise_text(L, b"ERR wrong number of arguments")
    push_bytes(L, hashlib.sha1(bytes_at(L, 1)).hexdigest().encode())
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def error_reply_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if lua_gettop(L) != 1 or lua_type(L, 1) != LUA_STRING:
        return push_error(L, b"ERR wrong number or type of arguments")
    text: bytes = bytes_at(L, 1)
    if text[:1] == b"-":
        text = text[1:]
    if b" " not in text:
        text = b"ERR " + text
    lua_createtable(L, 0, 1)
    push_bytes(L, b"err")
    push_bytes(L, text)
    lua_rawset(L, -3)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def status_reply_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if lua_gettop(L) != 1 or lua_type(L, 1) != LUA_STRING:
        return push_error(L, b"ERR wrong number or type of arguments")
    lua_createtable(L, 0, 1)
    push_bytes(L, b"ok")
    lua_pushvalue(L, 1)
    lua_rawset(L, -3)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def setresp_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if lua_gettop(L) != 1:
        return raise_text(L, b"ERR redis.setresp() requires one argument.")
    version: cython.double = lua_tonumber(L, 1)
    if version != 2 and version != 3:
        return raise_text(L, b"ERR RESP version must be 2 or 3.")
    cython.cast(Interpreter, owner).client.resp = cython.cast(cython.int, version)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def set_repl_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if lua_gettop(L) != 1:
        return raise_text(L, b"ERR redis.set_repl() requires two arguments.")
    flags: cython.double = lua_tonumber(L, 1)
    if not 0 <= flags < 4:
        return raise_text(L, b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def replicate_commands_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    lua_pushboolean(L, True)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def breakpoint_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    lua_pushboolean(L, False)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def debug_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def acl_check_cmd_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """redis.acl_check_cmd: whether the script's user may run a command."""
    argc: cython.int = lua_gettop(L)
    i: cython.int
    if argc == 0:
        return raise_text(L, b"ERR Please specify at least one argument for this redis lib call")
    words: list = []
    for i in range(1, argc + 1):
        if lua_type(L, i) != LUA_STRING and lua_type(L, i) != LUA_NUMBER:
            return raise_text(L, b"ERR Lua redis lib command arguments must be strings or integers")
        words.append(bytes_at(L, i))
    interpreter: Interpreter = cython.cast(Interpreter, owner)
    try:
        found = interpreter.table.lookup(*words[:1])
        if found is not None and found.subcommands and argc > 1:
            found = interpreter.table.lookup(*words[:2])
        if found is None:
            return raise_text(L, b"ERR Invalid command passed to redis.acl_check_cmd()")
        client: ScriptClient = interpreter.client
        lua_pushboolean(L, client.unrestricted or found.requirements.refusal(client.user, words)[0] == ALLOWED)
        return 1
    except BaseException as error:
        return interpreter.stop(L, error)


@cython.cfunc
@cython.exceptval(check=False)
def register_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """redis.register_function(name, function), or of a table with these and more."""
    interpreter: Interpreter = cython.cast(Interpreter, owner)
    try:
        interpreter.register_from(L)
        return 0
    except CommandError as error:
        push_error(L, str(error).encode("utf-8", "surrogateescape"))
        return LUA_RAISE
    except BaseException as error:
        return interpreter.stop(L, error)


@cython.cfunc
@cython.exceptval(check=False)
def random_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """math.random: the same numbers after each start of a server, as in Redis."""
    interpreter: Interpreter = cython.cast(Interpreter, owner)
    share: cython.double = (nrand48(interpreter.random) % 2147483647) / RANDOM_MAX
    argc: cython.int = lua_gettop(L)
    least: cython.double = 1
    most: cython.double
    if argc == 0:
        lua_pushnumber(L, share)
        return 1
    if argc > 2:
        return raise_where(L, b"wrong number of arguments")
    if argc == 2:
        least = integer_at(L, 1)
    most = integer_at(L, argc)
    if least > most:
        return raise_where(L, b"bad argument #%d to 'random' (interval is empty)" % argc)
    lua_pushnumber(L, floor(share * (most - least + 1)) + least)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def randomseed_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    interpreter: Interpreter = cython.cast(Interpreter, owner)
    seed: cython.longlong = cython.cast(cython.longlong, integer_at(L, 1))
    interpreter.random[0] = 0x330E
    interpreter.random[1] = seed & 0xFFFF
    interpreter.random[2] = (seed >> 16) & 0xFFFF
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def integer_at(L: cython.pointer[lua_State], index: cython.int) -> cython.double:
    return cython.cast(cython.double, cython.cast(cython.int, lua_tonumber(L, index)))

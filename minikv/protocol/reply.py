# cython: language_level=3, boundscheck=False, wraparound=False, auto_pickle=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821

"""Replies: one encoder from Python values to RESP2 and RESP3.

The type of a value names its wire form:

    value                         RESP2                  RESP3
    bytes                         $ bulk string          the same
    int                           : integer              the same, ( big number beyond 64 bits
    None                          $-1                    _
    list, tuple                   * array                the same
    dict                          * keys and values      % map
    set, frozenset, Set           * array                ~ set
    float, Decimal                $ digits               , double
    bool                          :1 or :0               #t or #f
    SimpleString (OK, PONG ...)   + text                 the same
    CommandError                  - text                 the same
    NULL_ARRAY                    *-1                    _
    Verbatim                      $ data                 = form and data
    Push                          * array                > push
    Raw                           the bytes as they are
    Transcript                    * array, each item in the version of its time
    Draws                         * array, made while it is sent
    NO_REPLY                      nothing

A str is a bug in a handler and raises TypeError.

A reply may be larger than a buffer. A buffer with a `sink` stays small: when it is full, it hands on what it holds, so
the beginning of a reply leaves while its end is being made. A bulk string of LONG_BYTES or more is handed on as the
object that it is, and a list that nobody else refers to is dropped item by item: no byte is held twice.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.cpython.long import PyLong_AsLongLongAndOverflow
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.math import signbit
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import memcpy

from minikv.errors import CommandError

# Without a sink a buffer starts small and grows; with one it has room for this and as much again.
FIRST_CAPACITY = cython.declare(cython.Py_ssize_t, 512)
LONG_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)
# Shorter lists are not dropped item by item.
LONG_LIST = cython.declare(cython.Py_ssize_t, 64)
# References to a list that only its encoder has: the caller's and the one that is held for the call.
OWNED = cython.declare(cython.Py_ssize_t, 2)


@cython.cclass
class SimpleString:
    """A status reply; the text holds no line break."""

    def __init__(self, text: bytes):
        self.text = text
        self.wire = b"+" + text + b"\r\n"

    def __repr__(self) -> str:
        return f"SimpleString({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimpleString) and cython.cast(SimpleString, other).text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@cython.cclass
class Decimal:
    """A number whose digits the handler chose."""

    def __init__(self, digits: bytes):
        self.digits = digits


@cython.cclass
class Verbatim:
    """Text with its form (b"txt", b"mkd")."""

    def __init__(self, form: bytes, data: bytes):
        self.form = form
        self.data = data


@cython.cclass
class Push:
    """A message that answers no request."""

    def __init__(self, items: object):
        self.items = items


@cython.cclass
class Set:
    """A set in the order of its list, whose elements need not be hashable."""

    def __init__(self, items: list):
        self.items = items


@cython.cclass
class Transcript:
    """An array of `count` items made one by one: (value, resp) pairs, fewer if some were not to be answered."""

    def __init__(self, count: int, items: list):
        self.count = count
        self.items = items


@cython.cclass
class Draws:
    """An array of `count` items, in lists that an iterator makes while the ones before them leave."""

    def __init__(self, count: int, portions: object):
        self.count = count
        self.portions = portions


@cython.cclass
class Raw:
    """Bytes that are RESP already."""

    def __init__(self, data: bytes):
        self.data = data


@cython.cclass
class Marker:
    """The type of NULL_ARRAY, NO_REPLY and POSTPONED."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


OK = SimpleString(b"OK")
PONG = SimpleString(b"PONG")
QUEUED = SimpleString(b"QUEUED")
NULL_ARRAY = Marker("NULL_ARRAY")
NO_REPLY = Marker("NO_REPLY")
# The command waits; its reply comes later.
POSTPONED = Marker("POSTPONED")


@cython.cclass
class Sink:
    """Takes the replies that do not fit their buffer."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self, buffer: ReplyBuffer) -> cython.int:
        """Take what may leave and make room for LONG_BYTES more."""
        raise NotImplementedError

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_on(self, buffer: ReplyBuffer, value: bytes) -> cython.int:
        """Take what `flush` would, then the bytes of `value`."""
        raise NotImplementedError

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refuses(self, buffer: ReplyBuffer) -> cython.bint:
        """Whether it takes no more, so that the rest of a long reply need not be made."""
        raise NotImplementedError


@cython.cclass
class ReplyBuffer:
    """Encoded replies: data[0:size]. With a sink the capacity never changes."""

    def __cinit__(self, sink: Sink | None = None):
        self.sink = sink
        self.capacity = FIRST_CAPACITY if sink is None else 2 * LONG_BYTES + 64
        self.data = cython.cast(cython.p_char, PyMem_Malloc(self.capacity))
        if self.data == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.data)

    def add(self, value: object, resp: int = 2) -> None:
        """Encode one value."""
        self.write_value(value, resp)

    def take(self) -> bytes:
        """Everything encoded so far; the buffer is empty afterwards."""
        taken: bytes = self.data[: self.size]
        self.reset()
        return taken

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_value(self, value: object, resp: cython.int) -> cython.int:
        if type(value) is bytes:
            length: cython.Py_ssize_t = PyBytes_GET_SIZE(cython.cast(bytes, value))
            if length >= LONG_BYTES:
                return self.write_long_bulk(value)
            return self.write_bulk(PyBytes_AS_STRING(cython.cast(bytes, value)), length)
        if type(value) is SimpleString:
            wire: bytes = cython.cast(SimpleString, value).wire
            return self.write_bytes(PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire))
        if value is None:
            return self.write_bytes(b"_\r\n", 3) if resp > 2 else self.write_bytes(b"$-1\r\n", 5)
        if type(value) is int:
            beyond: cython.int = 0
            number: cython.longlong = PyLong_AsLongLongAndOverflow(value, cython.address(beyond))
            if beyond == 0:
                return self.write_header(b":", number)
            return self.write_line(b"(%d" % value) if resp > 2 else self.write_line(b":%d" % value)
        if type(value) is float:
            return self.write_double(format_double(value), resp)
        return self.write_other(value, resp)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_other(self, value: object, resp: cython.int) -> cython.int:
        if type(value) is list:
            self.write_header(b"*", len(value))
            self.write_items(value, resp)
        elif isinstance(value, (list, tuple)):
            self.write_header(b"*", len(value))
            for item in value:
                self.write_value(item, resp)
        elif isinstance(value, dict):
            self.write_header(b"%" if resp > 2 else b"*", len(value) if resp > 2 else 2 * len(value))
            for key, item in cython.cast(dict, value).items():
                self.write_value(key, resp)
                self.write_value(item, resp)
        elif isinstance(value, (set, frozenset)):
            self.write_header(b"~" if resp > 2 else b"*", len(value))
            for item in value:
                self.write_value(item, resp)
        elif isinstance(value, Set):
            self.write_header(b"~" if resp > 2 else b"*", len(cython.cast(Set, value).items))
            self.write_items(cython.cast(Set, value).items, resp)
        elif isinstance(value, bool):
            self.write_line((b"#t" if value else b"#f") if resp > 2 else (b":1" if value else b":0"))
        elif isinstance(value, Decimal):
            self.write_double(cython.cast(Decimal, value).digits, resp)
        elif isinstance(value, CommandError):
            self.write_error(str(value))
        elif value is NO_REPLY:
            pass
        elif value is NULL_ARRAY:
            self.write_line(b"_" if resp > 2 else b"*-1")
        elif isinstance(value, Verbatim):
            self.write_verbatim(value, resp)
        elif isinstance(value, Push):
            items = cython.cast(Push, value).items
            self.write_header(b">" if resp > 2 else b"*", len(items))
            for item in items:
                self.write_value(item, resp)
        elif isinstance(value, Transcript):
            self.write_header(b"*", cython.cast(Transcript, value).count)
            for item, version in cython.cast(Transcript, value).items:
                self.write_value(item, version)
        elif isinstance(value, Draws):
            self.write_draws(value, resp)
        elif isinstance(value, Raw):
            raw: bytes = cython.cast(Raw, value).data
            self.write_bytes(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self.write_value(bytes(value), resp)
        elif isinstance(value, int):
            self.write_header(b":", value)
        else:
            raise TypeError(f"a handler returned {type(value).__name__}, which has no wire form")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_items(self, items: list, resp: cython.int) -> cython.int:
        """The items of a list; one that nobody else refers to loses them one by one."""
        i: cython.Py_ssize_t
        if len(items) < LONG_LIST or refcount(cython.cast(cython.pointer[PyObject], items)) > OWNED:
            for item in items:
                self.write_value(item, resp)
            return 0
        for i in range(len(items)):
            item = items[i]
            items[i] = None
            self.write_value(item, resp)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_draws(self, value: Draws, resp: cython.int) -> cython.int:
        self.write_header(b"*", value.count)
        for items in value.portions:
            for item in items:
                self.write_value(item, resp)
            if self.sink is not None and self.sink.refuses(self):
                break
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_verbatim(self, value: Verbatim, resp: cython.int) -> cython.int:
        data: bytes = value.data
        if resp > 2:
            data = value.form + b":" + data
            self.write_header(b"=", len(data))
            return self.write_line(data)
        return self.write_value(data, resp)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_double(self, digits: bytes, resp: cython.int) -> cython.int:
        if resp > 2:
            return self.write_line(b"," + digits)
        return self.write_bulk(PyBytes_AS_STRING(digits), PyBytes_GET_SIZE(digits))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_error(self, text: str) -> cython.int:
        """One line: line breaks in the text become spaces."""
        line = text.encode("utf-8", "surrogateescape").replace(b"\r", b" ").replace(b"\n", b" ")
        return self.write_line(b"-" + line)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_line(self, line: bytes) -> cython.int:
        self.write_bytes(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        return self.write_bytes(b"\r\n", 2)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_bulk(self, data: cython.p_const_char, length: cython.Py_ssize_t) -> cython.int:
        self.reserve(length + 32)
        to: cython.p_char = put_number(self.data + self.size, 36, length)  # 36: a dollar sign
        memcpy(to, data, length)
        to += length
        to[0] = 13
        to[1] = 10
        self.size = to + 2 - self.data
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_long_bulk(self, value: bytes) -> cython.int:
        self.write_header(b"$", PyBytes_GET_SIZE(value))
        if self.sink is None:
            self.write_bytes(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        else:
            self.sink.pass_on(self, value)
        return self.write_bytes(b"\r\n", 2)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_header(self, kind: cython.char, number: cython.longlong) -> cython.int:
        self.reserve(32)
        self.size = put_number(self.data + self.size, kind, number) - self.data
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_bytes(self, data: cython.p_const_char, length: cython.Py_ssize_t) -> cython.int:
        if length >= LONG_BYTES and self.sink is not None:
            return self.write_long_bytes(data, length)
        self.reserve(length)
        memcpy(self.data + self.size, data, length)
        self.size += length
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_long_bytes(self, data: cython.p_const_char, length: cython.Py_ssize_t) -> cython.int:
        """Append data in portions that the buffer has room for."""
        while length > 0:
            step: cython.Py_ssize_t = min(length, LONG_BYTES)
            self.reserve(step)
            memcpy(self.data + self.size, data, step)
            self.size += step
            data += step
            length -= step
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def reserve(self, length: cython.Py_ssize_t) -> cython.int:
        """Make room for `length` more bytes at data + size; whoever fills it moves `size`."""
        if self.capacity - self.size < length:
            return self.make_room(length)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def make_room(self, length: cython.Py_ssize_t) -> cython.int:
        if self.sink is not None:
            return self.sink.flush(self)
        wanted: cython.Py_ssize_t = max(2 * self.capacity, self.size + length)
        grown: cython.p_char = cython.cast(cython.p_char, PyMem_Realloc(self.data, wanted))
        if grown == cython.NULL:
            raise MemoryError
        self.data = grown
        self.capacity = wanted
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def reset(self) -> cython.void:
        """Forget the contents, and the memory that a large reply took."""
        self.size = 0
        if self.capacity > FIRST_CAPACITY and self.sink is None:
            smaller: cython.p_char = cython.cast(cython.p_char, PyMem_Realloc(self.data, FIRST_CAPACITY))
            if smaller != cython.NULL:
                self.data = smaller
                self.capacity = FIRST_CAPACITY


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def put_number(to: cython.p_char, kind: cython.char, number: cython.longlong) -> cython.p_char:
    """Write kind, number, CR LF (at most 23 bytes); returns the position after it."""
    to[0] = kind
    to += 1
    rest: cython.ulonglong = cython.cast(cython.ulonglong, number)
    if number < 0:
        to[0] = 45  # `-`
        to += 1
        rest = 0 - rest
    if rest < 10:
        to[0] = 48 + cython.cast(cython.char, rest)
        to += 1
    else:
        digits: cython.char[20]
        count: cython.int = 0
        while rest:
            digits[count] = 48 + cython.cast(cython.char, rest % 10)
            rest //= 10
            count += 1
        while count:
            count -= 1
            to[0] = digits[count]
            to += 1
    to[0] = 13
    to[1] = 10
    return to + 2


def format_double(number: cython.double) -> bytes:
    """A double as Redis writes it: 17 significant digits, integers without a point, inf, -inf, nan."""
    if number != number:
        return b"nan"
    text: cython.char[32]
    # Most scores are such numbers, for which printf takes 0.1 us longer.
    if 0.0 <= number < 1e15 and number == cython.cast(cython.longlong, number) and not signbit(number):
        end: cython.p_char = put_number(text, 36, cython.cast(cython.longlong, number))
        return text[1 : end - text - 2]
    return text[: snprintf(text, 32, b"%.17g", number)]


def encode(value: object, resp: int = 2) -> bytes:
    """One value as bytes."""
    buffer = ReplyBuffer()
    buffer.add(value, resp)
    return buffer.take()

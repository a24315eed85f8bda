# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821

"""Requests: bytes in, argument arrays out, no sockets (sans-IO).

The reader looks at a window of input that belongs to the caller and makes one bytes object for each argument straight
from it. What a window leaves unfinished is kept in one of two places, so that no byte is looked at twice:

    a line cut in two (a header, an inline request)   -> `kept`, at most 64 KiB
    a bulk string cut in two                          -> `bulk`, a bytes object that grows with what has come

           *3\\r\\n  $3\\r\\n SET\\r\\n  $3\\r\\n key\\r\\n  $1000000\\r\\n aaaa ... | ... aaaa\\r\\n
    args_left     3               2               1             1                        0: complete

Guarantees: memory follows what was received, never what a header claims. A peer that has not authenticated makes the
reader hold at most about 16 KiB. Any bytes give requests or ProtocolError; after a ProtocolError the reader is dead.

Rules and texts are those of Redis 7.0 (networking.c: processInlineBuffer, processMultibulkBuffer); in particular the
two bytes after a bulk string and the byte after a header's CR are not looked at.
"""

import cython
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Realloc
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.string import memchr, memcpy

from minikv.errors import ProtocolError

# The longest line without its end: a header or an inline request.
MAX_LINE = cython.declare(cython.Py_ssize_t, 64 * 1024)
# What a peer may send in one request before it has authenticated.
MAX_UNTRUSTED_ARGS = cython.declare(cython.Py_ssize_t, 10)
MAX_UNTRUSTED_BYTES = cython.declare(cython.Py_ssize_t, 16 * 1024)
MAX_ARGS = cython.declare(cython.Py_ssize_t, (1 << 31) - 1)
# A longer bulk string is read from the socket into its own memory, once this much of it has come.
DIRECT_BYTES = cython.declare(cython.Py_ssize_t, 32 * 1024)
# The first memory for a line or bulk string that was cut.
FIRST_BYTES = cython.declare(cython.Py_ssize_t, 256)
# Requests of more arguments are not looked at before they are read: it would double their time.
AHEAD_ARGS = cython.declare(cython.Py_ssize_t, 8)
# More slots than this are freed after the request.
KEPT_SLOTS = cython.declare(cython.Py_ssize_t, 1024)
FIRST_SLOTS = cython.declare(cython.Py_ssize_t, 8)
# A number of at most this many digits fits 64 bits without a check.
SAFE_DIGITS = cython.declare(cython.Py_ssize_t, 18)

NEED_MORE = cython.declare(cython.int, 0)
COMPLETE = cython.declare(cython.int, 1)


@cython.cclass
class Lookahead:
    """Is shown some words of requests before they are read."""

    @cython.cfunc
    @cython.exceptval(check=False)
    def look(
        self,
        words: cython.pointer[cython.p_const_char],
        lengths: cython.pointer[cython.const[cython.Py_ssize_t]],
        count: cython.int,
    ) -> cython.void:
        pass


@cython.cclass
class Limits:
    """What all readers of a server share.

    ahead: shown requests that come together, before the first of them is read. max_bulk_len: proto-max-bulk-len.
    query_buffer_limit: client-query-buffer-limit. names, words: the first arguments of at most 8 bytes seen lately, in
    a direct-mapped cache by their bytes as one word. The same object each time makes looking up a command a comparison
    of pointers.
    """

    def __cinit__(self):
        self.max_bulk_len = 512 * 1024 * 1024
        self.query_buffer_limit = 1024 * 1024 * 1024

    def __dealloc__(self):
        i: cython.int
        for i in range(256):
            Py_XDECREF(self.names[i])


@cython.no_gc  # it can be in no cycle
@cython.cclass
class RequestReader:
    """Reads requests from windows of input.

    `load` shows a window, `next` completes one request in argv or says that the window is used up, `release` drops
    argv. A caller that stops in the middle of a window calls `hold`.
    """

    def __cinit__(self, limits: Limits):
        self.limits = limits
        self.trusted = True
        self.bulk_len = -1

    def __dealloc__(self):
        self.release()
        PyMem_Free(self.argv)
        PyMem_Free(self.kept)
        Py_XDECREF(self.bulk)

    def feed(self, data: bytes) -> None:
        """Add input; what the last window still holds comes first."""
        rest: bytes = self.at[: self.end - self.at] if self.at != self.end else b""
        self.load_bytes(rest + data)

    def read(self) -> object:
        """The next request as a list of bytes, or None if more input is needed. Raises ProtocolError."""
        if self.next() == NEED_MORE:
            return None
        request: list = [cython.cast(object, self.argv[i]) for i in range(self.argc)]
        self.release()
        return request

    @property
    def held(self) -> int:
        """Bytes that are kept for unfinished requests."""
        return self.held_bytes()

    @cython.cfunc
    @cython.exceptval(check=False)
    def load(self, data: cython.p_const_char, length: cython.Py_ssize_t) -> cython.void:
        """Show the next window. It is borrowed until `next` says NEED_MORE or `hold` is called."""
        self.window = self.at = self.looked_to = data
        self.end = data + length

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hold(self) -> cython.int:
        """Keep a copy of the rest of the window, so that the caller may reuse its memory."""
        rest: bytes = self.at[: self.end - self.at]
        return self.load_bytes(rest)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def load_bytes(self, data: bytes) -> cython.int:
        """Show the next window; the reader keeps its memory as long as it needs it."""
        self.source = data
        self.load(data, len(data))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next(self) -> cython.int:
        """COMPLETE: argv holds a request, to be released. NEED_MORE: the window is used up."""
        while True:
            if self.args_left > 0:
                return self.read_multibulk()
            if self.at == self.end:
                self.source = None
                return NEED_MORE
            if self.at >= self.looked_to and self.limits.ahead is not None and self.kept_len == 0:
                self.look_ahead()
            first: cython.char = self.kept[0] if self.kept_len > 0 else self.at[0]
            if first != b"*":
                if self.read_inline() == NEED_MORE:
                    return NEED_MORE
                if self.argc > 0:
                    return COMPLETE
                continue
            if self.read_line(b"\r", "too big mbulk count string") == NEED_MORE:
                return NEED_MORE
            count: cython.longlong = 0
            if not self.read_number(cython.address(count)) or count > MAX_ARGS:
                raise broken("invalid multibulk length")
            if count > MAX_UNTRUSTED_ARGS and not self.trusted:
                raise broken("unauthenticated multibulk length")
            self.forget_line()
            if count > 0:
                self.args_left = count

    @cython.cfunc
    @cython.exceptval(check=False)
    def look_ahead(self) -> cython.void:
        """Find words for `ahead` in whole, short requests that come next; nothing is read, and nothing is checked."""
        words: cython.p_const_char[AHEAD_MAX]
        lengths: cython.Py_ssize_t[AHEAD_MAX]
        count: cython.int = 0
        at: cython.p_const_char = self.at
        args: cython.Py_ssize_t
        index: cython.Py_ssize_t
        length: cython.Py_ssize_t
        self.looked_to = at + 1
        while count < AHEAD_MAX:
            args = header_at(cython.address(at), self.end, b"*")
            if args < 2 or args > AHEAD_ARGS:
                break
            for index in range(args):
                length = header_at(cython.address(at), self.end, b"$")
                if length < 0 or self.end - at < length + 2:
                    args = 0
                    break
                if index == 1:
                    words[count] = at
                    lengths[count] = length
                at += length + 2
            if args == 0:
                break
            count += 1
            self.looked_to = at
        if count > 1:
            self.limits.ahead.look(words, lengths, count)

    @cython.cfunc
    @cython.exceptval(check=False)
    def release(self) -> cython.void:
        """Drop the request in argv."""
        i: cython.Py_ssize_t
        for i in range(self.argc):
            Py_DECREF(self.argv[i])
        self.argc = 0
        self.args_bytes = 0
        if self.capacity > KEPT_SLOTS:
            PyMem_Free(self.argv)
            self.argv = cython.NULL
            self.capacity = 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def held_bytes(self) -> cython.Py_ssize_t:
        """Bytes kept between windows, or waiting in one that was held."""
        return self.args_bytes + self.bulk_capacity + self.kept_len + (self.end - self.at)

    @cython.cfunc
    @cython.exceptval(check=False)
    def unparsed_bytes(self) -> cython.Py_ssize_t:
        """Those of them that are no whole arguments yet: what client-query-buffer-limit counts."""
        return self.bulk_filled + self.kept_len + (self.end - self.at)

    @cython.cfunc
    @cython.exceptval(check=False)
    def parsed_bytes(self) -> cython.Py_ssize_t:
        """Bytes of the window that requests were made of; while its batch is served."""
        return self.at - self.window

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def direct(self) -> cython.bint:
        """Whether the next bytes may be read straight into a long bulk string: direct_size bytes at direct_at."""
        missing: cython.Py_ssize_t = self.bulk_len - self.bulk_filled
        if self.bulk == cython.NULL or self.bulk_filled < DIRECT_BYTES or missing < DIRECT_BYTES:
            return False
        if self.bulk_capacity - self.bulk_filled < DIRECT_BYTES:
            self.grow_bulk(2 * self.bulk_capacity)
        self.direct_at = bytes_data(self.bulk) + self.bulk_filled
        self.direct_size = self.bulk_capacity - self.bulk_filled
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def direct_filled(self, length: cython.Py_ssize_t) -> cython.int:
        """`length` bytes were put at direct_at."""
        self.bulk_filled += length
        self.at = self.end = cython.NULL
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_multibulk(self) -> cython.int:
        while self.args_left > 0:
            if self.bulk_len < 0:
                self.bulk_len = self.short_header()
            if self.bulk_len < 0:
                if self.at == self.end or self.read_line(b"\r", "too big bulk count string") == NEED_MORE:
                    return NEED_MORE
                first: cython.char = self.line_at[0] if self.line_len > 0 else 13
                if first != b"$":
                    raise broken(f"expected '$', got '{one_character(cython.cast(cython.uchar, first))}'")
                length: cython.longlong = 0
                if not self.read_number(cython.address(length)) or not 0 <= length <= self.limits.max_bulk_len:
                    raise broken("invalid bulk length")
                if not self.trusted and self.args_bytes + length > MAX_UNTRUSTED_BYTES:
                    raise broken("unauthenticated bulk length")
                self.forget_line()
                self.bulk_len = length
            if self.read_bulk() == NEED_MORE:
                return NEED_MORE
        return COMPLETE

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def short_header(self) -> cython.longlong:
        """Fast path: the length in a whole, plain header of at most 9999 bytes; -1 leaves it to the rules."""
        at: cython.p_const_char = self.at
        rest: cython.Py_ssize_t = self.end - at
        if self.kept_len > 0 or rest < 8 or at[0] != b"$" or not self.trusted:
            return -1
        length: cython.longlong = at[1] - 48
        if length < 0 or length > 9 or (length == 0 and at[2] != 13):
            return -1
        place: cython.int = 2
        while place < 5 and 48 <= at[place] <= 57:
            length = 10 * length + at[place] - 48
            place += 1
        if at[place] != 13:
            return -1
        self.at = at + place + 2
        return length

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_bulk(self) -> cython.int:
        """Read one argument of bulk_len bytes and the two bytes after it."""
        rest: cython.Py_ssize_t = self.end - self.at
        if self.bulk == cython.NULL:
            if rest >= self.bulk_len + 2:
                self.add_argument(self.at, self.bulk_len)
                self.at += self.bulk_len + 2
                self.bulk_len = -1
                self.args_left -= 1
                return COMPLETE
            if rest == 0:
                return NEED_MORE
            self.bulk_capacity = max(1, min(self.bulk_len, max(rest, FIRST_BYTES)))
            self.bulk_filled = 0
            self.bulk = new_bytes(cython.NULL, self.bulk_capacity)
            self.skip = 2
        step: cython.Py_ssize_t = min(rest, self.bulk_len - self.bulk_filled)
        if self.bulk_filled + step > self.bulk_capacity:
            self.grow_bulk(max(self.bulk_filled + step, 2 * self.bulk_capacity))
        if step > 0:
            memcpy(bytes_data(self.bulk) + self.bulk_filled, self.at, step)
            self.bulk_filled += step
            self.at += step
        if self.bulk_filled < self.bulk_len:
            return NEED_MORE
        step = min(self.skip, self.end - self.at)
        self.at += step
        self.skip -= step
        if self.skip > 0:
            return NEED_MORE
        return self.finish_bulk()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def grow_bulk(self, wanted: cython.Py_ssize_t) -> cython.int:
        self.bulk_capacity = 0
        wanted = min(wanted, self.bulk_len)
        resize_bytes(cython.address(self.bulk), wanted)
        self.bulk_capacity = wanted
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish_bulk(self) -> cython.int:
        if self.bulk_capacity != self.bulk_len:
            resize_bytes(cython.address(self.bulk), self.bulk_len)
        argument: cython.pointer[PyObject] = self.bulk
        self.args_bytes += self.bulk_len
        self.bulk = cython.NULL
        self.bulk_capacity = self.bulk_filled = 0
        self.bulk_len = -1
        self.args_left -= 1
        self.add_slot(argument)
        return COMPLETE

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_inline(self) -> cython.int:
        """One line of words; an empty one leaves argc at 0."""
        if self.read_line(b"\n", "too big inline request") == NEED_MORE:
            return NEED_MORE
        line: bytes = self.line_at[: self.line_len]
        self.forget_line()
        words = split_words(line.removesuffix(b"\r"))
        if words is None:
            raise broken("unbalanced quotes in request")
        for word in words:
            self.add_argument(cython.cast(bytes, word), len(word))
        return COMPLETE

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_line(self, terminator: cython.char, too_long: str) -> cython.int:
        """Find a line: line_len bytes at line_at, without its end. A CR takes the byte after it along."""
        rest: cython.Py_ssize_t = self.end - self.at
        after_cr: cython.Py_ssize_t = 1 if terminator == 13 else 0
        found: cython.p_const_char
        if self.kept_len == 0:
            found = cython.cast(cython.p_const_char, memchr(self.at, terminator, rest))
            if found != cython.NULL and found + after_cr < self.end:
                self.line_at = self.at
                self.line_len = found - self.at
                self.at = found + 1 + after_cr
                return COMPLETE
            found = cython.NULL
            self.keep(self.at, rest)
            self.at = self.end
        elif after_cr and self.kept[self.kept_len - 1] == 13:
            self.at += 1
            return self.use_kept_line()
        else:
            found = cython.cast(cython.p_const_char, memchr(self.at, terminator, rest))
            step: cython.Py_ssize_t = rest if found == cython.NULL else found + 1 - self.at
            self.keep(self.at, step)
            self.at += step
            if found != cython.NULL and self.at + after_cr <= self.end:
                self.at += after_cr
                return self.use_kept_line()
        if self.kept_len > (MAX_LINE if self.trusted else MAX_UNTRUSTED_BYTES):
            raise broken(too_long)
        return NEED_MORE

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def use_kept_line(self) -> cython.int:
        self.line_at = self.kept
        self.line_len = self.kept_len - 1
        return COMPLETE

    @cython.cfunc
    @cython.exceptval(check=False)
    def forget_line(self) -> cython.void:
        """Drop the line at line_at."""
        if self.kept_len > 0:
            PyMem_Free(self.kept)
            self.kept = cython.NULL
            self.kept_len = self.kept_capacity = 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, data: cython.p_const_char, length: cython.Py_ssize_t) -> cython.int:
        """Append to the line that was cut."""
        if self.kept_len + length > self.kept_capacity:
            wanted: cython.Py_ssize_t = max(self.kept_len + length, 2 * self.kept_capacity, 32)
            grown: cython.p_char = cython.cast(cython.p_char, PyMem_Realloc(self.kept, wanted))
            if grown == cython.NULL:
                raise MemoryError
            self.kept = grown
            self.kept_capacity = wanted
        memcpy(self.kept + self.kept_len, data, length)
        self.kept_len += length
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_number(self, number: cython.p_longlong) -> cython.int:
        """The integer after a line's first byte: 1, or 0 if it is none. No plus, blanks or leading zeros.

        Numbers of more than 18 digits are beyond every limit and refused here.
        """
        place: cython.Py_ssize_t = 1
        negative: cython.bint = self.line_len > 1 and self.line_at[1] == b"-"
        if negative:
            place = 2
        digits: cython.Py_ssize_t = self.line_len - place
        if digits < 1 or digits > SAFE_DIGITS:
            return 0
        if self.line_at[place] == b"0" and (digits > 1 or negative):
            return 0
        value: cython.longlong = 0
        while place < self.line_len:
            if not 48 <= self.line_at[place] <= 57:
                return 0
            value = 10 * value + self.line_at[place] - 48
            place += 1
        number[0] = -value if negative else value
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add_argument(self, data: cython.p_const_char, length: cython.Py_ssize_t) -> cython.int:
        """Add a copy of these bytes to argv; a name comes from the cache."""
        self.args_bytes += length
        if self.argc > 0 or length > 8 or length == 0:
            return self.add_slot(new_bytes(data, length))
        word: cython.ulonglong = 0
        memcpy(cython.address(word), data, length)
        mixed: cython.uint = cython.cast(cython.uint, word ^ (word >> 32))
        slot: cython.uint = (mixed * cython.cast(cython.uint, 0x9E3779B1)) >> 24
        limits: Limits = self.limits
        cached: cython.pointer[PyObject] = limits.names[slot]
        if cached == cython.NULL or limits.words[slot] != word or bytes_size(cached) != length:
            Py_XDECREF(cached)
            limits.names[slot] = cython.NULL
            cached = limits.names[slot] = new_bytes(data, length)
            limits.words[slot] = word
        Py_INCREF(cached)
        return self.add_slot(cached)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add_slot(self, argument: cython.pointer[PyObject]) -> cython.int:
        """Add an argument, whose reference moves into argv."""
        if self.argc == self.capacity:
            wanted: cython.Py_ssize_t = max(FIRST_SLOTS, 2 * self.capacity)
            grown: cython.pointer[cython.pointer[PyObject]] = cython.cast(
                cython.pointer[cython.pointer[PyObject]],
                PyMem_Realloc(self.argv, wanted * cython.sizeof(cython.pointer[PyObject])),
            )
            if grown == cython.NULL:
                Py_DECREF(argument)
                raise MemoryError
            self.argv = grown
            self.capacity = wanted
        self.argv[self.argc] = argument
        self.argc += 1
        return 0


def broken(reason: str) -> ProtocolError:
    """The error for a request that breaks RESP."""
    return ProtocolError(f"ERR Protocol error: {reason}")


def one_character(byte: cython.uchar) -> str:
    """Any byte inside an error text."""
    return bytes((byte,)).decode("utf-8", "surrogateescape")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def header_at(
    place: cython.pointer[cython.p_const_char], end: cython.p_const_char, kind: cython.char
) -> cython.Py_ssize_t:
    """The number in a whole, plain header of at most four digits, and the position after it; else -1."""
    at: cython.p_const_char = place[0]
    number: cython.Py_ssize_t = 0
    digits: cython.int = 0
    if end - at < 8 or at[0] != kind:
        return -1
    at += 1
    while digits < 4 and 48 <= at[digits] <= 57:
        number = 10 * number + at[digits] - 48
        digits += 1
    if digits == 0 or at[digits] != 13:
        return -1
    place[0] = at + digits + 2
    return number


def split_words(line: bytes) -> object:
    """The words of an inline request, or None if quotes are not balanced.

    Double quotes know \\xHH and the escapes n r t b a; single quotes only \\'. A quote may begin inside a word but must
    end it. A zero byte is a byte like others (Redis waits for ever after one).
    """
    room: bytearray = bytearray(len(line))
    word: cython.p_char = room
    word_len: cython.Py_ssize_t
    at: cython.p_const_char = line
    end: cython.p_const_char = at + len(line)
    step: cython.Py_ssize_t
    words = []
    while True:
        while at < end and is_blank(at[0]):
            at += 1
        if at == end:
            return words
        word_len = 0
        while at < end and not ends_word(at[0]):
            if at[0] == b'"' or at[0] == b"'":
                step = unquote(at, end - at, word, cython.address(word_len))
                if step < 0 or (at + step < end and not is_blank(at[step])):
                    return None
                at += step
                break
            word[word_len] = at[0]
            word_len += 1
            at += 1
        words.append(word[:word_len])


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def is_blank(byte: cython.char) -> cython.bint:
    return byte == 32 or 9 <= byte <= 13


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def ends_word(byte: cython.char) -> cython.bint:
    """Vertical tabs and form feeds are blanks only between words."""
    return byte == b" " or byte == b"\t" or byte == b"\n" or byte == b"\r"


@cython.cfunc
@cython.exceptval(check=False)
def unquote(
    at: cython.p_const_char, length: cython.Py_ssize_t, word: cython.p_char, word_len: cython.pointer[cython.Py_ssize_t]
) -> cython.Py_ssize_t:
    """Append what the quotes at `at` hold; returns how long they are, or -1 if they do not end."""
    quote: cython.char = at[0]
    place: cython.Py_ssize_t = 1
    byte: cython.char
    while place < length:
        byte = at[place]
        place += 1
        if byte == quote:
            return place
        if byte == b"\\" and place < length:
            if quote == b'"' and at[place] == b"x" and place + 2 < length and is_hex(at + place + 1):
                byte = cython.cast(cython.char, 16 * hex_digit(at[place + 1]) + hex_digit(at[place + 2]))
                place += 3
            elif quote == b'"' or at[place] == b"'":
                byte = escaped(at[place]) if quote == b'"' else at[place]
                place += 1
        word[word_len[0]] = byte
        word_len[0] += 1
    return -1


@cython.cfunc
@cython.exceptval(check=False)
def escaped(byte: cython.char) -> cython.char:
    """What a letter after a backslash means; most mean themselves."""
    if byte == b"n":
        return 10
    if byte == b"r":
        return 13
    if byte == b"t":
        return 9
    if byte == b"b":
        return 8
    return 7 if byte == b"a" else byte


@cython.cfunc
@cython.exceptval(check=False)
def is_hex(at: cython.p_const_char) -> cython.bint:
    """Whether two hexadecimal digits follow."""
    return hex_digit(at[0]) >= 0 and hex_digit(at[1]) >= 0


@cython.cfunc
@cython.exceptval(check=False)
def hex_digit(byte: cython.char) -> cython.int:
    """Its value, -1 for any other byte."""
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    return byte - 55 if 65 <= byte <= 70 else -1

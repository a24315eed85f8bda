# Elements of a listpack, one after another: (encoding, data, length of both backwards).
#
#     0xxxxxxx                    7-bit unsigned integer      11110001 2 B    16-bit integer, little endian as all below
#     10xxxxxx data               string of up to 63 bytes    11110010 3 B    24-bit integer
#     110xxxxx xxxxxxxx           13-bit integer              11110011 4 B    32-bit integer
#     1110xxxx xxxxxxxx data      string of up to 4095 bytes  11110100 8 B    64-bit integer
#     11110000 4 B data           longer string               11111111        end
#
# The functions here are for listpacks that have been checked, or that were made here. Whole ones begin with their size
# (4 B) and number of elements (2 B, 0xFFFF: too many to count).

from cpython.bytes cimport PyBytes_FromFormat
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from minikv.engine.record cimport bytes_at

cdef enum:
    PACK_HEADER = 6
    PACK_END = 0xFF
    PACK_COUNT_MAX = 65535
    INT32_ELEMENT = 0xF3
    ELEMENT_EXTRA = 10              # bytes of a string's element besides the string, at most
    INTEGER_MAX = 10                # bytes of an integer's element, at most


cdef inline uint32_t pack_size(const uint8_t *pack) noexcept nogil:
    cdef uint32_t size
    memcpy(&size, pack, 4)
    return size


cdef inline uint32_t length_behind(uint64_t size) noexcept nogil:
    """Bytes of the length behind an encoding and data of `size` bytes."""
    return 1 if size < 128 else 2 if size < 16383 else 3 if size < 2097151 else 4 if size < 268435455 else 5


cdef inline uint64_t element_data(const uint8_t *at, const uint8_t **data) noexcept nogil:
    """Bytes of encoding and data; `data` is set to a string, with its length left to be had from them."""
    cdef uint32_t length
    cdef uint8_t first = at[0]
    if first < 0x80:
        data[0] = NULL
        return 1
    if first < 0xC0:
        data[0] = at + 1
        return 1 + (first & 0x3F)
    if first < 0xE0:
        data[0] = NULL
        return 2
    if first < 0xF0:
        data[0] = at + 2
        return 2 + ((<uint32_t>(first & 0x0F) << 8) | at[1])
    if first == 0xF0:
        memcpy(&length, at + 1, 4)
        data[0] = at + 5
        return 5 + <uint64_t>length
    data[0] = NULL
    return 3 if first == 0xF1 else 4 if first == 0xF2 else 5 if first == 0xF3 else 9


cdef inline const uint8_t *next_element(const uint8_t *at) noexcept nogil:
    cdef const uint8_t *data
    cdef uint64_t size = element_data(at, &data)
    return at + size + length_behind(size)


cdef inline int64_t element_integer(const uint8_t *at) noexcept nogil:
    """The value of an integer's element."""
    cdef uint64_t bits = 0
    cdef uint32_t nbytes
    cdef uint8_t first = at[0]
    if first < 0x80:
        return first
    if first < 0xE0:
        bits = (<uint64_t>(first & 0x1F) << 8) | at[1]
        return <int64_t>bits - 8192 if bits >= 4096 else <int64_t>bits
    nbytes = first - 0xEF if first < 0xF4 else 8
    memcpy(&bits, at + 1, nbytes)
    return (<int64_t>(bits << (64 - 8 * nbytes))) >> (64 - 8 * nbytes)


cdef inline bytes element_bytes(const uint8_t *at):
    """An element as a string."""
    cdef const uint8_t *data
    cdef uint64_t size = element_data(at, &data)
    if data == NULL:
        return PyBytes_FromFormat("%ld", <long>element_integer(at))
    return bytes_at(data, size - <uint64_t>(data - at))


cdef inline uint8_t *write_behind(uint8_t *at, uint64_t size) noexcept nogil:
    """Write the length behind `size` bytes that end at `at`."""
    cdef uint32_t count = length_behind(size)
    cdef uint32_t i
    for i in range(count):
        at[i] = <uint8_t>((size >> (7 * (count - 1 - i))) & 127) | (128 if i else 0)
    return at + count


cdef inline uint8_t *write_integer(uint8_t *at, int64_t number) noexcept nogil:
    """Write an element, at most INTEGER_MAX bytes; returns the address behind it."""
    cdef uint32_t nbytes
    if 0 <= number < 128:
        at[0] = <uint8_t>number
        return write_behind(at + 1, 1)
    if -4096 <= number < 4096:
        at[0] = 0xC0 | (<uint8_t>((number & 0x1FFF) >> 8))
        at[1] = <uint8_t>(number & 0xFF)
        return write_behind(at + 2, 2)
    nbytes = 2 if -32768 <= number < 32768 else 3 if -8388608 <= number < 8388608 else (
        4 if -<int64_t>2147483648 <= number < <int64_t>2147483648 else 8)
    at[0] = 0xF4 if nbytes == 8 else <uint8_t>(0xEF + nbytes)
    memcpy(at + 1, &number, nbytes)
    return write_behind(at + 1 + nbytes, 1 + nbytes)


cdef inline uint8_t *write_text(uint8_t *at, const uint8_t *text, uint64_t length) noexcept nogil:
    """The same for a string that is not an integer's only spelling."""
    cdef uint8_t *start = at
    cdef uint32_t four = <uint32_t>length
    if length < 64:
        at[0] = 0x80 | <uint8_t>length
        at += 1
    elif length < 4096:
        at[0] = 0xE0 | <uint8_t>(length >> 8)
        at[1] = <uint8_t>(length & 0xFF)
        at += 2
    else:
        at[0] = 0xF0
        memcpy(at + 1, &four, 4)
        at += 5
    memcpy(at, text, length)
    return write_behind(at + length, <uint64_t>(at - start) + length)

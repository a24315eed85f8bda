# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The arena as a stream of RDB bytes: each database's records, then each spread collection with its elements.

A walk goes through the items that Arena.plan laid down and finds the live entries of each by their bits. The chunks
of a chunked collection it finds by its root, wherever they lie, and their items are passed when the database's keys
are done. A list of many nodes it goes along from node to node, and its items are passed when it is done. Entries are
copied as they are, except for what is private to the arena: an empty expiry prefix, the size of a packed collection,
the root of a spread one. What a hash whose fields expire leaves out is added: the time that the others are relative to,
always 0, and a 0 before each field without one. With `compress`, strings are replaced by their LZF form.

    SELECTDB 0, RESIZEDB, record, record ...    SELECTDB 1 ...    [SELECTDB n,] key, count, element, element ...   ...

A layer is a walk through what has changed (changes.py): of segments that were touched the records that are marked, and
spread collections whose roots are. Each database begins with its removals, which are AUX fields.

It runs in a child that has no interpreter and no heap. A Walk and all that it points to are inherited: the arena, the
bitmap, the items, the table of spread collections, the databases' parts. What else it needs it maps itself: the roots
of spread collections, met among the keys and kept until their elements' turn comes, for the memory of the keys may have
been given back by then; and strings in LZF form that find no room in the buffer. What finds no room is pending: the
next buffer begins with it.

Where a dump may share blocks with the one before (saving/dump_file.py), the walk is aligned: runs of records begin at
multiples of 4 KiB in the file, after an AUX field that fills the gap. Which record begins a run is a matter of its key,
so that behind a record that has grown, gone or come the same bytes lie at the same places again soon. Before a run
walk_fill stops: the caller may know its bytes already (saving/runs.py).

    AUX minikv-pad 0...    record, record ...    AUX minikv-pad 0...    record ...

In a child, `walk_publish` reports to the parent how far the walk is, and `walk_release` returns the memory that it has
passed: behind the walk the parent's writes cost no copies.

The value of a single key (value_bytes, for DUMP) is the parent's own work. It finds the elements by their table.
"""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cython.cimports.libc.errno import EINVAL, ENOMEM
from cython.cimports.libc.stdint import UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memmove, memset, strlen
from cython.cimports.minikv.engine.arena import (
    BITMAP_PER_SEGMENT,
    GRANULE,
    GRANULE_SHIFT,
    SEGMENT_SHIFT,
    SEGMENT_SIZE,
    WORD_SHIFT,
    WORDS_PER_SEGMENT,
    Arena,
    Spread,
    __builtin_ctzll,
    __builtin_popcountll,
    next_live,
    segment_end,
    segment_start,
)
from cython.cimports.minikv.engine.chain import PATCH_HEADER, Node, sort_patches
from cython.cimports.minikv.engine.changes import (
    REMOVAL_ELEMENT,
    REMOVAL_STORE,
    REMOVAL_WORD,
    Changes,
    clear_map,
)
from cython.cimports.minikv.engine.chunked import Span, span_of
from cython.cimports.minikv.engine.chunks import root_of
from cython.cimports.minikv.engine.lzf import Lzf, lzf_compress
from cython.cimports.minikv.engine.marks import may_be_delta
from cython.cimports.minikv.engine.memory import give_back, grow, reserve, unmap, unmap_all, use_huge_pages
from cython.cimports.minikv.engine.packed import packed_count, packed_end, packed_first
from cython.cimports.minikv.engine.progress import KEYS_DONE, RANK_PASSED
from cython.cimports.minikv.engine.record import (
    CHUNK_ENTRY,
    CHUNKED_ROOT,
    EXPIRY_OPCODE,
    EXPIRY_SIZE,
    KEYS,
    NODE_CAPACITY,
    NODE_NAME,
    PACKED_HEADER,
    RECORD_MAX,
    SPREAD_STREAM,
    TYPE_HASH,
    TYPE_HASH_TTL,
    TYPE_LIST,
    TYPE_PART,
    TYPE_STREAM,
    TYPE_STRING,
    Bytes,
    ConstBytes,
    Root,
    bytes_at,
    chunk_entry,
    entry_elements,
    entry_place,
    entry_size,
    field_expiry_size,
    is_chunked,
    length_size,
    payload_size,
    read_length,
    record_expire_at,
    record_key,
    record_payload,
    record_size,
    skip_expiry,
    string_size,
    write_length,
)
from cython.cimports.minikv.engine.stores import Stores, spread_of
from cython.cimports.minikv.engine.stream_tail import tail_begin, tail_fill
from cython.cimports.minikv.engine.table import BLOCK_ENTRIES

from minikv.engine.lzf import compress as compress_string

OPCODE_SELECTDB = cython.declare(uint8_t, 0xFE)
OPCODE_RESIZEDB = cython.declare(uint8_t, 0xFB)
NO_DATABASE = cython.declare(uint32_t, 0xFFFFFFFF)
OPCODE_AUX = cython.declare(uint8_t, 0xFA)
LENGTH_DIGITS = cython.declare(uint32_t, 20)
LZF_STRING = cython.declare(uint8_t, 0xC3)
# Redis does not try to compress shorter strings; longer ones than the maximum would double the child's memory.
COMPRESS_MIN = cython.declare(uint64_t, 21)
COMPRESS_MAX = cython.declare(uint64_t, 16 << 20)
# After this many strings in a row that did not become shorter, one in 64 is tried: data that is compressed already,
# or random, would otherwise cost more processor time than all the rest of the save.
VAIN_TRIES = cython.declare(uint32_t, 64)
VAIN_MASK = cython.declare(uint32_t, 63)
# Room that `walk_fill` needs before it begins a record: the largest one outside pages, or a short string's header.
BUFFER_MIN = cython.declare(uint64_t, RECORD_MAX + 64)
# Mean bytes of a chunk's elements from which they are compressed one by one.
COMPRESSED_ELEMENT = cython.declare(int64_t, 128)
PREFETCHED = cython.declare(uint32_t, 8)  # chunks
PREFETCHED_LINES = cython.declare(cython.int, 6)  # of the cache, of each chunk
LENGTH_MAX = cython.declare(uint64_t, 9)  # bytes of an RDB length
BASE_SIZE = cython.declare(uint64_t, 8)  # bytes of the time before a hash whose fields expire
# Of an aligned walk: a run has at least this many bytes of records, and half a page of padding behind it. More if they
# become less by compression; a segment's last one may have less.
RUN_MIN = cython.declare(uint64_t, 64 << 10)
PACKED_RUN_MIN = cython.declare(uint64_t, 128 << 10)
LAST_RUN_MIN = cython.declare(uint64_t, 32 << 10)
CHUNK_BYTES = cython.declare(uint64_t, 512)  # about
RUN_SHIFT = cython.declare(cython.int, 48)  # 16 bits are left: a record begins a run by its bytes of 64 KiB
RUN_MULTIPLIER = cython.declare(uint64_t, 0x9E3779B97F4A7C15)
RUN_ALIGNMENT = cython.declare(uint64_t, 4096)
LENGTH_14 = cython.declare(uint64_t, 0x40)  # of a string's length in two bytes
PADDING_MIN = cython.declare(uint64_t, 14)  # bytes of the AUX field with an empty value
VALUE_BUFFER = cython.declare(uint64_t, 1 << 20)  # bytes of a collection copied at a time for one value


# The walk


def walk_fill(walk: cython.pointer[Walk], buffer: Bytes, size: uint64_t, max_keys: uint64_t) -> uint64_t:
    """Write RDB bytes into a buffer of at least 2 * RECORD_MAX; returns how many, 0 at the end or on an error.

    max_keys: where to stop (0: no limit).
    """
    keys_end: uint64_t = walk.keys + max_keys if max_keys else ~cython.cast(uint64_t, 0)
    walk.out = walk.start = buffer
    walk.out_end = buffer + size
    drain(walk)
    while walk.pending.nbytes == 0 and walk.out + BUFFER_MIN <= walk.out_end:
        walk.begun = walk.item
        if walk.log_at < walk.log_end:
            put_removals(walk)
        elif walk.root != cython.NULL:
            put_chunk(walk)
        elif walk.keys >= keys_end:
            break
        elif walk.at == 0:
            if not begin_part(walk):
                break
        elif walk.kind == KEYS and walk.aligned and begins_run(walk):
            begin_run(walk)
            walk.at_run = True
            break
        elif walk.kind == KEYS:
            if walk.aligned:
                count_in_run(walk)
            put_record(walk, walk.base + walk.at)
            if walk.root == cython.NULL:
                advance(walk)
        elif walk.kind == TYPE_LIST:
            put_node(walk)
        else:
            put_element(walk, walk.kind, walk.base + walk.at)
            advance(walk)
    drain(walk)
    walk.passed = walk.begun if walk.pending.nbytes else walk.item
    return 0 if walk.error else walk.out - buffer


def walk_publish(walk: cython.pointer[Walk]) -> cython.void:
    """Report to the parent how far this walk is."""
    walk.progress[KEYS_DONE] = walk.keys
    walk.progress[RANK_PASSED] = walk.passed


def walk_release(walk: cython.pointer[Walk]) -> cython.void:
    """Return the memory of the items that lie behind to the system. Only in a child: it loses the data."""
    number: uint64_t
    count: uint64_t
    while walk.released < walk.passed:
        number = walk.items[walk.released].segment
        count = walk.items[walk.released].segments
        give_back(walk.base + (number << SEGMENT_SHIFT), count * SEGMENT_SIZE)
        give_back(cython.cast(Bytes, walk.live + number * WORDS_PER_SEGMENT), count * BITMAP_PER_SEGMENT)
        walk.released += 1


def walk_forget(walk: cython.pointer[Walk]) -> cython.void:
    """After a layer is published: what it holds no longer counts as changed."""
    clear_map(cython.cast(cython.pointer[uint64_t], walk.fresh), cython.cast(Bytes, walk.touched), walk.segments)


def walk_end(walk: cython.pointer[Walk]) -> cython.void:
    """Unmap the walk's own memory: it is over."""
    unmap_all(cython.address(walk.places))
    unmap_all(cython.address(walk.kept))
    unmap_all(cython.address(walk.packed))


# Runs


def begins_run(walk: cython.pointer[cython.const[Walk]]) -> cython.bint:
    """Whether the record at hand does."""
    if walk.run_offset == 0:
        return True
    return walk.run_bytes != 0 and ends_run(
        walk.base + walk.at, walk.run_bytes, walk.item != walk.run_item, walk.compress
    )


def ends_run(record: Bytes, run_bytes: uint64_t, in_next_item: cython.bint, compressed: cython.bint) -> cython.bint:
    """Whether a run of so many bytes ends before a record: by its key, about once in 64 KiB; or with its segment."""
    key_len: uint64_t = 0
    key: ConstBytes
    word: uint64_t
    mixed: uint64_t = 0
    if in_next_item and run_bytes >= LAST_RUN_MIN:
        return True
    if run_bytes < (PACKED_RUN_MIN if compressed else RUN_MIN):
        return False
    if is_chunked(skip_expiry(record)[0], record_payload(record)):
        return True
    key = record_key(record, cython.address(key_len))
    while key_len:
        word = 0
        memcpy(cython.address(word), key, min(key_len, 8))
        mixed = (mixed ^ word) * RUN_MULTIPLIER
        mixed ^= mixed >> 32
        key += 8
        key_len -= min(key_len, 8)
    return (mixed * RUN_MULTIPLIER) >> RUN_SHIFT < record_size(record)


def count_in_run(walk: cython.pointer[Walk]) -> cython.void:
    """The record at hand is in the run, its chunks about."""
    record: Bytes = walk.base + walk.at
    payload: Bytes = record_payload(record)
    walk.run_bytes += record_size(record)
    if is_chunked(skip_expiry(record)[0], payload):
        walk.run_bytes += root_of(payload).chunks * CHUNK_BYTES
    walk.run_item = walk.item


def begin_run(walk: cython.pointer[Walk]) -> cython.void:
    """Fill the file up to a multiple of 4 KiB."""
    offset: uint64_t = walk.offset + cython.cast(uint64_t, walk.out - walk.start)
    gap: uint64_t = -offset & (RUN_ALIGNMENT - 1)
    if 0 < gap < PADDING_MIN:
        gap += RUN_ALIGNMENT
    walk.run_offset = offset + gap
    walk.run_bytes = 0
    walk.run_item = walk.item
    walk.in_vain = 0  # what a run looks like must not depend on the one before
    if gap == 0:
        return
    put_aux(walk, b"minikv-pad")
    gap -= PADDING_MIN
    walk.out[0] = cython.cast(uint8_t, LENGTH_14 | gap >> 8)
    walk.out[1] = cython.cast(uint8_t, gap & 0xFF)
    memset(walk.out + 2, 0, gap)
    walk.out += 2 + gap


# From part to part


def begin_part(walk: cython.pointer[Walk]) -> cython.bint:
    """Go on to the next database or spread collection; False: the walk is over."""
    spread: cython.pointer[cython.const[Spread]]
    if walk.error:
        return False
    if walk.tail.start != cython.NULL:
        put_tail(walk)
        return True
    while walk.part < walk.part_count:
        walk.part += 1
        begin_database(walk, cython.address(walk.parts[walk.part - 1]))
        if walk.at or walk.log_at < walk.log_end:
            return True
    while walk.spread < walk.spread_end:
        spread = cython.address(walk.spreads[walk.spread])
        walk.spread += 1
        if walk.fresh != cython.NULL and kept_at(walk, walk.spread - 1) == cython.NULL:
            continue
        if spread.kind == TYPE_STREAM or (spread.kind and spread.kind != TYPE_PART and spread.count):
            begin_spread(walk, walk.spread - 1)
            return walk.error == 0
    walk.item = walk.item_count
    return False


def begin_database(walk: cython.pointer[Walk], part: cython.pointer[cython.const[WalkPart]]) -> cython.void:
    walk.kind = KEYS
    walk.item = part.first
    walk.part_end = part.first + part.items
    walk.chunk_items = part.chunk_items
    if walk.fresh != cython.NULL:
        begin_layer(walk, part)
    elif part.keys:
        select(walk, part.database)
        walk.out[0] = OPCODE_RESIZEDB
        walk.out = write_length(walk.out + 1, part.keys, length_size(part.keys))
        walk.out = write_length(walk.out, part.timed, length_size(part.timed))
        seek(walk)


def begin_layer(walk: cython.pointer[Walk], part: cython.pointer[cython.const[WalkPart]]) -> cython.void:
    """The same of a layer: a database of which nothing has changed does not appear."""
    walk.expected += count_marked(walk, walk.item, walk.part_end)
    walk.log_at = next_removal(walk, part.removals)
    seek(walk)
    if walk.at or walk.log_at < walk.log_end:
        select(walk, part.database)


def count_marked(walk: cython.pointer[cython.const[Walk]], begin: uint32_t, end: uint32_t) -> uint64_t:
    """The entries in these items that are marked where they begin."""
    item: uint32_t
    word: uint64_t
    first: uint64_t
    count: uint64_t = 0
    for item in range(begin, end):
        if walk.touched[walk.items[item].segment]:
            first = cython.cast(uint64_t, walk.items[item].segment) * WORDS_PER_SEGMENT
            for word in range(first, first + WORDS_PER_SEGMENT):
                count += __builtin_popcountll(walk.live[word] & walk.fresh[word])
    return count


def put_removals(walk: cython.pointer[Walk]) -> cython.void:
    """What there is room for of a database's removals."""
    word: uint32_t = 0
    string: Bytes
    while walk.log_at < walk.log_end and walk.pending.nbytes == 0 and walk.out + BUFFER_MIN <= walk.out_end:
        memcpy(cython.address(word), walk.log + walk.log_at, REMOVAL_WORD)
        string = cython.cast(Bytes, walk.log + walk.log_at + REMOVAL_WORD)
        put_aux(walk, b"minikv-rem" if word & REMOVAL_ELEMENT else b"minikv-del")
        put(walk, string, string_size(string))
        walk.removed += 1
        walk.log_at = next_removal(walk, walk.log_at + REMOVAL_WORD + string_size(string))


def put_aux(walk: cython.pointer[Walk], name: cython.p_const_char) -> cython.void:
    """An AUX field up to its value."""
    walk.out[0] = OPCODE_AUX
    walk.out[1] = cython.cast(uint8_t, strlen(name))
    memcpy(walk.out + 2, name, walk.out[1])
    walk.out += 2 + walk.out[1]


def next_removal(walk: cython.pointer[cython.const[Walk]], at: uint64_t) -> uint64_t:
    """The next removal from a place in the log on that is from the database at hand."""
    word: uint32_t = 0
    while at < walk.log_end:
        memcpy(cython.address(word), walk.log + at, REMOVAL_WORD)
        if word & REMOVAL_STORE == walk.parts[walk.part - 1].store_number:
            return at
        at += REMOVAL_WORD + string_size(cython.cast(Bytes, walk.log + at + REMOVAL_WORD))
    return walk.log_end


def begin_spread(walk: cython.pointer[Walk], number: uint32_t) -> cython.void:
    spread: cython.pointer[cython.const[Spread]] = cython.address(walk.spreads[number])
    kept: cython.pointer[Kept] = kept_at(walk, number)
    start: Bytes = cython.cast(Bytes, kept) + cython.sizeof(Kept)
    if kept == cython.NULL:
        walk.error = EINVAL  # elements without a key
        return
    if walk.aligned:
        begin_run(walk)
    walk.kind = spread.kind
    walk.delta = kept.delta
    walk.node = cython.cast(uint32_t, spread.head)
    walk.item = spread.walk_first
    walk.part_end = spread.walk_first + spread.walk_count
    walk.chunk_items = 0
    walk.keys += 1
    select(walk, walk.databases[spread.owner])
    if walk.delta:
        put_delta_mark(walk, spread.count)
    put(walk, start, kept.header)
    if spread.kind == TYPE_STREAM:
        tail_begin(cython.address(walk.tail), walk.base, walk.nodes, walk.spreads, start + kept.header, kept.tail)
    seek(walk)


def select(walk: cython.pointer[Walk], database: uint32_t) -> cython.void:
    if database != walk.selected:
        walk.selected = database
        walk.out[0] = OPCODE_SELECTDB
        walk.out = write_length(walk.out + 1, database, length_size(database))


def seek(walk: cython.pointer[Walk]) -> cython.void:
    """Go to the first live entry from the item on; `at` becomes 0 if the part has none."""
    segment: uint64_t
    if walk.kind == TYPE_LIST:
        enter(walk, walk.node)
        return
    while walk.item < walk.part_end:
        segment = walk.items[walk.item].segment
        if walk.fresh == cython.NULL or (walk.kind != KEYS and not walk.delta) or walk.touched[segment]:
            walk.end = segment_end(segment)
            walk.at = next_entry(walk, segment_start(segment))
            if walk.at < walk.end:
                return
        walk.item += 1
    walk.item += walk.chunk_items
    walk.at = 0


def advance(walk: cython.pointer[Walk]) -> cython.void:
    """Go to the next live entry."""
    walk.at = next_entry(walk, walk.at + GRANULE)
    if walk.at >= walk.end:
        walk.item += 1
        seek(walk)


def next_entry(walk: cython.pointer[cython.const[Walk]], at: uint64_t) -> uint64_t:
    """The next entry of the segment from a place on that is to be walked; `end` if there is none."""
    word: uint64_t = at >> WORD_SHIFT
    last: uint64_t = (walk.end - 1) >> WORD_SHIFT
    bits: uint64_t
    if walk.fresh == cython.NULL or (walk.kind != KEYS and not walk.delta) or at >= walk.end:
        return next_live(walk.live, at, walk.end)
    bits = walk.live[word] & marks_of(walk, word)
    bits = bits >> ((at >> GRANULE_SHIFT) & 63) << ((at >> GRANULE_SHIFT) & 63)
    while bits == 0:
        word += 1
        if word > last:
            return walk.end
        bits = walk.live[word] & marks_of(walk, word)
    return (word << WORD_SHIFT) + (cython.cast(uint64_t, __builtin_ctzll(bits)) << GRANULE_SHIFT)


def enter(walk: cython.pointer[Walk], number: uint32_t) -> cython.void:
    """Go to the elements of a list's node; `at` becomes 0 behind the last, and its items are passed."""
    node: cython.pointer[cython.const[Node]] = cython.address(walk.nodes[number])
    if number == 0:
        walk.at = 0
        walk.item = walk.part_end
        return
    walk.at = node.body + node.start
    walk.end = node.body + node.end
    walk.node = node.next
    walk.body = node.body
    walk.patch = 0
    walk.patch_count = sort_patches(walk.base, node, walk.patches)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def marks_of(walk: cython.pointer[cython.const[Walk]], word: uint64_t) -> uint64_t:
    """Where an entry that is to be walked may begin. That of a key also where its second granule is marked.

    What lies behind a segment's last granule is not its own; a root does not end there.
    """
    bits: uint64_t = walk.fresh[word]
    if walk.kind == KEYS:
        bits |= bits >> 1
        if (word + 1) & (WORDS_PER_SEGMENT - 1):
            bits |= walk.fresh[word + 1] << 63
    return bits


# Roots of spread collections


def keep(
    walk: cython.pointer[Walk],
    number: uint32_t,
    record: ConstBytes,
    header: uint64_t,
    tail: uint64_t,
    delta: cython.bint,
) -> cython.void:
    """Copy a root for its elements' turn: `header` bytes before its payload, and a stream's tail of so many."""
    kept: cython.pointer[Kept]
    start: Bytes
    end: Bytes
    place: uint64_t = walk.kept_end or GRANULE
    count: uint64_t = walk.spreads[number].count
    if not (
        grow(cython.address(walk.places), walk.spread_end * cython.sizeof(uint64_t))
        and grow(
            cython.address(walk.kept), place + cython.sizeof(Kept) + header + BASE_SIZE + LENGTH_MAX + tail + GRANULE
        )
    ):
        walk.error = ENOMEM
        return
    kept = cython.cast(cython.pointer[Kept], walk.kept.start + place)
    start = walk.kept.start + place + cython.sizeof(Kept)
    memcpy(start, record, header)
    end = start + header
    if walk.spreads[number].kind == TYPE_HASH_TTL:
        end = put_base(end)
    kept.delta = delta
    if delta:
        count = count_marked(
            walk, walk.spreads[number].walk_first, walk.spreads[number].walk_first + walk.spreads[number].walk_count
        )
    end = write_length(end, count, length_size(count))
    memcpy(end, record + header + SPREAD_STREAM, tail)
    kept.header = end - start
    kept.tail = tail
    cython.cast(cython.pointer[uint64_t], walk.places.start)[number] = place
    walk.kept_end = (cython.cast(uint64_t, end - walk.kept.start) + tail + GRANULE - 1) & ~cython.cast(
        uint64_t, GRANULE - 1
    )


def kept_at(walk: cython.pointer[cython.const[Walk]], number: uint32_t) -> cython.pointer[Kept]:
    """NULL: there is no such root."""
    place: uint64_t = 0
    if walk.places.start != cython.NULL:
        place = cython.cast(cython.pointer[uint64_t], walk.places.start)[number]
    return cython.cast(cython.pointer[Kept], walk.kept.start + place) if place else cython.NULL


# Bytes


def put(walk: cython.pointer[Walk], start: ConstBytes, nbytes: uint64_t) -> cython.void:
    """Write bytes, or keep them for later: two pieces at most."""
    if walk.pending.nbytes:
        walk.behind.start = start
        walk.behind.nbytes = nbytes
    elif nbytes <= cython.cast(uint64_t, walk.out_end - walk.out):
        memcpy(walk.out, start, nbytes)
        walk.out += nbytes
    else:
        walk.pending.start = start
        walk.pending.nbytes = nbytes


def drain(walk: cython.pointer[Walk]) -> cython.void:
    """Write what is pending, or as much of it as there is room for."""
    nbytes: uint64_t
    while walk.pending.nbytes:
        nbytes = min(walk.pending.nbytes, cython.cast(uint64_t, walk.out_end - walk.out))
        memcpy(walk.out, walk.pending.start, nbytes)
        walk.out += nbytes
        walk.pending.start += nbytes
        walk.pending.nbytes -= nbytes
        if walk.pending.nbytes:
            return
        walk.pending = walk.behind
        walk.behind.nbytes = 0


def put_record(walk: cython.pointer[Walk], record: Bytes) -> cython.void:
    """A key with its value; nothing for the root of a spread collection, whose turn comes later."""
    nbytes: uint64_t = record_size(record)
    kind: uint8_t = skip_expiry(record)[0]
    payload: Bytes = record_payload(record)
    spread: uint32_t = spread_of(kind, payload)
    header: uint64_t
    if record[0] == EXPIRY_OPCODE and record_expire_at(record) == 0:
        record += EXPIRY_SIZE
        nbytes -= EXPIRY_SIZE
    header = cython.cast(uint64_t, payload - record)
    if walk.fresh != cython.NULL and not is_marked_at(walk, walk.at):
        if may_be_delta(record):
            put_delta(walk, record, header)
        return
    if is_chunked(kind, payload) or (kind == TYPE_HASH_TTL and spread == 0):
        walk.keys += 1
        put(walk, record, header)
        begin_chunks(walk, kind, payload)
        return
    if spread:
        keep(walk, spread, record, payload - record, tail_size(record, payload - record), False)
        return
    walk.keys += 1
    if kind != TYPE_STRING:
        put(walk, record, header)
        put(walk, payload + PACKED_HEADER, nbytes - header - PACKED_HEADER)
    elif not walk.compress or header > RECORD_MAX // 2:
        # A key of this size leaves no room to begin the value behind it.
        put(walk, record, nbytes)
    else:
        put(walk, record, header)
        put_string(walk, payload)


def tail_size(record: Bytes, header: uint64_t) -> uint64_t:
    """Bytes of what the root of a spread stream has behind the number of its store; 0 of other collections."""
    if skip_expiry(record)[0] != TYPE_STREAM:
        return 0
    return payload_size(TYPE_STREAM, record + header) - SPREAD_STREAM


def is_marked_at(walk: cython.pointer[cython.const[Walk]], at: uint64_t) -> cython.bint:
    return (walk.fresh[at >> WORD_SHIFT] >> ((at >> GRANULE_SHIFT) & 63)) & 1


def put_delta(walk: cython.pointer[Walk], record: Bytes, header: uint64_t) -> cython.void:
    """A collection of which some elements have changed. Nothing if some have gone and no more: they are removals."""
    kind: uint8_t = skip_expiry(record)[0]
    payload: Bytes = record + header
    spread: uint32_t = spread_of(kind, payload)
    changed: uint64_t = count_changed(walk, kind, payload)
    if changed == 0 and kind != TYPE_STREAM:  # what a stream has behind its nodes has changed then
        return
    walk.expected += 1
    if spread:
        keep(walk, spread, record, header, tail_size(record, header), True)
        return
    walk.keys += 1
    put_delta_mark(walk, root_of(payload).elements)
    put(walk, record, header)
    begin_chunks(walk, kind, payload)
    walk.delta = True
    walk.changed = changed


def put_delta_mark(walk: cython.pointer[Walk], count: uint64_t) -> cython.void:
    """Say that a record has some of a collection's elements, which are `count` in all."""
    text: uint8_t[20]
    at: uint32_t = LENGTH_DIGITS
    while True:
        at -= 1
        text[at] = cython.cast(uint8_t, 48 + count % 10)
        count //= 10
        if count == 0:
            break
    put_aux(walk, b"minikv-delta")
    walk.out = write_length(walk.out, LENGTH_DIGITS - at, 1)
    memcpy(walk.out, cython.address(text[at]), LENGTH_DIGITS - at)
    walk.out += LENGTH_DIGITS - at


def count_changed(walk: cython.pointer[cython.const[Walk]], kind: uint8_t, payload: Bytes) -> uint64_t:
    """The elements of a chunked or spread collection that are marked."""
    spread: uint32_t = spread_of(kind, payload)
    count: uint64_t = 0
    number: uint32_t
    place: uint64_t
    size: uint64_t
    span: Span
    if spread:
        return count_marked(
            walk, walk.spreads[spread].walk_first, walk.spreads[spread].walk_first + walk.spreads[spread].walk_count
        )
    for number in range(root_of(payload).chunks):
        place = entry_place(chunk_entry(payload, number))
        if place == 0:
            continue
        span = span_of(walk.base, payload, number)
        if kind == TYPE_STREAM:
            count += is_changed(walk, walk.base + place, span.end)
        elif is_marked_at(walk, place):
            count += entry_elements(chunk_entry(payload, number))
        elif is_changed(walk, span.start, span.end):
            while span.start < span.end:
                size = entry_size(kind, span.start)
                count += is_changed(walk, span.start, span.start + size)
                span.start += size
    return count


def is_changed(walk: cython.pointer[cython.const[Walk]], start: ConstBytes, end: ConstBytes) -> cython.bint:
    """Whether any granule of what lies there is marked."""
    at: uint64_t = cython.cast(uint64_t, start - walk.base) & ~cython.cast(uint64_t, GRANULE - 1)
    last: uint64_t = end - walk.base
    if (
        not walk.touched[at >> SEGMENT_SHIFT]
        and not walk.touched[(last - 1) >> SEGMENT_SHIFT]
        and (last - at < SEGMENT_SIZE)
    ):
        return False
    while at < last:
        if is_marked_at(walk, at):
            return True
        at += GRANULE
    return False


def put_changed_chunk(walk: cython.pointer[Walk]) -> cython.void:
    """put_chunk for a delta: the marked elements."""
    root: Root = root_of(walk.root)
    span: Span
    start: Bytes
    if walk.chunk == 0:
        if walk.chunk_kind == TYPE_HASH_TTL:
            walk.out = put_base(walk.out)
        walk.out = write_length(walk.out, walk.changed, length_size(walk.changed))
    while walk.element == walk.chunk_end:
        if walk.chunk == root.chunks:
            walk.delta = False
            end_chunks(walk)
            return
        span = span_of(walk.base, walk.root, walk.chunk)
        walk.whole_chunk = span.start != cython.NULL and is_marked_at(
            walk, entry_place(chunk_entry(walk.root, walk.chunk))
        )
        if walk.chunk_kind == TYPE_STREAM and span.start != cython.NULL and is_changed(walk, span.start, span.end):
            walk.whole_chunk = True
        if walk.whole_chunk or (span.start != cython.NULL and is_changed(walk, span.start, span.end)):
            walk.element = span.start
            walk.chunk_end = span.end
        walk.chunk += 1
    if walk.chunk_kind == TYPE_STREAM and walk.element < walk.chunk_end:
        start = walk.element
        walk.element = walk.chunk_end
        put(walk, start, NODE_NAME)
        put_string(walk, start + NODE_NAME)
    while walk.element < walk.chunk_end and walk.pending.nbytes == 0 and walk.out + BUFFER_MIN <= walk.out_end:
        start = walk.element
        walk.element += entry_size(walk.chunk_kind, start)
        if walk.whole_chunk or is_changed(walk, start, walk.element):
            put_element(walk, walk.chunk_kind, start)


def begin_chunks(walk: cython.pointer[Walk], kind: uint8_t, payload: Bytes) -> cython.void:
    """Take up a chunked collection, or a packed hash whose fields expire: its key has been written."""
    walk.root = payload
    walk.chunk_kind = kind
    walk.chunk = 0
    walk.element = walk.chunk_end = cython.NULL
    if is_chunked(kind, payload):
        prefetch_chunks(walk)


def put_chunk(walk: cython.pointer[Walk]) -> cython.void:
    """The number of elements; then what there is room for of the next chunk; behind the last what a stream has."""
    root: Root
    span: Span
    if walk.delta:
        put_changed_chunk(walk)
        return
    if not is_chunked(cython.cast(uint8_t, walk.chunk_kind), walk.root):
        put_packed_hash(walk)
        return
    root = root_of(walk.root)
    if walk.chunk == 0:
        if walk.chunk_kind == TYPE_HASH_TTL:
            walk.out = put_base(walk.out)
        walk.out = write_length(walk.out, root.elements, length_size(root.elements))
    if walk.element == walk.chunk_end:
        if walk.chunk == root.chunks:
            end_chunks(walk)
            return
        span = span_of(walk.base, walk.root, walk.chunk)
        walk.element = span.start
        walk.chunk_end = span.end
        walk.chunk += 1
        if walk.chunk + PREFETCHED <= root.chunks:
            prefetch_chunk(walk, walk.chunk + PREFETCHED - 1)
    # What is short is not worth the time that compression takes. The whole chunk decides, wherever a buffer ends.
    if (walk.chunk_kind != TYPE_HASH_TTL and not walk.compress) or (
        walk.chunk_kind not in (TYPE_STREAM, TYPE_HASH_TTL)
        and walk.chunk_end - span_of(walk.base, walk.root, walk.chunk - 1).start
        < COMPRESSED_ELEMENT * cython.cast(int64_t, entry_elements(chunk_entry(walk.root, walk.chunk - 1)))
    ):
        put(walk, walk.element, walk.chunk_end - walk.element)
        walk.element = walk.chunk_end
    while walk.element < walk.chunk_end and walk.pending.nbytes == 0 and walk.out + BUFFER_MIN <= walk.out_end:
        span.start = walk.element
        if walk.chunk_kind == TYPE_STREAM:
            walk.element = walk.chunk_end
            put(walk, span.start, NODE_NAME)
            put_string(walk, span.start + NODE_NAME)
        else:
            walk.element += entry_size(walk.chunk_kind, span.start)
            put_element(walk, walk.chunk_kind, span.start)


def put_packed_hash(walk: cython.pointer[Walk]) -> cython.void:
    """The same for a packed hash whose fields expire."""
    element: Bytes
    if walk.chunk == 0:
        walk.chunk = 1
        walk.element = packed_first(walk.root)
        walk.chunk_end = packed_end(walk.root)
        walk.out = write_length(put_base(walk.out), packed_count(walk.root), 2)
    if walk.element == walk.chunk_end:
        end_chunks(walk)
    while (
        walk.root != cython.NULL
        and walk.element < walk.chunk_end
        and walk.pending.nbytes == 0
        and walk.out + BUFFER_MIN <= walk.out_end
    ):
        element = walk.element
        walk.element += entry_size(TYPE_HASH_TTL, element)
        put_element(walk, TYPE_HASH_TTL, element)


def put_base(out: Bytes) -> Bytes:
    """The time that those of the fields are relative to: 0."""
    memset(out, 0, BASE_SIZE)
    return out + BASE_SIZE


def end_chunks(walk: cython.pointer[Walk]) -> cython.void:
    root: Root
    if walk.chunk_kind == TYPE_STREAM:
        root = root_of(walk.root)
        put(walk, walk.root + CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, root.chunks), root.tail)
    walk.root = cython.NULL
    if walk.at:
        advance(walk)


def prefetch_chunks(walk: cython.pointer[cython.const[Walk]]) -> cython.void:
    """Let the processor fetch the first chunks: they lie anywhere."""
    number: uint32_t
    for number in range(min(PREFETCHED, root_of(walk.root).chunks)):
        prefetch_chunk(walk, number)


def prefetch_chunk(walk: cython.pointer[cython.const[Walk]], number: uint32_t) -> cython.void:
    place: ConstBytes = walk.base + entry_place(chunk_entry(walk.root, number))
    line: cython.int
    for line in range(PREFETCHED_LINES):
        __builtin_prefetch(place + 64 * line)


def put_element(walk: cython.pointer[Walk], kind: uint32_t, entry: Bytes) -> cython.void:
    size: uint64_t
    name_size: uint64_t
    if kind == TYPE_HASH_TTL:
        size = field_expiry_size(entry)
        walk.out[0] = 0
        memcpy(walk.out, entry, size)
        walk.out += max(size, 1)
        entry += size
        kind = TYPE_HASH
    name_size = string_size(entry)
    if kind == TYPE_STREAM:
        put(walk, entry, name_size)
        put_string(walk, entry + name_size + NODE_CAPACITY)
        return
    size = entry_size(kind, entry)
    if not walk.compress or name_size > RECORD_MAX // 2:
        put(walk, entry, size)
        return
    put_string(walk, entry)
    if kind == TYPE_HASH:
        put_string(walk, entry + name_size)
    else:
        put(walk, entry + name_size, size - name_size)


def put_node(walk: cython.pointer[Walk]) -> cython.void:
    """Elements of a list, to the end of the node or as many as there is room for."""
    at: uint64_t
    patch: uint64_t = next_patch(walk)
    while walk.at < walk.end and walk.pending.nbytes == 0 and walk.out + BUFFER_MIN <= walk.out_end:
        at = walk.at
        if at == patch:
            walk.at += string_size(walk.base + at)
            at = walk.patches[walk.patch].offset + PATCH_HEADER
            walk.patch += 1
            patch = next_patch(walk)
        elif walk.compress:
            walk.at += string_size(walk.base + at)
        else:
            walk.at = min(patch, walk.end)
            put(walk, walk.base + at, walk.at - at)
            continue
        put_string(walk, walk.base + at)
    if walk.at == walk.end:
        enter(walk, walk.node)


def next_patch(walk: cython.pointer[cython.const[Walk]]) -> uint64_t:
    """Where the next element of the node at hand is that has a patch; behind all others if none has."""
    if walk.patch == walk.patch_count:
        return UINT64_MAX
    return walk.body + walk.patches[walk.patch].place


def put_tail(walk: cython.pointer[Walk]) -> cython.void:
    """What there is room for of a stream's tail."""
    nbytes: uint64_t = tail_fill(cython.address(walk.tail), walk.out, cython.cast(uint64_t, walk.out_end - walk.out))
    walk.out += nbytes
    walk.error = walk.tail.error
    if nbytes == 0:
        walk.tail.start = cython.NULL


def put_string(walk: cython.pointer[Walk], string: Bytes) -> cython.void:
    """A string, in LZF form if that is shorter, and seems worth trying."""
    length: uint64_t = 0
    text: Bytes = read_length(string, cython.address(length))
    if walk.compress and COMPRESS_MIN <= length <= COMPRESS_MAX:
        walk.in_vain += 1
        if (walk.in_vain <= VAIN_TRIES or walk.in_vain & VAIN_MASK == 0) and put_packed(walk, text, length):
            return
    put(walk, string, cython.cast(uint64_t, text - string) + length)


def put_packed(walk: cython.pointer[Walk], text: ConstBytes, length: uint64_t) -> cython.bint:
    """A string in LZF form; False if that is not shorter, or there is no memory for it."""
    head: uint64_t = 1 + 2 * length_size(length)
    packed: Bytes = walk.out + head
    packed_len: uint64_t
    fits: cython.bint = head + length <= cython.cast(uint64_t, walk.out_end - walk.out)
    if not fits:
        if not grow(cython.address(walk.packed), length):
            return False
        packed = walk.packed.start
    packed_len = lzf_compress(walk.lzf, text, length, packed, length - 4)
    if packed_len == 0:
        return False
    walk.in_vain = 0
    walk.out[0] = LZF_STRING
    walk.out = write_length(walk.out + 1, packed_len, length_size(packed_len))
    walk.out = write_length(walk.out, length, length_size(length))
    if fits:
        memmove(walk.out, packed, packed_len)  # its length may have taken fewer bytes than were left for it
        walk.out += packed_len
    else:
        put(walk, packed, packed_len)
    return True


class Walker:
    """One walk through `arena` by parts: in order.

    changes: of these what was handed over, as a layer.

    A part: (database, its store, keys, keys with a time, first item, items of keys, items of chunks).
    """

    def __cinit__(self, arena: Arena, parts: list, changes: Changes = None):
        count: cython.size_t = len(parts)
        index: cython.size_t
        store: uint32_t
        part: cython.pointer[WalkPart]
        databases: cython.pointer[uint32_t]
        # The compressor's table lies behind all else: it takes no memory if nothing is compressed.
        self.reserved = cython.sizeof(Walk) + count * (cython.sizeof(WalkPart) + 4) + cython.sizeof(Lzf)
        self.walk = cython.cast(cython.pointer[Walk], reserve(self.reserved, True))
        use_huge_pages(cython.cast(Bytes, self.walk), self.reserved, False)
        part = cython.cast(cython.pointer[WalkPart], self.walk + 1)
        databases = cython.cast(cython.pointer[uint32_t], part + count)
        self.walk.parts = part
        self.walk.databases = databases
        self.walk.lzf = cython.cast(cython.pointer[Lzf], databases + count)
        for index in range(count):
            (
                part[index].database,
                store,
                part[index].keys,
                part[index].timed,
                part[index].first,
                part[index].items,
                part[index].chunk_items,
            ) = parts[index]
            part[index].store_number = store
            if changes is not None:
                part[index].removals = changes.before[store].since
            databases[store] = part[index].database
        self.arena = arena
        self.walk.base = arena.base
        self.walk.live = arena.live
        self.walk.spreads = arena.frozen_spreads
        self.walk.nodes = cython.cast(cython.pointer[Node], arena.shown_nodes)
        self.walk.items = arena.walk
        self.walk.progress = arena.progress
        self.walk.item_count = arena.walk_len
        self.walk.part_count = cython.cast(uint32_t, count)
        self.walk.spread = 3 * self.walk.part_count
        self.walk.spread_end = arena.stores_used
        self.walk.selected = NO_DATABASE
        self.changes = changes
        if changes is not None:
            self.walk.fresh = changes.bits_before()
            self.walk.touched = changes.touched_before()
            self.walk.log = changes.log
            self.walk.log_at = self.walk.log_end = changes.handed_end
            self.walk.segments = arena.high_water

    def __dealloc__(self):
        if self.walk != cython.NULL:
            walk_end(self.walk)
            unmap(cython.cast(Bytes, self.walk), self.reserved)

    @property
    def keys(self) -> int:
        """Handed out by now."""
        return self.walk.keys

    def fill(self, buffer, max_keys: int = 0, compress: bool = False) -> int:
        """Write RDB bytes into a writable buffer of at least 64 KiB; returns how many, 0 at the end. MemoryError.

        max_keys: where to stop (0: no limit).
        """
        view: cython.uchar[::1] = buffer
        filled: uint64_t
        if view.shape[0] < 2 * RECORD_MAX:
            raise ValueError("the buffer is too small for a record")
        self.walk.compress = compress
        filled = walk_fill(self.walk, cython.address(view[0]), view.shape[0], max_keys)
        if self.walk.error == ENOMEM:
            raise MemoryError
        assert self.walk.error == 0, "a spread collection has no key, or a table of it is not whole"
        return filled

    def publish(self) -> None:
        """Tell the parent how far this walk is."""
        walk_publish(self.walk)

    def release(self) -> None:
        """Give the memory of the items that lie behind back to the system. Only in a child: it loses the data."""
        walk_release(self.walk)


# One value


def value_bytes(stores: Stores, record: Bytes, compress: cython.bint) -> bytes:
    """The type and the value of a record, without key and expiry, as a file has them."""
    kind: uint8_t = skip_expiry(record)[0]
    payload: Bytes = record_payload(record)
    size: uint64_t = payload_size(kind, payload)
    type_byte: bytes = bytes_at(skip_expiry(record), 1)
    if spread_of(kind, payload) or is_chunked(kind, payload) or kind == TYPE_HASH_TTL:
        return type_byte + elements_bytes(stores, kind, payload, compress)
    if kind == TYPE_STRING:
        return type_byte + string_bytes(payload, compress)
    return type_byte + bytes_at(payload + PACKED_HEADER, size - PACKED_HEADER)


def string_bytes(string: Bytes, compress: cython.bint) -> bytes:
    """A string alone, in LZF form if that is shorter."""
    length: uint64_t = 0
    text: Bytes = read_length(string, cython.address(length))
    packed: bytes | None = None
    if compress and COMPRESS_MIN <= length <= COMPRESS_MAX:
        packed = compress_string(bytes_at(text, length), length - 4)
    if packed is None:
        return bytes_at(string, cython.cast(uint64_t, text - string) + length)
    return bytes([LZF_STRING]) + length_bytes(len(packed)) + length_bytes(length) + packed


def elements_bytes(stores: Stores, kind: uint8_t, payload: Bytes, compress: cython.bint) -> bytes:
    """A chunked or spread collection: its number of elements, these, and a stream's tail.

    The elements are found by the table: while a snapshot is open, replaced entries still have their bits.
    """
    spread: uint32_t = spread_of(kind, payload)
    walker: Walker = Walker(stores.arena, [])
    walk: cython.pointer[Walk] = walker.walk
    buffer: bytearray = PyByteArray_FromStringAndSize(cython.NULL, VALUE_BUFFER)  # not filled: only what is used costs
    start: Bytes = cython.cast(Bytes, PyByteArray_AS_STRING(buffer))
    offsets: uint64_t[BLOCK_ENTRIES]
    found: uint32_t = 0
    cursor: uint64_t = 0
    filled: uint64_t
    parts: list = []
    walk.compress = compress
    walk.kind = kind
    walk.spreads = stores.arena.spreads
    walk.nodes = stores.chains.nodes
    walk.spread = walk.spread_end
    if spread:
        if kind == TYPE_HASH_TTL:
            parts.append(bytes(BASE_SIZE))
        parts.append(length_bytes(stores.arena.spreads[spread].count))
    if spread == 0:
        begin_chunks(walk, kind, payload)
    elif kind == TYPE_LIST:
        enter(walk, cython.cast(uint32_t, stores.arena.spreads[spread].head))
    else:
        walk.out = start
        walk.out_end = start + VALUE_BUFFER
        while True:
            cursor = stores.tables.scan_home(
                cython.address(stores.indexes[spread].table), cursor, offsets, cython.address(found)
            )
            while found:
                found -= 1
                put_element(walk, kind, walk.base + offsets[found])
                while walk.pending.nbytes or walk.out + BUFFER_MIN > walk.out_end:
                    drain(walk)
                    parts.append(bytes_at(start, walk.out - start))
                    walk.out = start
            if cursor == 0:
                break
        parts.append(bytes_at(start, walk.out - start))
    if kind == TYPE_STREAM and spread:
        tail_begin(
            cython.address(walk.tail),
            walk.base,
            walk.nodes,
            walk.spreads,
            payload + SPREAD_STREAM,
            payload_size(kind, payload) - SPREAD_STREAM,
        )
    while filled := walk_fill(walk, start, VALUE_BUFFER, 0):
        parts.append(bytes_at(start, filled))
    assert walk.error == 0, "a table of the stream is not whole"
    return b"".join(parts)


@cython.cfunc
def length_bytes(length: uint64_t) -> bytes:
    """An RDB length."""
    out: uint8_t[9]
    write_length(out, length, length_size(length))
    return bytes_at(out, length_size(length))

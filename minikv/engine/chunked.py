# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Changes of chunked collections: which elements are in which chunk.

There are two orders. A list, a sorted set and a stream are ordered: their elements follow each other from chunk to
chunk, a full chunk is split in two, and two sparse neighbours become one. A stream has a node in each chunk.

The chunks of a hash and a set are buckets: the hash of an element's name gives its bucket (linear hashing). The number
of buckets changes by one at a time. With n of them, 2**d <= n < 2**(d + 1), bucket n is split off from bucket n - 2**d,
and the last one goes back there. What counts are the first bits of the hash, turned around, so that a bucket has all
names whose hashes begin with certain bits, as the blocks of the hash tables (table.py) do; SCAN goes through buckets in
the order of these bits, with a cursor that a table understands, too.

A change has one of three outcomes: the chunk is changed in place, because it is not frozen and has room; or it is
written anew, and with it the root if that is frozen; or there is no room, ArenaFull is raised and nothing has happened.
A slot stays good through all of these.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.minikv.engine.arena import GRANULE, Arena, is_marked, mark, set_mark
from cython.cimports.minikv.engine.chunks import Chunks, chunk_bytes, root_of
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.marks import has_deltas
from cython.cimports.minikv.engine.record import (
    CHUNK_ENTRY,
    CHUNK_HEADER,
    CHUNK_SPARE_MAX,
    CHUNKED_MARK,
    CHUNKED_ROOT,
    CHUNKED_ROOT_FIRST,
    Bytes,
    ConstBytes,
    Root,
    chunk_entry,
    chunk_owner,
    chunk_size,
    chunk_used,
    entry_elements,
    entry_key,
    entry_place,
    entry_size,
    has_buckets,
    make_entry,
    record_expire_at,
    record_payload,
    skip_expiry,
    write_chunk_header,
)
from cython.cimports.minikv.engine.table import PREFIX_BITS, Key, hash_key, slot_offset

from minikv.errors import SEGMENTS_FULL, ArenaFull

# A chunk that shrinks stays in place as long as it has no more than this many bytes to spare.
SPARE_KEPT = cython.declare(uint64_t, 64)
SPARE_WORTHWHILE = cython.declare(uint64_t, 24)  # bytes


def begin_chunked(store: KeyStore, key: Key, slot: cython.pointer[uint64_t], kind: uint8_t) -> cython.int:
    """Make the key a chunked collection without elements, with the expiry that it has (slot NULL: it is new)."""
    root: Root
    entry: uint64_t = 0
    payload: uint8_t[CHUNKED_ROOT_FIRST]
    root.mark = CHUNKED_MARK
    root.elements = root.nbytes = root.tail = 0
    root.chunks = 1 if has_buckets(kind) else 0
    root.number = store.stores.chunks.create(store.number, key.hash)
    memcpy(payload, cython.address(root), CHUNKED_ROOT)
    memcpy(payload + CHUNKED_ROOT, cython.address(entry), CHUNK_ENTRY)
    try:
        store.put_chunked(
            key,
            slot,
            kind,
            payload,
            0 if slot == cython.NULL else record_expire_at(store.record(slot)),
        )
    except BaseException:
        store.stores.chunks.release(root.number)
        raise
    return 0


# One chunk


def edit_chunk(
    store: KeyStore,
    slot: cython.pointer[uint64_t],
    number: uint32_t,
    at: uint64_t,
    removed: uint64_t,
    inserted: uint64_t,
    change: cython.int,
    spare: uint64_t,
) -> Bytes:
    """Replace `removed` bytes, `at` bytes into the elements of a chunk, by `inserted` ones; `change` elements more.

    Returns where the caller writes them before any other call. spare: room to grow, should the chunk be written anew.
    A bucket may be empty before, and after; an ordered chunk that becomes empty is the business of remove_chunks.
    """
    chunks: Chunks = store.stores.chunks
    base: Bytes = store.arena.base
    payload: Bytes = record_payload(store.record(slot))
    owner: uint32_t = root_of(payload).number
    entry: uint64_t = chunk_entry(payload, number)
    old: uint64_t = entry_place(entry)
    place: uint64_t = old
    used: uint64_t = chunk_used(base + old) if old else 0
    size: uint64_t = used - removed + inserted
    if old and inserted == removed and change == 0 and not store.arena.is_frozen(old):
        mark_edit(store, slot, old, at, removed)
        return base + old + CHUNK_HEADER + at
    if size == 0:
        place = 0
    elif old == 0 or not stays(store, old, size, spare):
        # What makes something smaller may use the reserve.
        store.arena.may_use_reserve = size <= used
        place = chunks.try_allocate(owner, size, spare)
        store.arena.may_use_reserve = False
        if place == 0:
            if old == 0 or not may_stay(store, old, size):
                raise ArenaFull(SEGMENTS_FULL)
            place = old
    try:
        store.rewrite_part(slot, 0, 0, 0)
    except BaseException:
        if place != old:
            chunks.discard(place)
        raise
    mark_shift(store, slot, old, place, at, used, inserted)
    if place == old:
        memmove(
            base + old + CHUNK_HEADER + at + inserted, base + old + CHUNK_HEADER + at + removed, used - at - removed
        )
        write_chunk_header(base + old, owner, size, chunk_size(base + old))
    elif old:
        if place:
            memcpy(base + place + CHUNK_HEADER, base + old + CHUNK_HEADER, at)
            memcpy(
                base + place + CHUNK_HEADER + at + inserted,
                base + old + CHUNK_HEADER + at + removed,
                used - at - removed,
            )
        chunks.replaced(old, size)
    put_entry(
        store,
        slot,
        number,
        make_entry(place, entry_elements(entry) + change) if place else 0,
        change,
        cython.cast(cython.int, cython.cast(int64_t, inserted) - cython.cast(int64_t, removed)),
    )
    return base + place + CHUNK_HEADER + at


@cython.cfunc
@cython.exceptval(check=False)
def mark_edit(
    store: KeyStore, slot: cython.pointer[uint64_t], chunk: uint64_t, at: uint64_t, length: uint64_t
) -> cython.void:
    """Note that `length` bytes of an element change in place; 0: elements change places."""
    root: uint64_t = slot_offset(slot)
    if store.arena.fresh == cython.NULL or is_marked(store.arena, root):
        return
    if not has_deltas(skip_expiry(store.arena.base + root)[0]):
        mark(store.arena, root)
        return
    mark(store.arena, root + GRANULE)
    mark(store.arena, granule_of(chunk, at) if length else chunk)


@cython.cfunc
@cython.exceptval(check=False)
def mark_shift(
    store: KeyStore,
    slot: cython.pointer[uint64_t],
    old: uint64_t,
    place: uint64_t,
    at: uint64_t,
    used: uint64_t,
    inserted: uint64_t,
) -> cython.void:
    """Note that the elements behind a change of a chunk shift, perhaps to a new place: none of them may be marked.

    Those before it stay where they are in the chunk, with their marks. Otherwise the whole chunk is marked.
    """
    arena: Arena = store.arena
    granule: uint64_t
    end: uint64_t = old + CHUNK_HEADER + used
    if arena.fresh == cython.NULL or old == 0 or place == 0 or is_marked(arena, slot_offset(slot)):
        return
    if store.stores.changes.handed or is_marked(arena, old):
        mark(arena, place)
        return
    granule = granule_of(old, at)
    while granule < end:
        if is_marked(arena, granule):
            mark(arena, place)
            return
        granule += GRANULE
    if place != old:
        arena.copy_marks(old, place, granule_of(0, at))
        granule = granule_of(place, at)
        while granule < place + chunk_size(arena.base + place):
            set_mark(arena, granule, 0)
            granule += GRANULE
    if inserted:
        mark(arena, granule_of(place, at))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def granule_of(chunk: uint64_t, at: uint64_t) -> uint64_t:
    """Where the granule begins that holds a byte of a chunk's elements."""
    return (chunk + CHUNK_HEADER + at) & ~cython.cast(uint64_t, GRANULE - 1)


@cython.cfunc
@cython.exceptval(check=False)
def may_stay(store: KeyStore, place: uint64_t, size: uint64_t) -> cython.bint:
    """Whether a chunk can get this long in place: what has just been written can be undone in a full arena."""
    room: uint64_t = chunk_size(store.arena.base + place)
    return (
        CHUNK_HEADER + size <= room
        and (room - CHUNK_HEADER - size) >> 3 <= CHUNK_SPARE_MAX
        and not store.arena.is_frozen(place)
    )


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def stays(store: KeyStore, place: uint64_t, size: uint64_t, spare: uint64_t) -> cython.bint:
    """Whether a chunk may get this long in place: it is not frozen, and not much too large."""
    room: uint64_t = chunk_size(store.arena.base + place)
    needed: uint64_t = CHUNK_HEADER + size
    return (
        needed <= room
        and room - needed < max(SPARE_KEPT, spare + 8)
        and not store.arena.is_frozen(place)
        and not store.arena.is_jumbo(place)
    )


def put_entry(
    store: KeyStore,
    slot: cython.pointer[uint64_t],
    number: uint32_t,
    entry: uint64_t,
    elements: cython.int,
    nbytes: cython.int,
) -> Bytes:
    """Write an entry into a root that may be changed, and count what has changed; the payload."""
    payload: Bytes = record_payload(store.record(slot))
    memcpy(payload + CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, number), cython.address(entry), CHUNK_ENTRY)
    count_root(payload, elements, nbytes, 0)
    return payload


def count_root(payload: Bytes, elements: cython.int, nbytes: cython.int, chunks: cython.int) -> cython.void:
    root: Root = root_of(payload)
    root.elements += elements
    root.nbytes += nbytes
    root.chunks += chunks
    memcpy(payload, cython.address(root), CHUNKED_ROOT)


# Ordered chunks


def insert_chunk(
    store: KeyStore, slot: cython.pointer[uint64_t], number: uint32_t, size: uint64_t, spare: uint64_t
) -> Bytes:
    """A new chunk before another one, or behind the last, with one element of `size`; where to write that."""
    chunks: Chunks = store.stores.chunks
    place: uint64_t = chunks.allocate(root_of(record_payload(store.record(slot))).number, size, spare)
    at: uint64_t = CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, number)
    try:
        count_root(store.rewrite_part(slot, at, 0, CHUNK_ENTRY) - at, 0, 0, 1)
    except BaseException:
        chunks.discard(place)
        raise
    put_entry(store, slot, number, make_entry(place, 1), 1, cython.cast(cython.int, size))
    return store.arena.base + place + CHUNK_HEADER


def insert_element(
    store: KeyStore,
    slot: cython.pointer[uint64_t],
    kind: uint32_t,
    place: ChunkPlace,
    size: uint64_t,
    spare: uint64_t,
) -> Bytes:
    """Room for a new element at a place of an ordered collection. A full chunk is split, or gets a neighbour."""
    payload: Bytes = record_payload(store.record(slot))
    root: Root = root_of(payload)
    full: uint64_t = chunk_bytes(kind, root.nbytes)
    span: Span
    used: uint64_t
    left: uint32_t = 0
    middle: uint64_t
    if root.chunks == 0:
        return insert_chunk(store, slot, 0, size, spare)
    span = span_of(store.arena.base, payload, place.number)
    used = span.end - span.start
    if used + size <= full:
        return edit_chunk(store, slot, place.number, place.at, 0, size, 1, spare)
    if place.at == used and place.number + 1 < root.chunks:
        # Before the first of the next chunk is the same place.
        span = span_of(store.arena.base, payload, place.number + 1)
        if cython.cast(uint64_t, span.end - span.start) + size <= full:
            return edit_chunk(store, slot, place.number + 1, 0, 0, size, 1, spare)
    if place.at == 0 or place.at == used:
        insert_chunk(store, slot, place.number + (place.at != 0), size, spare)
        trim_chunk(store, slot, place.number + (place.at == 0))
        return span_of(store.arena.base, record_payload(store.record(slot)), place.number + (place.at != 0)).start
    if size * 2 > full:
        split_chunk(store, slot, place.number, place.at, place.index)
        return insert_chunk(store, slot, place.number + 1, size, spare)
    middle = middle_of(kind, span, entry_elements(chunk_entry(payload, place.number)), cython.address(left))
    split_chunk(store, slot, place.number, middle, left)
    if place.at > middle:
        return edit_chunk(store, slot, place.number + 1, place.at - middle, 0, size, 1, spare)
    return edit_chunk(store, slot, place.number, place.at, 0, size, 1, spare)


def remove_chunks(store: KeyStore, slot: cython.pointer[uint64_t], number: uint32_t, count: uint32_t) -> cython.int:
    """Take out ordered chunks with all of their elements."""
    at: uint64_t = CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, number)
    payload: Bytes = record_payload(store.record(slot))
    entries: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], malloc(CHUNK_ENTRY * count))
    elements: cython.int = 0
    nbytes: cython.int = 0
    index: uint32_t
    if entries == cython.NULL:
        raise MemoryError
    for index in range(count):
        entries[index] = chunk_entry(payload, number + index)
        elements += cython.cast(cython.int, entry_elements(entries[index]))
        nbytes += cython.cast(cython.int, chunk_used(store.arena.base + entry_place(entries[index])))
    try:
        payload = store.rewrite_part(slot, at, CHUNK_ENTRY * cython.cast(uint64_t, count), 0) - at
        count_root(payload, -elements, -nbytes, -cython.cast(cython.int, count))
        for index in range(count):
            store.stores.chunks.discard(entry_place(entries[index]))
    finally:
        free(entries)
    return 0


def trim_chunk(store: KeyStore, slot: cython.pointer[uint64_t], number: uint32_t) -> cython.int:
    """Give back what a chunk has to spare for growth that will not come; the root may be changed."""
    base: Bytes = store.arena.base
    entry: uint64_t = chunk_entry(record_payload(store.record(slot)), number)
    old: uint64_t = entry_place(entry)
    used: uint64_t = chunk_used(base + old)
    place: uint64_t
    if chunk_size(base + old) < CHUNK_HEADER + used + SPARE_WORTHWHILE or store.arena.is_frozen(old):
        return 0
    place = store.stores.chunks.try_allocate(chunk_owner(base + old), used, 0)
    if place:
        memcpy(base + place + CHUNK_HEADER, base + old + CHUNK_HEADER, used)
        put_entry(store, slot, number, make_entry(place, entry_elements(entry)), 0, 0)
        store.stores.chunks.discard(old)
    return 0


def split_chunk(
    store: KeyStore, slot: cython.pointer[uint64_t], number: uint32_t, at: uint64_t, left: uint32_t
) -> cython.int:
    """Make two of an ordered chunk: `left` elements, which take `at` bytes, and the others."""
    chunks: Chunks = store.stores.chunks
    base: Bytes = store.arena.base
    payload: Bytes = record_payload(store.record(slot))
    entry: uint64_t = chunk_entry(payload, number)
    old: uint64_t = entry_place(entry)
    used: uint64_t = chunk_used(base + old)
    owner: uint32_t = root_of(payload).number
    entry_at: uint64_t = CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, number)
    first: uint64_t = chunks.allocate(owner, at, 0)
    second: uint64_t = 0
    try:
        second = chunks.allocate(owner, used - at, 0)
        count_root(store.rewrite_part(slot, entry_at, 0, CHUNK_ENTRY) - entry_at, 0, 0, 1)
    except BaseException:
        chunks.discard(first)
        chunks.discard(second)
        raise
    memcpy(base + first + CHUNK_HEADER, base + old + CHUNK_HEADER, at)
    memcpy(base + second + CHUNK_HEADER, base + old + CHUNK_HEADER + at, used - at)
    put_entry(store, slot, number, make_entry(first, left), 0, 0)
    put_entry(store, slot, number + 1, make_entry(second, entry_elements(entry) - left), 0, 0)
    chunks.replaced(old, used)
    return 0


def join_chunks(store: KeyStore, slot: cython.pointer[uint64_t], number: uint32_t) -> cython.int:
    """Make one of an ordered chunk and the one behind it."""
    chunks: Chunks = store.stores.chunks
    base: Bytes = store.arena.base
    payload: Bytes = record_payload(store.record(slot))
    one: uint64_t = chunk_entry(payload, number)
    other: uint64_t = chunk_entry(payload, number + 1)
    used: uint64_t = chunk_used(base + entry_place(one))
    more: uint64_t = chunk_used(base + entry_place(other))
    at: uint64_t = CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, number)
    place: uint64_t = chunks.allocate(root_of(payload).number, used + more, 0)
    try:
        count_root(store.rewrite_part(slot, at, CHUNK_ENTRY, 0) - at, 0, 0, -1)
    except BaseException:
        chunks.discard(place)
        raise
    memcpy(base + place + CHUNK_HEADER, base + entry_place(one) + CHUNK_HEADER, used)
    memcpy(base + place + CHUNK_HEADER + used, base + entry_place(other) + CHUNK_HEADER, more)
    put_entry(store, slot, number, make_entry(place, entry_elements(one) + entry_elements(other)), 0, 0)
    chunks.replaced(entry_place(one), used)
    chunks.replaced(entry_place(other), more)
    return 0


def join_if_sparse(store: KeyStore, slot: cython.pointer[uint64_t], kind: uint32_t, number: uint32_t) -> cython.int:
    """After a removal from an ordered chunk: put it together with a neighbour if both are small."""
    payload: Bytes = record_payload(store.record(slot))
    root: Root = root_of(payload)
    full: uint64_t = chunk_bytes(kind, root.nbytes)
    used: uint64_t
    if number >= root.chunks:
        return 0
    used = chunk_used(store.arena.base + entry_place(chunk_entry(payload, number)))
    if used * 3 > full:
        return 0
    if number + 1 < root.chunks and joined_bytes(store, payload, number) * 4 <= full * 3:
        return join_chunks(store, slot, number)
    if number and joined_bytes(store, payload, number - 1) * 4 <= full * 3:
        return join_chunks(store, slot, number - 1)
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def joined_bytes(store: KeyStore, payload: Bytes, number: uint32_t) -> uint64_t:
    return cython.cast(uint64_t, chunk_used(store.arena.base + entry_place(chunk_entry(payload, number)))) + chunk_used(
        store.arena.base + entry_place(chunk_entry(payload, number + 1))
    )


def middle_of(kind: uint32_t, span: Span, elements: uint32_t, left: cython.pointer[uint32_t]) -> uint64_t:
    """Where to split a chunk of two elements or more in halves: bytes before, and how many elements those are."""
    at: Bytes = span.start
    half: uint64_t = cython.cast(uint64_t, span.end - span.start) // 2
    left[0] = 0
    while left[0] == 0 or (
        left[0] + 1 < elements and cython.cast(uint64_t, at - span.start) + entry_size(kind, at) // 2 <= half
    ):
        at += entry_size(kind, at)
        left[0] += 1
    return at - span.start


def seek_element(
    payload: ConstBytes,
    position: uint64_t,
    number: cython.pointer[uint32_t],
    index: cython.pointer[uint32_t],
) -> cython.bint:
    """Find the chunk of the element at a position, and which one of it that is; False behind the last."""
    root: Root = root_of(payload)
    at: uint32_t = 0
    behind: uint64_t
    elements: uint32_t
    if position >= root.elements:
        number[0] = root.chunks
        index[0] = 0
        return False
    if position * 2 < root.elements:
        while True:
            elements = entry_elements(chunk_entry(payload, at))
            if position < elements:
                break
            position -= elements
            at += 1
    else:
        behind = root.elements - position
        at = root.chunks - 1
        while True:
            elements = entry_elements(chunk_entry(payload, at))
            if behind <= elements:
                break
            behind -= elements
            at -= 1
        position = elements - behind
    number[0] = at
    index[0] = cython.cast(uint32_t, position)
    return True


def elements_before(payload: ConstBytes, number: uint32_t) -> uint64_t:
    """How many elements the chunks before one have."""
    at: uint32_t
    total: uint64_t = 0
    for at in range(number):
        total += entry_elements(chunk_entry(payload, at))
    return total


# Buckets


def reversed_prefix(prefix: uint64_t) -> uint64_t:
    """The first bits of a hash, as many as a table keeps, turned around."""
    prefix = (prefix >> 1 & 0x55555555) | (prefix & 0x55555555) << 1
    prefix = (prefix >> 2 & 0x33333333) | (prefix & 0x33333333) << 2
    prefix = (prefix >> 4 & 0x0F0F0F0F) | (prefix & 0x0F0F0F0F) << 4
    prefix = (prefix >> 8 & 0x00FF00FF) | (prefix & 0x00FF00FF) << 8
    prefix = prefix >> 16 | (prefix & 0xFFFF) << 16
    return prefix >> (32 - PREFIX_BITS)


def mask_of(buckets: uint32_t) -> uint32_t:
    """The bits that distinguish the buckets of the deeper level: one less than the power of two not below `buckets`."""
    return 0 if buckets < 2 else (cython.cast(uint32_t, 2) << (31 - __builtin_clz(buckets - 1))) - 1


def bucket_of(hash_: uint64_t, buckets: uint32_t) -> uint32_t:
    """The bucket of a name."""
    return bucket_at(hash_ >> (64 - PREFIX_BITS), buckets)


def bucket_at(prefix: uint64_t, buckets: uint32_t) -> uint32_t:
    """The bucket of names whose hashes begin with `prefix`."""
    bits: uint32_t = cython.cast(uint32_t, reversed_prefix(prefix))
    mask: uint32_t = mask_of(buckets)
    return bits & mask if (bits & mask) < buckets else bits & (mask >> 1)


def behind_bucket(bucket: uint32_t, buckets: uint32_t) -> uint64_t:
    """The first prefix behind those of a bucket."""
    mask: uint32_t = mask_of(buckets)
    if (bucket | (mask + 1) >> 1) >= buckets and bucket <= mask >> 1:
        mask >>= 1
    return reversed_prefix(bucket) + (cython.cast(uint64_t, 1) << PREFIX_BITS) // (mask + 1)


def split_bucket(store: KeyStore, slot: cython.pointer[uint64_t], kind: uint32_t) -> cython.int:
    """Add a bucket: some of the elements of another one are its own."""
    chunks: Chunks = store.stores.chunks
    base: Bytes = store.arena.base
    payload: Bytes = record_payload(store.record(slot))
    root: Root = root_of(payload)
    buckets: uint32_t = root.chunks + 1
    buddy: uint32_t = root.chunks & (mask_of(buckets) >> 1)
    entry: uint64_t = chunk_entry(payload, buddy)
    old: uint64_t = entry_place(entry)
    span: Span = span_of(base, payload, buddy)
    at: Bytes = span.start
    kept: uint64_t = 0
    moved: uint64_t = 0
    moved_elements: uint32_t = 0
    first: uint64_t = 0
    second: uint64_t = 0
    to_first: Bytes
    to_second: Bytes
    size: uint64_t
    entry_at: uint64_t = CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, root.chunks)
    while at < span.end:
        size = entry_size(kind, at)
        if is_in(kind, at, root.chunks, buckets):
            moved += size
            moved_elements += 1
        else:
            kept += size
        at += size
    try:
        if moved and kept:
            first = chunks.allocate(root.number, kept, 0)
            second = chunks.allocate(root.number, moved, 0)
        count_root(store.rewrite_part(slot, entry_at, 0, CHUNK_ENTRY) - entry_at, 0, 0, 1)
    except BaseException:
        chunks.discard(first)
        chunks.discard(second)
        raise
    if not (moved and kept):
        put_entry(store, slot, root.chunks, entry if moved else 0, 0, 0)
        put_entry(store, slot, buddy, 0 if moved else entry, 0, 0)
        return 0
    to_first = base + first + CHUNK_HEADER
    to_second = base + second + CHUNK_HEADER
    at = span.start
    while at < span.end:
        size = entry_size(kind, at)
        if is_in(kind, at, root.chunks, buckets):
            memcpy(to_second, at, size)
            to_second += size
        else:
            memcpy(to_first, at, size)
            to_first += size
        at += size
    put_entry(store, slot, root.chunks, make_entry(second, moved_elements), 0, 0)
    put_entry(store, slot, buddy, make_entry(first, entry_elements(entry) - moved_elements), 0, 0)
    chunks.replaced(old, kept + moved)
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def is_in(kind: uint32_t, element: Bytes, bucket: uint32_t, buckets: uint32_t) -> cython.bint:
    length: uint64_t = 0
    name: Bytes = entry_key(kind, element, cython.address(length))
    return bucket_of(hash_key(name, length), buckets) == bucket


def join_bucket(store: KeyStore, slot: cython.pointer[uint64_t]) -> cython.int:
    """Put the last of several buckets together with the one that it came from."""
    chunks: Chunks = store.stores.chunks
    base: Bytes = store.arena.base
    payload: Bytes = record_payload(store.record(slot))
    root: Root = root_of(payload)
    last: uint32_t = root.chunks - 1
    buddy: uint32_t = last & (mask_of(root.chunks) >> 1)
    one: uint64_t = chunk_entry(payload, buddy)
    other: uint64_t = chunk_entry(payload, last)
    used: uint64_t
    more: uint64_t
    joined: uint64_t = one | other
    at: uint64_t = CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, last)
    place: uint64_t = 0
    if one and other:
        used = chunk_used(base + entry_place(one))
        more = chunk_used(base + entry_place(other))
        place = chunks.allocate(root.number, used + more, 0)
        joined = make_entry(place, entry_elements(one) + entry_elements(other))
    try:
        count_root(store.rewrite_part(slot, at, CHUNK_ENTRY, 0) - at, 0, 0, -1)
    except BaseException:
        chunks.discard(place)
        raise
    put_entry(store, slot, buddy, joined, 0, 0)
    if place:
        memcpy(base + place + CHUNK_HEADER, base + entry_place(one) + CHUNK_HEADER, used)
        memcpy(base + place + CHUNK_HEADER + used, base + entry_place(other) + CHUNK_HEADER, more)
        chunks.replaced(entry_place(one), used)
        chunks.replaced(entry_place(other), more)
    return 0

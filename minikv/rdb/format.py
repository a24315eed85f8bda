# cython: language_level=3
# ruff: noqa: F821
"""The RDB file format: its grammar, its numbers (format.pxd: for C and Python) and its simplest parts.

    "REDIS" 4 digits  (AUX | FUNCTION2 | MODULE_AUX | HASH_TEMPLATE)*  ( SELECTDB  RESIZEDB  record* )*  EOF  CRC-64
    record:   [EXPIRETIME_MS 8 bytes | EXPIRETIME 4 bytes]  [FREQ 1 byte | IDLE length]  [KEY_METADATA]  type  key value
    strings:  length, bytes; or one of the special encodings

A length, by the top bits of its first byte; a reader accepts longer forms than necessary:

    00xxxxxx                      6 bits
    01xxxxxx xxxxxxxx             14 bits, big endian
    10000000 4 bytes              32 bits, big endian
    10000001 8 bytes              64 bits, big endian
    11xxxxxx                      not a length: a special string, its encoding in the low 6 bits

The checksum is CRC-64 "redis" (Jones), over everything before it, 8 bytes little endian; 0 means that none was
computed. After version 11 Valkey has version numbers, types and opcodes of its own, and begins with "VALKEY" and 3
digits; 22, 23, 242 and 243 mean different things in Redis's and in Valkey's files.

A DUMP payload is a type and a value, the version (2 bytes, little endian) and the checksum of all that.
There only the version distinguishes the families: Valkey's begin at 80.
Source: the public RDB format as written by Redis 1 to 8.10 and Valkey 7 to 9.2.
"""

MAGIC = b"REDIS"
VALKEY_MAGIC = b"VALKEY"
PADDING = b"minikv-pad"  # AUX field whose value says nothing
COMPRESSED_MAGICS = (b"VCS", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")  # Valkey 9.2, gzip, zstd, LZ4

TYPE_NAMES = {
    TYPE_STRING: "string",
    TYPE_LIST: "list",
    TYPE_SET: "set",
    TYPE_ZSET_1: "zset",
    TYPE_HASH: "hash",
    TYPE_ZSET_2: "zset_2",
    TYPE_MODULE_PRE_GA: "module (pre-GA)",
    TYPE_MODULE_2: "module",
    TYPE_HASH_ZIPMAP: "hash zipmap",
    TYPE_LIST_ZIPLIST: "list ziplist",
    TYPE_SET_INTSET: "set intset",
    TYPE_ZSET_ZIPLIST: "zset ziplist",
    TYPE_HASH_ZIPLIST: "hash ziplist",
    TYPE_LIST_QUICKLIST: "list quicklist",
    TYPE_STREAM_1: "stream listpacks",
    TYPE_HASH_LISTPACK: "hash listpack",
    TYPE_ZSET_LISTPACK: "zset listpack",
    TYPE_LIST_QUICKLIST_2: "list quicklist_2",
    TYPE_STREAM_2: "stream listpacks_2",
    TYPE_SET_LISTPACK: "set listpack",
    TYPE_STREAM_3: "stream listpacks_3",
    TYPE_HASH_TTL_PRE_GA: "hash field-ttl (pre-GA)",
    TYPE_HASH_LISTPACK_TTL_PRE_GA: "hash field-ttl listpack (pre-GA)",
    TYPE_HASH_TTL: "hash field-ttl",
    TYPE_HASH_LISTPACK_TTL: "hash field-ttl listpack",
    TYPE_STREAM_4: "stream listpacks_4",
    TYPE_STREAM_5: "stream listpacks_5",
    TYPE_ARRAY: "array",
    TYPE_TEMPLATE_LISTPACK_ALONE: "hash template-listpack (payload)",
    TYPE_TEMPLATE_LISTPACK: "hash template-listpack",
    TYPE_TEMPLATE_ARRAY_ALONE: "hash template-array (payload)",
    TYPE_TEMPLATE_ARRAY: "hash template-array",
    TYPE_GCRA: "gcra",
}
VALKEY_TYPE_NAMES = {type: name for type, name in TYPE_NAMES.items() if type < TYPE_HASH_TTL_PRE_GA} | {
    TYPE_HASH_TTL_PRE_GA: "hash field-ttl",
    TYPE_HASH_PATHS: "hash paths",
}

# What a value's bytes are laid out as, for an error in them: Redis's words where it has some.
LAYOUT_NAMES = {
    TYPE_HASH_ZIPMAP: "Zipmap",
    TYPE_LIST_ZIPLIST: "List ziplist",
    TYPE_SET_INTSET: "Intset",
    TYPE_ZSET_ZIPLIST: "Zset ziplist",
    TYPE_HASH_ZIPLIST: "Hash ziplist",
    TYPE_LIST_QUICKLIST: "Quicklist ziplist",
    TYPE_STREAM_1: "Stream listpack",
    TYPE_STREAM_2: "Stream listpack",
    TYPE_LIST_QUICKLIST_2: "Quicklist listpack",
    TYPE_STREAM_3: "Stream listpack",
}

METADATA_NAME_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
MODULE_NAME_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def type_names(valkey: bool) -> dict[int, str]:
    """The names of all types, by number."""
    return VALKEY_TYPE_NAMES if valkey else TYPE_NAMES


def layout_name(type: int, valkey: bool) -> str:
    """How values of a type are laid out."""
    return LAYOUT_NAMES.get(type) or type_names(valkey).get(type, "value").capitalize()


def is_readable(version: int, valkey: bool) -> bool:
    """Whether this reader knows the version of a file or payload."""
    if valkey:
        return VALKEY_VERSION <= version <= NEWEST_VALKEY_VERSION
    return OLDEST_VERSION <= version <= NEWEST_VERSION


def module_name(module_id: int) -> str:
    """The name of a module's type: nine letters of 6 bits each, above 10 bits of its version."""
    return "".join(
        MODULE_NAME_LETTERS[module_id >> (10 + 6 * place) & 63] for place in range(MODULE_NAME_LEN - 1, -1, -1)
    )


def metadata_name(class_spec: int) -> str:
    """The name of a class of metadata: four letters of 6 bits each, above 5 bits of its version and 3 of flags."""
    return "".join(METADATA_NAME_LETTERS[class_spec >> (8 + 6 * place) & 63] for place in (3, 2, 1, 0))


def encode_length(length: int) -> bytes:
    """The shortest form of a length."""
    if length < 1 << 6:
        return bytes((length,))
    if length < 1 << 14:
        return bytes((LENGTH_14_BITS | length >> 8, length & 0xFF))
    if length < 1 << 32:
        return bytes((LENGTH_32_BITS,)) + length.to_bytes(4, "big")
    return bytes((LENGTH_64_BITS,)) + length.to_bytes(8, "big")


def encode_string(text: bytes) -> bytes:
    """A string in its plain form: length and bytes."""
    return encode_length(len(text)) + text


def encode_aux(name: str, value: str | int) -> bytes:
    """An AUX field: something about the file that a reader may ignore."""
    return bytes((OP_AUX,)) + encode_string(name.encode()) + encode_string(str(value).encode())


def header(has_field_ttls: bool = False) -> bytes:
    """The first bytes of a file. has_field_ttls: fields of hashes in it expire."""
    return MAGIC + b"%04d" % (VERSION_WITH_FIELD_TTLS if has_field_ttls else VERSION_WRITTEN)

MAGIC: bytes
VALKEY_MAGIC: bytes
PADDING: bytes
COMPRESSED_MAGICS: tuple[bytes, ...]

HEADER_LEN: int
VERSION_WRITTEN: int
VERSION_WITH_FIELD_TTLS: int
OLDEST_VERSION: int
NEWEST_VERSION: int
VALKEY_VERSION: int
NEWEST_VALKEY_VERSION: int
FIRST_VERSION_WITH_CHECKSUM: int
FIRST_VERSION_WITH_UNSEALED_PAYLOADS: int
CHECKSUM_LEN: int
PAYLOAD_VERSION_LEN: int

OP_HASH_TEMPLATE: int
OP_COMMAND: int
OP_KEY_METADATA: int
OP_SLOT_IMPORT: int
OP_SLOT_INFO: int
OP_FUNCTION2: int
OP_FUNCTION_PRE_GA: int
OP_MODULE_AUX: int
OP_IDLE: int
OP_FREQ: int
OP_AUX: int
OP_RESIZEDB: int
OP_EXPIRETIME_MS: int
OP_EXPIRETIME: int
OP_SELECTDB: int
OP_EOF: int
FIRST_OPCODE: int

SLOTS: int
SLOT_IMPORT_NAME_LEN: int

TYPE_STRING: int
TYPE_LIST: int
TYPE_SET: int
TYPE_ZSET_1: int
TYPE_HASH: int
TYPE_ZSET_2: int
TYPE_MODULE_PRE_GA: int
TYPE_MODULE_2: int
TYPE_HASH_ZIPMAP: int
TYPE_LIST_ZIPLIST: int
TYPE_SET_INTSET: int
TYPE_ZSET_ZIPLIST: int
TYPE_HASH_ZIPLIST: int
TYPE_LIST_QUICKLIST: int
TYPE_STREAM_1: int
TYPE_HASH_LISTPACK: int
TYPE_ZSET_LISTPACK: int
TYPE_LIST_QUICKLIST_2: int
TYPE_STREAM_2: int
TYPE_SET_LISTPACK: int
TYPE_STREAM_3: int
TYPE_HASH_TTL_PRE_GA: int
TYPE_HASH_LISTPACK_TTL_PRE_GA: int
TYPE_HASH_PATHS: int
TYPE_HASH_TTL: int
TYPE_HASH_LISTPACK_TTL: int
TYPE_STREAM_4: int
TYPE_STREAM_5: int
TYPE_ARRAY: int
TYPE_TEMPLATE_LISTPACK_ALONE: int
TYPE_TEMPLATE_LISTPACK: int
TYPE_TEMPLATE_ARRAY_ALONE: int
TYPE_TEMPLATE_ARRAY: int
TYPE_GCRA: int

CONTAINER_PLAIN: int
CONTAINER_PACKED: int

MODULE_END: int
MODULE_SIGNED: int
MODULE_UNSIGNED: int
MODULE_FLOAT: int
MODULE_DOUBLE: int
MODULE_STRING: int

METADATA_CLASSES_MAX: int
METADATA_MAY_BE_IGNORED: int
METADATA_NAME_LEN: int
MODULE_NAME_LEN: int

LENGTH_6_BITS: int
LENGTH_14_BITS: int
LENGTH_32_BITS: int
LENGTH_64_BITS: int
SPECIAL_STRING: int

SPECIAL_INT8: int
SPECIAL_INT16: int
SPECIAL_INT32: int
SPECIAL_LZF: int

TYPE_NAMES: dict[int, str]
VALKEY_TYPE_NAMES: dict[int, str]

METADATA_NAME_LETTERS: str
MODULE_NAME_LETTERS: str

def type_names(valkey: bool) -> dict[int, str]: ...
def layout_name(type: int, valkey: bool) -> str: ...
def is_readable(version: int, valkey: bool) -> bool: ...
def module_name(module_id: int) -> str: ...
def metadata_name(class_spec: int) -> str: ...
def encode_length(length: int) -> bytes: ...
def encode_string(text: bytes) -> bytes: ...
def encode_aux(name: str, value: str | int) -> bytes: ...
def header(has_field_ttls: bool = False) -> bytes: ...

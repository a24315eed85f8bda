# The numbers of the RDB file format; format.py says how a file is made of them.

cpdef enum:                         # the header, and versions
    HEADER_LEN = 9                  # magic and digits
    VERSION_WRITTEN = 10            # Redis 7.0; every later one reads it
    VERSION_WITH_FIELD_TTLS = 12    # Redis 7.4: what a file or payload with fields that expire is written as
    OLDEST_VERSION = 1
    NEWEST_VERSION = 15             # Redis 8.10
    VALKEY_VERSION = 80             # Valkey 9.0; from here on versions are Valkey's
    NEWEST_VALKEY_VERSION = 81      # Valkey 9.2
    FIRST_VERSION_WITH_CHECKSUM = 5
    FIRST_VERSION_WITH_UNSEALED_PAYLOADS = 15  # Redis 8.10 sends some payloads with checksum 0: not computed
    CHECKSUM_LEN = 8
    PAYLOAD_VERSION_LEN = 2

cpdef enum:                         # opcodes
    FIRST_OPCODE = 242              # smaller numbers are types
    OP_HASH_TEMPLATE = 242
    OP_COMMAND = 242                # Valkey
    OP_KEY_METADATA = 243
    OP_SLOT_IMPORT = 243            # Valkey
    OP_SLOT_INFO = 244
    OP_FUNCTION2 = 245
    OP_FUNCTION_PRE_GA = 246
    OP_MODULE_AUX = 247
    OP_IDLE = 248
    OP_FREQ = 249
    OP_AUX = 250
    OP_RESIZEDB = 251
    OP_EXPIRETIME_MS = 252
    OP_EXPIRETIME = 253
    OP_SELECTDB = 254
    OP_EOF = 255

cpdef enum:                         # slots of a cluster
    SLOTS = 16384
    SLOT_IMPORT_NAME_LEN = 40

cpdef enum:                         # types; those that minikv writes are also engine/record.pxd's
    TYPE_STRING = 0
    TYPE_LIST = 1
    TYPE_SET = 2
    TYPE_ZSET_1 = 3                 # scores as text
    TYPE_HASH = 4
    TYPE_ZSET_2 = 5
    TYPE_MODULE_PRE_GA = 6
    TYPE_MODULE_2 = 7
    TYPE_HASH_ZIPMAP = 9
    TYPE_LIST_ZIPLIST = 10
    TYPE_SET_INTSET = 11
    TYPE_ZSET_ZIPLIST = 12
    TYPE_HASH_ZIPLIST = 13
    TYPE_LIST_QUICKLIST = 14
    TYPE_STREAM_1 = 15
    TYPE_HASH_LISTPACK = 16
    TYPE_ZSET_LISTPACK = 17
    TYPE_LIST_QUICKLIST_2 = 18
    TYPE_STREAM_2 = 19
    TYPE_SET_LISTPACK = 20
    TYPE_STREAM_3 = 21
    TYPE_HASH_TTL_PRE_GA = 22       # Valkey's has another layout
    TYPE_HASH_LISTPACK_TTL_PRE_GA = 23
    TYPE_HASH_PATHS = 23            # Valkey; its layout is not public
    TYPE_HASH_TTL = 24
    TYPE_HASH_LISTPACK_TTL = 25
    TYPE_STREAM_4 = 26
    TYPE_STREAM_5 = 27
    TYPE_ARRAY = 28
    TYPE_TEMPLATE_LISTPACK_ALONE = 29  # in payloads, with its fields
    TYPE_TEMPLATE_LISTPACK = 30     # in files, whose templates have the fields
    TYPE_TEMPLATE_ARRAY_ALONE = 31
    TYPE_TEMPLATE_ARRAY = 32
    TYPE_GCRA = 33                  # a rate limiter

cpdef enum:                         # how a node of a quicklist_2 holds its elements
    CONTAINER_PLAIN = 1
    CONTAINER_PACKED = 2

cpdef enum:                         # the parts of a module's data
    MODULE_END = 0
    MODULE_SIGNED = 1               # length
    MODULE_UNSIGNED = 2             # length
    MODULE_FLOAT = 3                # 4 bytes
    MODULE_DOUBLE = 4               # 8 bytes
    MODULE_STRING = 5

cpdef enum:                         # names of modules and of classes of metadata
    METADATA_CLASSES_MAX = 7
    METADATA_MAY_BE_IGNORED = 1     # flag of a class
    METADATA_NAME_LEN = 4
    MODULE_NAME_LEN = 9

cpdef enum:                         # first bytes of lengths
    LENGTH_6_BITS = 0x00
    LENGTH_14_BITS = 0x40
    LENGTH_32_BITS = 0x80
    LENGTH_64_BITS = 0x81
    SPECIAL_STRING = 0xC0

cpdef enum:                         # encodings of special strings
    SPECIAL_INT8 = 0
    SPECIAL_INT16 = 1
    SPECIAL_INT32 = 2
    SPECIAL_LZF = 3

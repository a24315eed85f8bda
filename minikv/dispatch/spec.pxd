# Flags of a command, for C and Python: one bit each, in the order in which COMMAND INFO lists them.

cpdef enum:
    WRITE = 1 << 0
    READONLY = 1 << 1
    DENYOOM = 1 << 2
    MODULE = 1 << 3
    ADMIN = 1 << 4
    PUBSUB = 1 << 5
    NOSCRIPT = 1 << 6
    BLOCKING = 1 << 7
    LOADING = 1 << 8
    STALE = 1 << 9
    SKIP_MONITOR = 1 << 10
    SKIP_SLOWLOG = 1 << 11
    ASKING = 1 << 12
    FAST = 1 << 13
    NO_AUTH = 1 << 14
    MAY_REPLICATE = 1 << 15         # CLIENT PAUSE WRITE holds it; COMMAND INFO does not show it
    NO_MANDATORY_KEYS = 1 << 16
    NO_ASYNC_LOADING = 1 << 17
    NO_MULTI = 1 << 18
    MOVABLEKEYS = 1 << 19
    ALLOW_BUSY = 1 << 20
    PROTECTED = 1 << 21             # needs enable-debug-command or -module-command; COMMAND INFO does not show it

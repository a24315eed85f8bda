"""Settings of releases other than 7.0, so that minikv accepts their configuration files.

CONFIG does not know them, like redis-server 7.0. None has an effect; one that asks for something
that minikv lacks is refused unless it is at its default.
Source: the settings of Redis 5.0 to 8.8, Valkey 7.2 to 9, and earlier ones of minikv.
"""

from minikv.settings import (
    COUNT,
    INT_MAX,
    LONG_MAX,
    MEMORY,
    NO_CLUSTER,
    NUMBER,
    PORT,
    TEXT,
    YES_NO,
    Choice,
    Integer,
    Kind,
    Setting,
    Value,
    Words,
)

# Other names of settings that 7.0 has.
ALIASES = {
    "aof-rewrite-cpulist": "aof_rewrite_cpulist",
    "bgsave-cpulist": "bgsave_cpulist",
    "bio-cpulist": "bio_cpulist",
    "server-cpulist": "server_cpulist",
    "commandlog-execution-slower-than": "slowlog-log-slower-than",
    "commandlog-slow-execution-max-len": "slowlog-max-len",
    "lua-enable-insecure-api": "lua-enable-deprecated-api",
    "primaryauth": "masterauth",
    "primaryuser": "masteruser",
}

# Prefixes of settings of the modules in Redis 8; settings of other modules have a dot in their names.
MODULE_PREFIXES = ("search-", "ts-", "bf-", "cf-")
NO_MODULES = "minikv loads no modules"

THRESHOLD = Integer(-1, LONG_MAX)
PERCENT = Integer(0, 100)
NO_RDMA = "minikv does not speak RDMA"
ONE_FORM_OF_LOG = "minikv has one form of log"
NO_MPTCP = "minikv does not use Multipath TCP"


def why_unknown(name: str) -> str:
    """Why a name is no setting here; empty if unknown."""
    return NO_MODULES if "." in name or name.startswith(MODULE_PREFIXES) else ""


def _other(name: str, kind: Kind, default: Value, refusal: str = "") -> Setting:
    return Setting(name, kind, default, effect=False, refusal=refusal)


OTHER_SETTINGS = {
    setting.name: setting
    for setting in (
        # minikv before it had fields that expire
        _other("load-field-ttls", Choice("refuse", "drop"), "refuse"),
        # before 7.0
        _other("gopher-enabled", YES_NO, False, "minikv does not speak Gopher"),
        _other("list-max-ziplist-entries", NUMBER, 512),
        _other("list-max-ziplist-value", NUMBER, 64),
        _other("lua-replicate-commands", YES_NO, True),
        # Redis 7.2 to 8.8
        _other("aof-load-corrupt-tail-max-size", COUNT, 0),
        _other("array-slice-size", NUMBER, 4096),
        _other("array-sparse-kmax", NUMBER, 10),
        _other("array-sparse-kmin", NUMBER, 5),
        _other("client-default-resp", Integer(2, 3), 2, "clients of minikv begin with RESP2"),
        _other("cluster-announce-human-nodename", TEXT, ""),
        _other("cluster-compatibility-sample-ratio", PERCENT, 0),
        _other("cluster-ping-interval", COUNT, 0),
        _other("cluster-slot-migration-handoff-max-lag-bytes", MEMORY, 1 << 20),
        _other("cluster-slot-migration-max-archived-tasks", NUMBER, 32),
        _other("cluster-slot-migration-sync-buffer-drain-timeout", COUNT, 60_000),
        _other("cluster-slot-migration-write-pause-timeout", COUNT, 10_000),
        _other("cluster-slot-stats-enabled", YES_NO, False),
        _other("hide-user-data-from-log", YES_NO, False),
        _other("key-memory-histograms", YES_NO, False),
        _other("lazyexpire-nested-arbitrary-keys", YES_NO, True),
        _other("locale-collate", TEXT, "", "minikv sorts by bytes"),
        _other("lookahead", Integer(1, INT_MAX), 16),
        _other("max-new-connections-per-cycle", Integer(1, 1000), 10),
        _other("max-new-tls-connections-per-cycle", Integer(1, 1000), 1),
        _other("prefetch-batch-max-size", Integer(0, 128), 16),
        _other("repl-rdb-channel", YES_NO, False),
        _other("replica-full-sync-buffer-limit", MEMORY, 0),
        _other("req-res-logfile", TEXT, "", "minikv does not record requests and replies"),
        _other("set-max-listpack-entries", COUNT, 128),
        _other("set-max-listpack-value", COUNT, 64),
        _other("slowlog-entry-max-argc", Integer(2, INT_MAX), 32),
        _other("slowlog-entry-max-string-len", Integer(1, LONG_MAX), 128),
        _other("stream-idmp-duration", COUNT, 100),
        _other("stream-idmp-maxsize", COUNT, 100),
        _other("tls-auth-clients-user", TEXT, "off"),
        # Valkey 8 and 9
        _other("active-defrag-cycle-us", NUMBER, 500),
        _other("availability-zone", TEXT, ""),
        _other("cluster-announce-client-ipv4", TEXT, ""),
        _other("cluster-announce-client-ipv6", TEXT, ""),
        _other("cluster-announce-client-port", PORT, 0),
        _other("cluster-announce-client-tls-port", PORT, 0),
        _other("cluster-blacklist-ttl", COUNT, 60),
        _other("cluster-config-save-behavior", TEXT, "sync"),
        _other("cluster-databases", Integer(1, INT_MAX), 1, NO_CLUSTER),
        _other("cluster-manual-failover-timeout", COUNT, 5000),
        _other("cluster-message-gossip-perc", PERCENT, 10),
        _other("cluster-slot-migration-log-max-len", COUNT, 1000),
        _other("commandlog-large-reply-max-len", COUNT, 128),
        _other("commandlog-large-request-max-len", COUNT, 128),
        _other("commandlog-reply-larger-than", THRESHOLD, 1 << 20),
        _other("commandlog-request-larger-than", THRESHOLD, 1 << 20),
        _other("debug-context", TEXT, ""),
        _other("dual-channel-replication-enabled", YES_NO, False),
        _other("enable-debug-assert", YES_NO, False),
        _other("events-per-io-thread", NUMBER, 2),
        _other("extended-redis-compatibility", YES_NO, False),
        _other("hash-seed", TEXT, ""),
        _other("import-mode", YES_NO, False, "minikv has no import mode"),
        _other("io-threads-always-active", YES_NO, False),
        _other("log-format", Choice("legacy", "logfmt"), "legacy", ONE_FORM_OF_LOG),
        _other("log-timestamp-format", Choice("legacy", "iso8601", "milliseconds"), "legacy", ONE_FORM_OF_LOG),
        _other("min-io-threads-avoid-copy-reply", NUMBER, 7),
        _other("min-string-size-avoid-copy-reply", NUMBER, 16384),
        _other("min-string-size-avoid-copy-reply-threaded", NUMBER, 65536),
        _other("mptcp", YES_NO, False, NO_MPTCP),
        _other("rdb-version-check", Choice("strict", "relaxed"), "strict"),
        _other("rdma-bind", Words(), (), NO_RDMA),
        _other("rdma-completion-vector", Integer(-1, 1024), -1),
        _other("rdma-port", PORT, 0, NO_RDMA),
        _other("rdma-rx-size", MEMORY, 1 << 20),
        _other("repl-mptcp", YES_NO, False, NO_MPTCP),
        _other("slot-migration-max-failover-repl-bytes", THRESHOLD, 0),
        _other("tls-auto-reload-interval", NUMBER, 0),
        _other("unixsocketgroup", TEXT, "", "minikv does not set the group of its socket"),
    )
}

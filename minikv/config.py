"""The settings of a running server: read at start, shown and changed by CONFIG.

    config = Config.load(["redis.conf", "--port", "0"])     later words override earlier ones
    config.port                                             typed attributes, dashes become underscores
    config.set_many([("timeout", "5"), ("hz", "20")])       all or none
    config.on_change("hz", restart_timer)                   called with the new value; may raise ConfigError

`minikv.settings` has the table of settings, `minikv.config_file` the syntax,
`minikv.other_releases` the settings of other releases.
"""

import contextlib
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from minikv import config_file
from minikv.config_file import Line
from minikv.errors import ConfigError
from minikv.other_releases import ALIASES, OTHER_SETTINGS, why_unknown
from minikv.settings import SETTINGS, OutputLimits, SavePoint, Setting, Value

_REFUSED_DIRECTIVES = {
    "loadmodule": "minikv loads no modules",
    "sentinel": "minikv has no Sentinel mode",
}


# Whoever sets all that CONFIG GET shows, but what Redis refuses, may set these to the value that they have.
_UNKNOWN_TO_REDIS = {"arena-huge-pages", "arena-size", "bgsave-fork", "script-memory-limit", "snapshot-history"}


class Config:
    """Each setting is an attribute; those that minikv reads are annotated here, the others have no type."""

    acl_pubsub_default: str
    aclfile: str
    acllog_max_len: int
    always_show_logo: bool
    arena_huge_pages: str
    arena_size: int
    bgsave_preflight: str
    bgsave_cpu_share: int
    bgsave_fork: str
    bgsave_stall_timeout: int
    bind: tuple[str, ...]
    busy_reply_threshold: int
    client_output_buffer_limit: OutputLimits
    client_query_buffer_limit: int
    crash_log_enabled: bool
    daemonize: bool
    databases: int
    dbfilename: str
    dir: str
    enable_debug_command: str
    enable_module_command: str
    enable_protected_configs: str
    hash_max_listpack_entries: int
    hash_max_listpack_value: int
    history_base_percentage: int
    history_damaged: str
    history_keep: str
    history_max_bytes: int
    zset_max_listpack_entries: int
    zset_max_listpack_value: int
    stream_node_max_bytes: int
    stream_node_max_entries: int
    hll_sparse_max_bytes: int
    hz: int
    key_load_delay: int
    latency_monitor_threshold: int
    tracking_table_max_keys: int
    latency_tracking: bool
    latency_tracking_info_percentiles: tuple[float, ...]
    logfile: str
    loglevel: str
    lua_enable_deprecated_api: bool
    maxclients: int
    maxmemory: int
    maxmemory_clients: int
    maxmemory_eviction_tenacity: int
    maxmemory_policy: str
    maxmemory_samples: int
    lfu_log_factor: int
    lazyfree_lazy_eviction: bool
    lazyfree_lazy_expire: bool
    lazyfree_lazy_server_del: bool
    lazyfree_lazy_user_del: bool
    lazyfree_lazy_user_flush: bool
    notify_keyspace_events: str
    lfu_decay_time: int
    oom_score_adj: str
    oom_score_adj_values: tuple[int, ...]
    pidfile: str
    port: int
    protected_mode: bool
    proto_max_bulk_len: int
    rdb_key_save_delay: int
    rdb_save_incremental_fsync: bool
    rdb_verify: bool
    rdbchecksum: bool
    rdbcompression: bool
    repl_diskless_sync: bool
    repl_diskless_sync_delay: int
    repl_diskless_sync_max_replicas: int
    repl_timeout: int
    requirepass: bytes
    save: tuple[SavePoint, ...]
    script_memory_limit: int
    set_max_intset_entries: int
    set_proc_title: bool
    shutdown_on_sigint: tuple[str, ...]
    shutdown_on_sigterm: tuple[str, ...]
    slowlog_log_slower_than: int
    slowlog_max_len: int
    snapshot_history: str
    snapshot_mode: str
    snapshot_writes: str
    stop_writes_on_bgsave_error: bool
    supervised: str
    tcp_backlog: int
    tcp_keepalive: int
    tls_auth_clients: str
    tls_ca_cert_dir: str
    tls_ca_cert_file: str
    tls_cert_file: str
    tls_ciphers: str
    tls_ciphersuites: str
    tls_client_cert_file: str
    tls_client_key_file: str
    tls_client_key_file_pass: str
    tls_cluster: bool
    tls_dh_params_file: str
    tls_key_file: str
    tls_key_file_pass: str
    tls_port: int
    tls_prefer_server_ciphers: bool
    tls_protocols: str
    tls_replication: bool
    tls_session_cache_size: int
    tls_session_cache_timeout: int
    tls_session_caching: bool
    timeout: int
    unixsocket: str
    unixsocketperm: int
    use_exit_on_panic: bool
    watchdog_period: int

    def __init__(self) -> None:
        """Every setting at its default."""
        self.file = ""  # absolute path of the configuration file, if there is one
        self.given: set[str] = set()  # names of the settings that a file or the command line set
        self.users: list[Line] = []  # the directives `user` of the file and the command line
        self.renames: list[Line] = []  # the directives `rename-command`
        self.user_lines: Callable[[], list[str]] = list  # those that CONFIG REWRITE writes
        self._settings = {setting.name: setting for setting in SETTINGS}
        self._names = {name: setting.name for setting in SETTINGS for name in (setting.name, *setting.aliases)}
        self._all_names = sorted(self._names)
        self._shown_names = [name for name in self._all_names if not self._settings[self._names[name]].hidden]
        self._texts: dict[str, tuple[Value, str]] = {}  # by name, a value and how it is shown
        self._refusals: list[str] = []  # lines of files and command line, each with what is wrong with it
        self._on_file: dict[str, Value] = {}  # by name, what the configuration file says
        self._listeners: dict[str, list[Callable[[Value], None]]] = {}
        for setting in SETTINGS:
            setattr(self, setting.attribute, setting.default)
        self.dir = _working_directory()

    @classmethod
    def load(cls, arguments: Sequence[str] = (), standard_input: TextIO | None = None) -> "Config":
        """Settings of redis-server's command line: [file] [-] [--name value ...] [-].

        Options override standard input, which overrides the file, wherever the `-` is. ConfigError has a
        line for each refused directive.
        """
        config = cls()
        rest = list(arguments)
        if rest and not rest[0].startswith("-"):
            config.file = os.path.abspath(rest.pop(0))
            config._apply(config_file.read_file(config.file))
        config._on_file = config._values()
        lines: list[Line] = []
        if "-" in rest[:1] + rest[-1:]:
            del rest[0 if rest[0] == "-" else -1]
            lines += config_file.read_text((standard_input or sys.stdin).read(), "standard input")
        config._apply(lines + _option_lines(rest))
        if config._refusals:
            raise ConfigError("\n".join(config._refusals))
        return config

    def names(self, hidden: bool = False) -> list[str]:
        """Every name that CONFIG GET * shows, aliases too."""
        return self._all_names if hidden else self._shown_names

    def knows(self, name: str) -> bool:
        """Whether there is a setting of this name or alias."""
        return name.lower() in self._names

    def get(self, name: str) -> Value:
        """The typed value of a setting."""
        return getattr(self, self._setting(name).attribute)

    def text(self, name: str) -> str:
        """The value as CONFIG GET shows it."""
        setting = self._settings[self._names[name.lower()]]
        value = getattr(self, setting.attribute)
        kept = self._texts.get(name)
        if kept is None or kept[0] is not value:
            kept = value, setting.kind.show(value)
            if name in self._names:
                self._texts[name] = kept
        return kept[1]

    def on_change(self, name: str, callback: Callable[[Value], None]) -> None:
        """Call back with the new value after CONFIG SET; if that raises ConfigError, nothing changes."""
        self._listeners.setdefault(self._setting(name).name, []).append(callback)

    def set_many(self, pairs: Sequence[tuple[str, str]], local: bool = True) -> None:
        """Change several settings, all or none; ConfigError in the words of redis-server.

        local: the client is on this machine (see enable-protected-configs).
        """
        seen: set[str] = set()
        settings = [self._check_change(name, text, seen, local) for name, text in pairs]
        changes = [
            (name, setting, self._read(name, setting, text))
            for (name, text), setting in zip(pairs, settings, strict=True)
        ]
        self._commit(changes)
        self.given.update(setting.name for setting in settings)

    def cautions(self, names: Iterable[str] | None = None) -> list[str]:
        """Log lines for the named settings (None: all that were given) that are not at their default."""
        chosen = self.given if names is None else {self._setting(name).name for name in names}
        settings = (self._settings[name] for name in sorted(chosen))
        return [f"{s.name} {s.caution}" for s in settings if s.caution and getattr(self, s.attribute) != s.default]

    def rewrite(self, force_all: bool = False) -> None:
        """Update the configuration file, keeping its comments and order; ConfigError. force_all: with every setting."""
        if not self.file:
            raise ConfigError("The server is running without a config file")
        on_file = self._on_file
        try:
            text = self._read_own_file()
            if not text:
                on_file = Config()._values()
            different = {
                s.name: self._file_lines(s) for s in SETTINGS if force_all or self.get(s.name) != on_file[s.name]
            }
            present = self._names_in(text)
            different["user"] = [" ".join(map(config_file.quote, line.split(" "))) for line in self.user_lines()]
            changed = {name: lines for name, lines in different.items() if name in present}
            added = [line for name, lines in different.items() if name not in present for line in lines]
            names = {**self._names, "user": "user"}
            config_file.write_atomically(self.file, config_file.rewrite_text(text, changed, names, added))
        except OSError as error:
            raise ConfigError(f"Rewriting config file: {os.strerror(error.errno or 0)}") from None
        self._on_file = self._values()

    def _values(self) -> dict[str, Value]:
        return {setting.name: getattr(self, setting.attribute) for setting in SETTINGS}

    def _setting(self, name: str) -> Setting:
        return self._settings[self._names[name.lower()]]

    def _apply(self, lines: Iterable[Line]) -> None:
        """Apply the directives of files and command line, in order."""
        for line in lines:
            try:
                self._apply_line(line)
            except ConfigError as error:
                self._refusals.append(str(error))

    def _apply_line(self, line: Line) -> None:
        """Apply one directive."""
        if line.error:
            raise ConfigError(line.error)
        name, *words = line.words
        name = ALIASES.get(name, name)
        if name == "user" and words:
            self.users.append(line)
            return
        if name == "rename-command" and len(words) == 2:
            self.renames.append(line)
            return
        if name in _REFUSED_DIRECTIVES:
            raise ConfigError(f"{shown_line(line)}: {_REFUSED_DIRECTIVES[name]}")
        if name in OTHER_SETTINGS:
            self._check_other(OTHER_SETTINGS[name], words, line)
        elif name in self._names:
            self._apply_setting(name, words, line)
        else:
            raise ConfigError(f"{shown_line(line)}: {self._unknown(name)}")

    def _unknown(self, name: str) -> str:
        """The error text for a name that no release has."""
        close = difflib.get_close_matches(name, [*self._names, *OTHER_SETTINGS, *ALIASES], n=1, cutoff=0.8)
        reason = why_unknown(name) or "Bad directive or wrong number of arguments"
        return f"{reason}; did you mean '{close[0]}'?" if close else reason

    @staticmethod
    def _check_other(setting: Setting, words: list[str], line: Line) -> None:
        """Check a setting of another release: it changes nothing, but minikv may lack what it asks for."""
        try:
            setting.read(words, setting.default)
        except ValueError as error:
            raise ConfigError(f"{shown_line(line)}: {error}") from None

    def _apply_setting(self, name: str, words: list[str], line: Line) -> None:
        setting = self._setting(name)
        if setting.name == "replicaof" and [word.lower() for word in words] == ["no", "one"]:
            words = [""]
        if setting.name == "save" and not words:
            words = [""]
        try:
            value = setting.read(words, self.get(name))
        except ValueError as error:
            raise ConfigError(f"{shown_line(line)}: {error}") from None
        if setting.name == "save" and value and "save" in self.given:
            value = self.save + value
        setattr(self, setting.attribute, value)
        self.given.add(setting.name)

    def _check_change(self, name: str, text: str, seen: set[str], local: bool) -> Setting:
        """The setting, if CONFIG SET may change it."""
        if not self.knows(name):
            shown = name.partition("\0")[0]  # as C prints it
            raise ConfigError(f"Unknown option or number of arguments for CONFIG SET - '{shown}'")
        setting = self._setting(name)
        if not setting.mutable and not (setting.name in _UNKNOWN_TO_REDIS and text == self.text(name)):
            raise _set_failed(name, "can't set immutable config")
        if setting.protected and not self._allows_protected(local):
            raise _set_failed(name, "can't set protected config")
        if name.lower() in seen:
            raise _set_failed(name, "duplicate parameter")
        seen.add(name.lower())
        return setting

    def _allows_protected(self, local: bool) -> bool:
        return self.enable_protected_configs == "yes" or (self.enable_protected_configs == "local" and local)

    def _read(self, name: str, setting: Setting, text: str) -> Value:
        try:
            return setting.read([text], self.get(name))
        except ValueError as error:
            raise _set_failed(name, str(error)) from None

    def _commit(self, changes: list[tuple[str, Setting, Value]]) -> None:
        """Set all values, then call the listeners; if one refuses, restore everything and call them again."""
        before = [(setting, getattr(self, setting.attribute)) for _, setting, _ in changes]
        for _, setting, value in changes:
            setattr(self, setting.attribute, value)
        told: list[Setting] = []
        for (name, setting, value), (_, old) in zip(changes, before, strict=True):
            if value == old and not setting.renewable:
                continue
            told.append(setting)
            try:
                self._tell(setting)
            except Exception as error:
                for earlier, value_before in before:
                    setattr(self, earlier.attribute, value_before)
                for earlier in told:
                    with contextlib.suppress(ConfigError):
                        self._tell(earlier)
                if isinstance(error, ConfigError):
                    raise _set_failed(name, str(error)) from None
                raise

    def _tell(self, setting: Setting) -> None:
        for callback in self._listeners.get(setting.name, ()):
            callback(getattr(self, setting.attribute))

    def _read_own_file(self) -> str:
        try:
            with open(self.file, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _names_in(self, text: str) -> set[str]:
        """The settings in the text itself, not in included files."""
        words = (config_file.split_words(line) for line in text.split("\n") if not line.lstrip().startswith("#"))
        names = {**self._names, "user": "user"}
        return {names[w[0].lower()] for w in words if w and w[0].lower() in names}

    def _file_lines(self, setting: Setting) -> list[str]:
        lines = setting.kind.lines(getattr(self, setting.attribute))
        return [" ".join([setting.name, *map(config_file.quote, words)]) for words in lines]


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise ConfigError(f"the working directory: {os.strerror(error.errno or 0)}") from None


def _option_lines(arguments: Sequence[str]) -> list[Line]:
    """`--name value ...` as directives; a name and its values may be one argument, like a line of a file.

    The argument after a lone name is its value even if it starts with --, except after --save. Words
    before the first -- are a directive, too.
    """
    lines: list[Line] = []
    expects_value = False
    for word in arguments:
        is_name = word.startswith("--") and len(word) > 2
        if is_name and (not expects_value or lines[-1].words == ["save"]):
            name, *values = _split_option(word)
            lines.append(Line([name.lower(), *values], f"--{name}"))
            expects_value = not values
        elif lines:
            lines[-1].words.append(word)
            expects_value = False
        elif word and not word.startswith("-"):
            lines.append(Line([word.lower()], f"--{word}"))
        else:
            raise ConfigError(f"'{word}' is not an option; settings are given as --name value")
    return lines


def _split_option(word: str) -> list[str]:
    words = config_file.split_words(word[2:])
    if not words:
        raise ConfigError(f"'{word}' is not an option: Unbalanced quotes or no name")
    return words


def shown_line(line: Line) -> str:
    """The directive with its location, on one line."""
    if line.place.startswith("--"):  # an option: in the words of Redis, which quotes all of its values
        return f"'{' '.join([line.place[2:], *map(config_file.quoted, line.words[1:])])}'"
    words = " ".join(map(config_file.quote, line.words[1:]))
    return f"{line.place}: {line.words[0]} {words}".rstrip()


def _set_failed(name: str, reason: str) -> ConfigError:
    return ConfigError(f"CONFIG SET failed (possibly related to argument '{name}') - {reason}")

"""Every setting that minikv knows: its name, its kind of value, its default, and whether it changes anything here.

A kind reads the words of a directive (`save 900 1 300 10` has four), rejects wrong ones with Redis's
error texts, and shows a value as CONFIG GET does. Names, defaults and limits are those of
redis-server 7.0. Settings without effect in minikv are listed, too, because tools and configuration
files use them.

Values are plain Python: int, bool, str, bytes (the password), tuples. Text that is not UTF-8 is kept
by surrogateescape.
"""

import os
import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
ULONG_MAX = 2**64 - 1

Value = Any  # of a kind; Config's annotations give mypy the type


class SavePoint(NamedTuple):
    """Save after `seconds` if at least `changes` were made."""

    seconds: int
    changes: int


class OutputLimit(NamedTuple):
    """When a slow reader is closed: at hard_bytes, or above soft_bytes for soft_seconds; 0 is no limit."""

    hard_bytes: int
    soft_bytes: int
    soft_seconds: int


class OutputLimits(NamedTuple):
    """The output limit of each class of client."""

    normal: OutputLimit
    replica: OutputLimit
    pubsub: OutputLimit


class Kind:
    """How one kind of value is read and shown. `many` says that a directive may have several words."""

    many = False

    def read(self, words: Sequence[str], current: Value) -> Value:
        """Value of the words; ValueError with Redis's text. `current` is the value that a partial directive adds to."""
        if len(words) != 1:
            raise ValueError("wrong number of arguments")
        return self.read_word(words[0])

    def read_word(self, word: str) -> Value:
        raise NotImplementedError

    def show(self, value: Value) -> str:
        """The value as CONFIG GET shows it."""
        return str(value)

    def lines(self, value: Value) -> list[list[str]]:
        """The value as the words of each line of a configuration file."""
        return [[self.show(value)]]


class YesNo(Kind):
    def read_word(self, word: str) -> bool:
        if word.lower() not in ("yes", "no"):
            raise ValueError("argument must be 'yes' or 'no'")
        return word.lower() == "yes"

    def show(self, value: bool) -> str:
        return "yes" if value else "no"


class Choice(Kind):
    """One of several words; `same` maps a synonym to the word that is shown for it."""

    def __init__(self, *choices: str, **same: str) -> None:
        self.choices = choices
        self.same = same

    def read_word(self, word: str) -> str:
        if word.lower() not in self.choices:
            raise ValueError(f"argument(s) must be one of the following: {', '.join(self.choices)}")
        return self.same.get(word.lower(), word.lower())


class ShutdownOptions(Kind):
    """Options of the shutdown that a signal starts, as a tuple in the order below; none is `default`."""

    many = True
    options = ("default", "save", "nosave", "now", "force")

    def read(self, words: Sequence[str], current: Value) -> tuple[str, ...]:
        chosen = {word.lower() for word in words}
        if not chosen or not chosen.issubset(self.options):
            raise ValueError(f"argument(s) must be one of the following: {', '.join(self.options)}")
        if {"save", "nosave"} <= chosen:
            raise ValueError("shutdown options SAVE and NOSAVE can't be used simultaneously")
        return tuple(option for option in self.options[1:] if option in chosen)

    def show(self, value: tuple[str, ...]) -> str:
        return " ".join(value) or "default"

    def lines(self, value: tuple[str, ...]) -> list[list[str]]:
        return [list(value) or ["default"]]


class Integer(Kind):
    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def read_word(self, word: str) -> int:
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", word) or not -LONG_MAX - 1 <= int(word) <= LONG_MAX:
            raise ValueError("argument couldn't be parsed into an integer")
        return self.check(int(word))

    def check(self, number: int) -> int:
        if not self.low <= number <= self.high:
            raise ValueError(f"argument must be between {self.low} and {self.high} inclusive")
        return number


class Hertz(Integer):
    """Any number, clamped to 1 to 500 as in Redis."""

    def __init__(self) -> None:
        super().__init__(0, INT_MAX)

    def check(self, number: int) -> int:
        return min(max(super().check(number), 1), 500)


class Memory(Integer):
    """Bytes, with a unit or without: 100, 1k (1000), 1kb (1024), 1m, 1mb, 1g, 1gb. No digits at all is 0."""

    def __init__(self, low: int = 0, high: int = LONG_MAX) -> None:
        super().__init__(low, high)

    def read_word(self, word: str) -> int:
        number = memory_bytes(word)
        if number is None:
            raise ValueError("argument must be a memory value")
        return self.check(number)

    def lines(self, value: int) -> list[list[str]]:
        return [[memory_text(value)]]


class BacklogSize(Memory):
    """Smaller values are raised to 16 KiB, as in Redis."""

    def __init__(self) -> None:
        super().__init__(1)

    def check(self, number: int) -> int:
        return max(super().check(number), 16 << 10)


class MemoryOrPercent(Kind):
    """Bytes as above, or `5%`, which is stored as -5."""

    def read_word(self, word: str) -> int:
        if re.fullmatch(r"[0-9]{1,18}%", word):
            if int(word[:-1]) > 100:
                raise ValueError("percentage argument must be less or equal to 100")
            return -int(word[:-1])
        number = memory_bytes(word)
        if number is None:
            raise ValueError("argument must be a memory or percent value")
        return number

    def show(self, value: int) -> str:
        return f"{-value}%" if value < 0 else str(value)

    def lines(self, value: int) -> list[list[str]]:
        return [[self.show(value) if value < 0 else memory_text(value)]]


class Octal(Kind):
    def read_word(self, word: str) -> int:
        if not re.fullmatch(r"[0-7]{1,20}", word):
            raise ValueError("argument couldn't be parsed as an octal number")
        if int(word, 8) > 0o777:
            raise ValueError("argument must be between 0 and 777 inclusive")
        return int(word, 8)

    def show(self, value: int) -> str:
        return f"{value:o}"


class Text(Kind):
    def read_word(self, word: str) -> str:
        if "\0" in word:
            raise ValueError("argument must not hold a zero byte")
        return word


class Secret(Kind):
    """Text that is compared with bytes from the network."""

    def read_word(self, word: str) -> bytes:
        return word.encode("utf-8", "surrogateescape")

    def show(self, value: bytes) -> str:
        return value.decode("utf-8", "surrogateescape")


class FileName(Text):
    """The name of a file inside `dir`."""

    def read_word(self, word: str) -> str:
        if "/" in word:
            raise ValueError("dbfilename can't be a path, just a filename")
        return super().read_word(word)


class HistoryDirectory(Text):
    """A directory, which need not be there, relative to `dir`."""

    def read_word(self, word: str) -> str:
        if not word:
            raise ValueError("argument must not be empty")
        return super().read_word(word)


class KeepRules(Text):
    """Which points of a history to keep: `hourly 24 daily 30`; nothing keeps all."""

    def read_word(self, word: str) -> str:
        if word.strip():
            keep_rules(word)
        return " ".join(word.split())


def keep_rules(text: str) -> list[tuple[str, int]]:
    """Pairs of a unit, or `last`, and a number. ValueError."""
    words = text.split()
    rules = list(zip(words[::2], words[1::2], strict=False))
    if (
        not words
        or len(words) % 2
        or any(unit not in KEEP_UNITS or not re.fullmatch("[0-9]{1,9}", count) for unit, count in rules)
    ):
        raise ValueError(f"pairs of one of {', '.join(KEEP_UNITS)}, and a number")
    return [(unit, int(count)) for unit, count in rules]


class Directory(Text):
    """An existing directory, kept as an absolute path."""

    def read_word(self, word: str) -> str:
        path = super().read_word(word)
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise ValueError(os.strerror(error.errno or 0)) from None
        return os.path.abspath(path)


class HostName(Text):
    def read_word(self, word: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9.-]*", word):
            raise ValueError("Hostnames may only contain alphanumeric characters, hyphens or dots")
        return super().read_word(word)


class TitleTemplate(Text):
    variables = ("title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file")

    def read_word(self, word: str) -> str:
        names = re.findall(r"\{([^}]*)\}", word)
        if not word.strip() or word.count("{") != len(names) or any(name not in self.variables for name in names):
            raise ValueError("template format is invalid or contains unknown variables")
        return super().read_word(word)


class Words(Kind):
    """A tuple of words; a directive with one empty word gives an empty tuple."""

    many = True

    def read(self, words: Sequence[str], current: Value) -> tuple[Any, ...]:
        return self.check(() if list(words) == [""] else tuple(words))

    def check(self, words: tuple[str, ...]) -> tuple[Any, ...]:
        return words

    def show(self, value: tuple[Any, ...]) -> str:
        return " ".join(str(word) for word in value)

    def lines(self, value: tuple[Any, ...]) -> list[list[str]]:
        return [self.show(value).split() or [""]]


class Master(Words):
    """Host and port of a server to copy."""

    def check(self, words: tuple[str, ...]) -> tuple[Any, ...]:
        if words and len(words) != 2:
            raise ValueError("wrong number of arguments")
        if words and not (words[1].isascii() and words[1].isdigit() and int(words[1]) <= 65535):
            raise ValueError("Invalid master port")
        return words


class Addresses(Words):
    """Addresses to listen on; a leading - makes one optional, * means all."""

    def check(self, words: tuple[str, ...]) -> tuple[str, ...]:
        if len(words) > 16:
            raise ValueError("Too many bind addresses specified.")
        return words


class OomScores(Words):
    def check(self, words: tuple[str, ...]) -> tuple[int, ...]:
        if len(words) != 3:
            raise ValueError("wrong number of arguments")
        if not all(re.fullmatch(r"-?[0-9]{1,4}", word) and abs(int(word)) <= 2000 for word in words):
            raise ValueError("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        return tuple(int(word) for word in words)


class Percentiles(Words):
    def check(self, words: tuple[str, ...]) -> tuple[float, ...]:
        if not all(re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?(e[0-9]{1,3})?", word) for word in words):
            raise ValueError("Invalid latency-tracking-info-percentiles parameters")
        numbers = tuple(float(word) for word in words)
        if not all(0.0 <= number <= 100.0 for number in numbers):
            raise ValueError("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
        return numbers

    def show(self, value: tuple[float, ...]) -> str:
        return " ".join(f"{number:.17g}" if number == int(number) else repr(number) for number in value)


class SavePoints(Words):
    """Pairs of seconds and changes. In a file each directive adds a pair; an empty one clears them."""

    def check(self, words: tuple[str, ...]) -> tuple[SavePoint, ...]:
        numbers = [int(word) if re.fullmatch(r"[0-9]{1,18}", word) else -1 for word in words]
        points = tuple(SavePoint(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=False))
        if len(words) % 2 or any(point.seconds < 1 or point.changes < 0 for point in points):
            raise ValueError("Invalid save parameters")
        return points

    def show(self, value: tuple[SavePoint, ...]) -> str:
        return " ".join(f"{point.seconds} {point.changes}" for point in value)

    def lines(self, value: tuple[SavePoint, ...]) -> list[list[str]]:
        return [[str(point.seconds), str(point.changes)] for point in value] or [[""]]


class BufferLimits(Kind):
    """Groups of class, hard limit, soft limit, soft seconds; classes that are not named keep their limits."""

    many = True
    classes: ClassVar = {"normal": 0, "replica": 1, "slave": 1, "pubsub": 2}

    def read(self, words: Sequence[str], current: OutputLimits) -> OutputLimits:
        if list(words) == [""]:
            return current
        if len(words) % 4 or not words:
            raise ValueError("Wrong number of arguments in buffer limit configuration.")
        limits = list(current)
        for name, hard, soft, seconds in zip(*(iter(words),) * 4, strict=True):
            if name.lower() not in self.classes:
                raise ValueError("Invalid client class specified in buffer limit configuration.")
            hard_bytes, soft_bytes = memory_bytes(hard), memory_bytes(soft)
            in_range = re.fullmatch(r"[0-9]{1,18}", seconds) and int(seconds) <= INT_MAX
            if hard_bytes is None or soft_bytes is None or not in_range:
                raise ValueError("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limits[self.classes[name.lower()]] = OutputLimit(hard_bytes, soft_bytes, int(seconds))
        return OutputLimits(*limits)

    def show(self, value: OutputLimits) -> str:
        named = zip(("normal", "slave", "pubsub"), value, strict=True)
        return " ".join(f"{name} {limit[0]} {limit[1]} {limit[2]}" for name, limit in named)

    def lines(self, value: OutputLimits) -> list[list[str]]:
        named = zip(("normal", "replica", "pubsub"), value, strict=True)
        return [[name, memory_text(limit[0]), memory_text(limit[1]), str(limit[2])] for name, limit in named]


class EventClasses(Kind):
    """Classes of keyspace events, a letter each; `A` stands for those of `members`, and hides an `n` as in Redis."""

    members = "g$lshzxetd"
    letters = "g$lshzxetdnKEm"

    def read_word(self, word: str) -> str:
        if not set(word) <= set(self.letters + "A"):
            raise ValueError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
        chosen = set(word) | (set(self.members) if "A" in word else set())
        return "".join(letter for letter in self.letters if letter in chosen)

    def show(self, value: str) -> str:
        if set(self.members) <= set(value):
            return "A" + "".join(letter for letter in "KEm" if letter in value)
        return value


def memory_bytes(text: str) -> int | None:
    """Bytes of a memory value like `1gb`, at most 2^64 - 1; None if it is not one."""
    match = re.fullmatch(r"([0-9]*)(b|kb?|mb?|gb?)?", text, re.IGNORECASE)
    if match is None or len(text) > 128:
        return None
    unit = (match[2] or "b").lower()
    base = 1024 if len(unit) == 2 else 1000
    factor: int = base ** "bkmg".index(unit[0])
    return min(int(match[1] or 0) * factor, ULONG_MAX)


def memory_text(number: int) -> str:
    """The number with the largest unit that divides it, for a configuration file."""
    for unit, size in (("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)):
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


class Setting:
    """One line of the table.

    mutable: CONFIG SET may change it. protected: only if enable-protected-configs allows it.
    effect: it changes something in minikv. hidden: CONFIG GET shows it only by its exact name.
    refusal: why any value but the default is refused. caution: logged for any value but the default.
    renewable: it names a file, which CONFIG SET reads again even if the name is the same.
    """

    __slots__ = (
        "aliases",
        "attribute",
        "caution",
        "default",
        "effect",
        "hidden",
        "kind",
        "mutable",
        "name",
        "protected",
        "refusal",
        "renewable",
    )

    def __init__(
        self,
        name: str,
        kind: Kind,
        default: Value,
        *aliases: str,
        mutable: bool = True,
        protected: bool = False,
        effect: bool = True,
        hidden: bool = False,
        refusal: str = "",
        renewable: bool = False,
        caution: str = "",
    ) -> None:
        self.name = name
        self.attribute = name.replace("-", "_")
        self.kind = kind
        self.default = default
        self.aliases = aliases
        self.mutable = mutable
        self.protected = protected
        self.effect = effect
        self.hidden = hidden
        self.refusal = refusal
        self.renewable = renewable
        self.caution = caution if effect else "is accepted and has no effect in minikv"

    def read(self, words: Sequence[str], current: Value) -> Value:
        """The value of the words; ValueError if they are wrong or ask for what minikv lacks."""
        if self.kind.many and len(words) == 1 and words[0]:
            words = words[0].split(" ")
        value = self.kind.read(words, current)
        if self.refusal and value != self.default:
            raise ValueError(self.refusal)
        return value


def _unused(
    name: str, kind: Kind, default: Value, *aliases: str, mutable: bool = True, hidden: bool = False
) -> Setting:
    return Setting(name, kind, default, *aliases, mutable=mutable, hidden=hidden, effect=False)


def _refused(name: str, kind: Kind, default: Value, refusal: str, *aliases: str, mutable: bool = False) -> Setting:
    return Setting(name, kind, default, *aliases, mutable=mutable, effect=False, refusal=refusal)


YES_NO = YesNo()
TEXT = Text()
COUNT = Integer(0, LONG_MAX)
NUMBER = Integer(0, INT_MAX)
FROM_ONE = Integer(1, INT_MAX)
DATABASES_MAX = 1 << 14  # each takes memory and time in every expiry cycle, even when it is empty
PORT = Integer(0, 65535)
MEMORY = Memory()
SIGNED = Integer(-INT_MAX - 1, INT_MAX)
DANGEROUS = Choice("no", "yes", "local")

KEEP_UNITS = ("last", "secondly", "minutely", "hourly", "daily", "weekly", "monthly", "yearly")
DEFAULT_KEEP = "last 10000 minutely 1440 hourly 720 daily 365 yearly 100"

NO_APPEND_ONLY_FILE = "minikv has no append only file, it persists by RDB snapshots"
NO_CLUSTER = "minikv has no cluster mode"
NO_REPLICATION = "minikv does not replicate"

DEFAULT_OUTPUT_LIMITS = OutputLimits(
    normal=OutputLimit(0, 0, 0),
    replica=OutputLimit(256 << 20, 64 << 20, 60),
    pubsub=OutputLimit(32 << 20, 8 << 20, 60),
)

SETTINGS = (
    # network
    Setting("bind", Addresses(), ("127.0.0.1", "-::1")),
    Setting("port", PORT, 6379),
    Setting("tcp-backlog", NUMBER, 511, mutable=False),
    Setting("tcp-keepalive", NUMBER, 300),
    Setting("timeout", NUMBER, 0),
    Setting("unixsocket", TEXT, "", mutable=False),
    Setting("unixsocketperm", Octal(), 0, mutable=False),
    Setting("protected-mode", YES_NO, True),
    Setting("maxclients", Integer(1, 2**32 - 1), 10000),
    Setting("requirepass", Secret(), b""),
    Setting("proto-max-bulk-len", Memory(1 << 20), 512 << 20),
    Setting("client-query-buffer-limit", Memory(1 << 20), 1 << 30),
    Setting("client-output-buffer-limit", BufferLimits(), DEFAULT_OUTPUT_LIMITS),
    Setting("maxmemory-clients", MemoryOrPercent(), 0),
    _unused("bind-source-addr", TEXT, ""),
    _unused("socket-mark-id", Integer(0, 2**32 - 1), 0, mutable=False),
    _unused("io-threads", Integer(1, 128), 1, mutable=False),
    _unused("io-threads-do-reads", YES_NO, False, mutable=False),
    # process
    Setting("daemonize", YES_NO, False, mutable=False),
    Setting("supervised", Choice("upstart", "systemd", "auto", "no"), "no", mutable=False),
    Setting("pidfile", TEXT, "", mutable=False),
    Setting("loglevel", Choice("debug", "verbose", "notice", "warning"), "notice"),
    Setting("logfile", TEXT, "", mutable=False),
    Setting("hz", Hertz(), 10),
    Setting("shutdown-on-sigint", ShutdownOptions(), ()),
    Setting("shutdown-on-sigterm", ShutdownOptions(), ()),
    Setting("enable-debug-command", DANGEROUS, "no", mutable=False),
    Setting("enable-protected-configs", DANGEROUS, "no", mutable=False),
    Setting("enable-module-command", DANGEROUS, "no", mutable=False),
    _unused("shutdown-timeout", NUMBER, 10),
    _unused("dynamic-hz", YES_NO, True),
    Setting("always-show-logo", YES_NO, False, mutable=False),
    Setting("set-proc-title", YES_NO, True, mutable=False),
    _unused("proc-title-template", TitleTemplate(), "{title} {listen-addr} {server-mode}"),
    Setting("crash-log-enabled", YES_NO, True),
    _unused("crash-memcheck-enabled", YES_NO, True),
    Setting("use-exit-on-panic", YES_NO, False, hidden=True),
    Setting("watchdog-period", NUMBER, 0, hidden=True),
    _unused("ignore-warnings", TEXT, ""),
    _unused("disable-thp", YES_NO, True, mutable=False),
    Setting("oom-score-adj", Choice("no", "yes", "relative", "absolute", relative="yes"), "no"),
    Setting("oom-score-adj-values", OomScores(), (0, 200, 800)),
    _unused("server_cpulist", TEXT, "", mutable=False),
    _unused("bio_cpulist", TEXT, "", mutable=False),
    _unused("bgsave_cpulist", TEXT, "", mutable=False),
    _unused("aof_rewrite_cpulist", TEXT, "", mutable=False),
    _unused("jemalloc-bg-thread", YES_NO, True),
    _unused("syslog-enabled", YES_NO, False, mutable=False),
    _unused("syslog-ident", TEXT, "redis", mutable=False),
    _unused("syslog-facility", Choice("user", *(f"local{n}" for n in range(8))), "local0", mutable=False),
    # data
    Setting("databases", Integer(1, DATABASES_MAX), 16, mutable=False),
    Setting("maxmemory", Memory(0, ULONG_MAX), 0),
    Setting(
        "maxmemory-policy",
        Choice(
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "noeviction",
        ),
        "noeviction",
    ),
    Setting("maxmemory-samples", FROM_ONE, 5),
    Setting("lfu-log-factor", NUMBER, 10),
    Setting("lfu-decay-time", NUMBER, 1),
    Setting("hash-max-listpack-entries", COUNT, 512, "hash-max-ziplist-entries"),
    Setting("hash-max-listpack-value", MEMORY, 64, "hash-max-ziplist-value"),
    _unused("list-max-listpack-size", SIGNED, -2, "list-max-ziplist-size"),
    Setting("set-max-intset-entries", COUNT, 512),
    Setting("zset-max-listpack-entries", COUNT, 128, "zset-max-ziplist-entries"),
    Setting("zset-max-listpack-value", MEMORY, 64, "zset-max-ziplist-value"),
    Setting("stream-node-max-bytes", MEMORY, 4096),
    Setting("stream-node-max-entries", COUNT, 100),
    Setting("hll-sparse-max-bytes", MEMORY, 3000),
    _unused("list-compress-depth", NUMBER, 0),
    Setting("maxmemory-eviction-tenacity", Integer(0, 100), 10),
    Setting("lazyfree-lazy-eviction", YES_NO, False),
    Setting("lazyfree-lazy-expire", YES_NO, False),
    Setting("lazyfree-lazy-server-del", YES_NO, False),
    Setting("lazyfree-lazy-user-del", YES_NO, False),
    Setting("lazyfree-lazy-user-flush", YES_NO, False),
    _unused("active-expire-effort", Integer(1, 10), 1),
    _unused("activerehashing", YES_NO, True),
    _unused("activedefrag", YES_NO, False),
    _unused("active-defrag-cycle-max", Integer(1, 99), 25),
    _unused("active-defrag-cycle-min", Integer(1, 99), 1),
    _unused("active-defrag-ignore-bytes", Memory(1), 100 << 20),
    _unused("active-defrag-max-scan-fields", Integer(1, LONG_MAX), 1000),
    _unused("active-defrag-threshold-lower", Integer(0, 1000), 10),
    _unused("active-defrag-threshold-upper", Integer(0, 1000), 100),
    Setting("notify-keyspace-events", EventClasses(), ""),
    Setting("tracking-table-max-keys", COUNT, 1000000),
    # the memory and the snapshots of minikv itself
    Setting("arena-size", MEMORY, 0, mutable=False),
    Setting("arena-huge-pages", Choice("auto", "yes", "no"), "auto", mutable=False),
    Setting("snapshot-writes", Choice("relocate", "in-place"), "relocate"),
    Setting("bgsave-fork", Choice("thread", "loop"), "thread", mutable=False),
    Setting("bgsave-cpu-share", Integer(0, 100), 25),
    Setting("bgsave-preflight", Choice("warn", "refuse", "off"), "warn"),
    Setting("bgsave-stall-timeout", NUMBER, 60),
    Setting("rdb-verify", YES_NO, False),
    Setting("rdb-share-blocks", Choice("auto", "no"), "auto"),
    Setting("snapshot-mode", Choice("full", "layers"), "full"),
    Setting("snapshot-history", HistoryDirectory(), "history", mutable=False),
    Setting("history-base-percentage", NUMBER, 150),
    Setting("history-keep", KeepRules(), DEFAULT_KEEP),
    Setting("history-max-bytes", MEMORY, 0),
    Setting("history-damaged", Choice("refuse", "previous"), "refuse"),
    # snapshots
    Setting("save", SavePoints(), (SavePoint(3600, 1), SavePoint(300, 100), SavePoint(60, 10000))),
    Setting("dir", Directory(), "", protected=True),
    Setting("dbfilename", FileName(), "dump.rdb", protected=True),
    Setting("rdbcompression", YES_NO, True),
    Setting("rdbchecksum", YES_NO, True, mutable=False),
    Setting("stop-writes-on-bgsave-error", YES_NO, True),
    Setting("rdb-save-incremental-fsync", YES_NO, True),
    Setting("rdb-key-save-delay", SIGNED, 0, hidden=True),
    Setting("key-load-delay", SIGNED, 0, hidden=True),
    _unused("loading-process-events-interval-bytes", Integer(1024, INT_MAX), 2 << 20, hidden=True),
    _unused("rdb-del-sync-files", YES_NO, False),
    _unused("sanitize-dump-payload", Choice("no", "yes", "clients"), "no"),
    # append only file
    _refused("appendonly", YES_NO, False, NO_APPEND_ONLY_FILE, mutable=True),
    _unused("appendfilename", TEXT, "appendonly.aof", mutable=False),
    _unused("appenddirname", TEXT, "appendonlydir", mutable=False),
    _unused("appendfsync", Choice("everysec", "always", "no"), "everysec"),
    _unused("no-appendfsync-on-rewrite", YES_NO, False),
    _unused("auto-aof-rewrite-min-size", MEMORY, 64 << 20),
    _unused("auto-aof-rewrite-percentage", NUMBER, 100),
    _unused("aof-disable-auto-gc", YES_NO, False),
    _unused("aof-load-truncated", YES_NO, True),
    _unused("aof-rewrite-incremental-fsync", YES_NO, True),
    _unused("aof-timestamp-enabled", YES_NO, False),
    _unused("aof-use-rdb-preamble", YES_NO, True),
    # observation
    Setting("slowlog-log-slower-than", Integer(-1, LONG_MAX), 10000),
    Setting("slowlog-max-len", COUNT, 128),
    Setting("latency-monitor-threshold", COUNT, 0),
    Setting("latency-tracking", YES_NO, True),
    Setting("latency-tracking-info-percentiles", Percentiles(), (50.0, 99.0, 99.9)),
    # access and scripts
    Setting("aclfile", TEXT, "", mutable=False),
    Setting("acllog-max-len", COUNT, 128),
    Setting("acl-pubsub-default", Choice("allchannels", "resetchannels"), "resetchannels"),
    Setting("busy-reply-threshold", COUNT, 5000, "lua-time-limit"),
    Setting("script-memory-limit", Memory(1 << 22), 1 << 30, mutable=False),
    Setting("lua-enable-deprecated-api", YES_NO, False, mutable=False, hidden=True),
    # replication
    _refused("replicaof", Master(), (), NO_REPLICATION, "slaveof"),
    _unused("masterauth", TEXT, ""),
    _unused("masteruser", TEXT, ""),
    _unused("min-replicas-max-lag", NUMBER, 10, "min-slaves-max-lag"),
    _unused("min-replicas-to-write", NUMBER, 0, "min-slaves-to-write"),
    _unused("propagation-error-behavior", Choice("ignore", "panic", "panic-on-replicas"), "ignore"),
    _unused("repl-backlog-size", BacklogSize(), 1 << 20),
    _unused("repl-backlog-ttl", COUNT, 3600),
    _unused("repl-disable-tcp-nodelay", YES_NO, False),
    _unused("repl-diskless-load", Choice("disabled", "on-empty-db", "swapdb"), "disabled"),
    Setting("repl-diskless-sync", YES_NO, True),
    Setting("repl-diskless-sync-delay", NUMBER, 0),
    Setting("repl-diskless-sync-max-replicas", NUMBER, 0),
    _unused("repl-ping-replica-period", FROM_ONE, 10, "repl-ping-slave-period"),
    Setting("repl-timeout", FROM_ONE, 60),
    _unused("replica-announce-ip", TEXT, "", "slave-announce-ip"),
    _unused("replica-announce-port", PORT, 0, "slave-announce-port"),
    _unused("replica-announced", YES_NO, True),
    _unused("replica-ignore-disk-write-errors", YES_NO, False),
    _unused("replica-ignore-maxmemory", YES_NO, True, "slave-ignore-maxmemory"),
    _unused("replica-lazy-flush", YES_NO, False, "slave-lazy-flush"),
    _unused("replica-priority", NUMBER, 100, "slave-priority"),
    _unused("replica-read-only", YES_NO, True, "slave-read-only"),
    _unused("replica-serve-stale-data", YES_NO, True, "slave-serve-stale-data"),
    # cluster
    _refused("cluster-enabled", YES_NO, False, NO_CLUSTER),
    _unused("cluster-allow-pubsubshard-when-down", YES_NO, True),
    _unused("cluster-allow-reads-when-down", YES_NO, False),
    _unused("cluster-allow-replica-migration", YES_NO, True),
    _unused("cluster-announce-bus-port", PORT, 0),
    _unused("cluster-announce-hostname", HostName(), ""),
    _unused("cluster-announce-ip", TEXT, ""),
    _unused("cluster-announce-port", PORT, 0),
    _unused("cluster-announce-tls-port", PORT, 0),
    _unused("cluster-config-file", TEXT, "nodes.conf", mutable=False),
    _unused("cluster-link-sendbuf-limit", Memory(0, ULONG_MAX), 0),
    _unused("cluster-migration-barrier", NUMBER, 1),
    _unused("cluster-node-timeout", COUNT, 15000),
    _unused("cluster-port", PORT, 0, mutable=False),
    _unused("cluster-preferred-endpoint-type", Choice("ip", "hostname", "unknown-endpoint"), "ip"),
    _unused("cluster-replica-no-failover", YES_NO, False, "cluster-slave-no-failover"),
    _unused("cluster-replica-validity-factor", NUMBER, 10, "cluster-slave-validity-factor"),
    _unused("cluster-require-full-coverage", YES_NO, True),
    # TLS
    Setting("tls-port", PORT, 0),
    Setting("tls-auth-clients", Choice("no", "yes", "optional"), "yes"),
    Setting("tls-ca-cert-dir", TEXT, "", renewable=True),
    Setting("tls-ca-cert-file", TEXT, "", renewable=True),
    Setting("tls-cert-file", TEXT, "", renewable=True),
    Setting("tls-ciphers", TEXT, ""),
    Setting("tls-ciphersuites", TEXT, ""),
    Setting("tls-client-cert-file", TEXT, "", renewable=True),
    Setting("tls-client-key-file", TEXT, "", renewable=True),
    Setting("tls-client-key-file-pass", TEXT, ""),
    Setting("tls-cluster", YES_NO, False),
    Setting("tls-dh-params-file", TEXT, "", renewable=True),
    Setting("tls-key-file", TEXT, "", renewable=True),
    Setting("tls-key-file-pass", TEXT, ""),
    Setting("tls-prefer-server-ciphers", YES_NO, False),
    Setting("tls-protocols", TEXT, ""),
    Setting("tls-replication", YES_NO, False),
    Setting("tls-session-cache-size", NUMBER, 20480),
    Setting("tls-session-cache-timeout", NUMBER, 300),
    Setting("tls-session-caching", YES_NO, True),
)

"""Settings: the table, the command line, CONFIG SET's rules, CONFIG REWRITE's file."""

import io
import os
import typing
from pathlib import Path

import pytest

from minikv.config import Config
from minikv.errors import ConfigError
from minikv.settings import SETTINGS, OutputLimit, OutputLimits, SavePoint, memory_bytes, memory_text


def set_(config: Config, *words: str) -> None:
    config.set_many(list(zip(words[::2], words[1::2], strict=True)))


def error_of(config: Config, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        set_(config, *words)
    return str(caught.value)


def load_error(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.load(arguments)
    return str(caught.value)


def failed(name: str, reason: str) -> str:
    return f"CONFIG SET failed (possibly related to argument '{name}') - {reason}"


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "redis.conf"


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_default_is_read_back_from_what_is_shown_and_from_what_is_written(setting: typing.Any) -> None:
    if setting.name == "dir":
        return
    assert setting.read([setting.kind.show(setting.default)], setting.default) == setting.default
    value = setting.default
    for words in setting.kind.lines(setting.default):
        value = setting.read(words, value)
        if setting.name == "save":
            assert value == (SavePoint(*map(int, words)),)
            value = setting.default
    assert value == setting.default


def test_names_and_attributes_are_unique() -> None:
    names = [name for setting in SETTINGS for name in (setting.name, *setting.aliases)]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)


def test_annotated_attributes_are_the_settings_that_have_an_effect() -> None:
    annotated = set(typing.get_type_hints(Config))
    assert annotated == {setting.attribute for setting in SETTINGS if setting.effect}


def test_defaults() -> None:
    config = Config()
    assert (config.port, config.bind, config.databases) == (6379, ("127.0.0.1", "-::1"), 16)
    assert config.save == (SavePoint(3600, 1), SavePoint(300, 100), SavePoint(60, 10000))
    assert config.client_output_buffer_limit.replica == OutputLimit(268435456, 67108864, 60)
    assert (config.dbfilename, config.maxclients, config.requirepass) == ("dump.rdb", 10000, b"")
    assert (config.snapshot_writes, config.arena_huge_pages, config.arena_size) == ("relocate", "auto", 0)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100", 100),
        ("1b", 1),
        ("1k", 1000),
        ("1K", 1000),
        ("1kb", 1024),
        ("2Mb", 2 << 20),
        ("3m", 3000000),
        ("1GB", 1 << 30),
        ("1g", 10**9),
        ("", 0),
        ("99999999999999999999", 2**64 - 1),
        ("-1", None),
        ("1.5gb", None),
        (" 1k", None),
        ("1kbb", None),
        ("1t", None),
        ("x", None),
    ],
)
def test_memory_units(text: str, number: int | None) -> None:
    assert memory_bytes(text) == number


@pytest.mark.parametrize("number", [0, 1, 1000, 1024, 3 << 20, 5 << 30, (5 << 30) + 1])
def test_memory_is_written_with_the_unit_that_fits(number: int) -> None:
    assert memory_bytes(memory_text(number)) == number


# -- the command line --------------------------------------------------------------------------------------------------


def test_options_have_as_many_values_as_follow() -> None:
    config = Config.load(["--save", "900", "1", "--port", "0", "--SAVE", "60 5", "--bind", "*", "::1"])
    assert (config.save, config.port, config.bind) == ((SavePoint(900, 1), SavePoint(60, 5)), 0, ("*", "::1"))


def test_name_and_value_may_be_one_argument() -> None:
    config = Config.load(
        ["--maxmemory 1mb", "--port", "0", "--dbfilename 'a b.rdb'", "--proc-title-template --x", "--hz 5"]
    )
    assert (config.maxmemory, config.port, config.dbfilename, config.hz) == (1 << 20, 0, "a b.rdb", 5)
    assert config.text("proc-title-template") == "--x"
    assert Config.load(["--save", "900", "1", "--save 60 5", "--hz 5"]).save == (SavePoint(900, 1), SavePoint(60, 5))


def test_a_directive_without_dashes_may_follow_the_file(config_path: Path) -> None:
    config_path.write_text("hz 11\n")
    config = Config.load([str(config_path), "loglevel", "verbose", "--port 0"])
    assert (config.loglevel, config.port, config.hz) == ("verbose", 0, 11)
    assert load_error(str(config_path), "port", "x") == "'port \"x\"': argument couldn't be parsed into an integer"


def test_save_without_value_and_with_an_empty_one_turns_saving_off() -> None:
    assert Config.load(["--save", "--port", "5"]).save == ()
    assert Config.load(["--save", ""]).save == ()
    assert Config.load(["--save", "", "--save", "5 6"]).save == (SavePoint(5, 6),)


def test_file_then_standard_input_then_options(config_path: Path) -> None:
    config_path.write_text("timeout 1\nhz 11\nport 1\n")
    for arguments in (
        [str(config_path), "-", "--port", "3"],
        [str(config_path), "--port", "3", "-"],
    ):
        config = Config.load(arguments, io.StringIO("timeout 2\nport 2\n"))
        assert (config.timeout, config.hz, config.port) == (2, 11, 3)
        assert config.file == str(config_path)
    assert Config.load(["-"], io.StringIO("timeout 2")).timeout == 2
    assert Config.load(["-", "--timeout", "4"], io.StringIO("timeout 2")).timeout == 4


def test_a_relative_file_is_remembered_by_its_absolute_path(config_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_path.write_text("timeout 5\n")
    monkeypatch.chdir(config_path.parent)
    assert Config.load(["redis.conf"]).file == str(config_path)


def test_old_names_and_any_case() -> None:
    config = Config.load(["--Hash-Max-ZipList-Entries", "7", "--slave-priority", "5", "--LogLevel", "VERBOSE"])
    assert (config.get("hash-max-listpack-entries"), config.get("replica-priority"), config.loglevel) == (
        7,
        5,
        "verbose",
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--foo", "1"], "'foo \"1\"': Bad directive or wrong number of arguments"),
        (["--port", "abc"], "'port \"abc\"': argument couldn't be parsed into an integer"),
        (["--port"], "'port': wrong number of arguments"),
        (["--port", "--hz", "5"], '\'port "--hz" "5"\': wrong number of arguments'),
        (["--port", "99999"], "'port \"99999\"': argument must be between 0 and 65535 inclusive"),
        (["--save", "1"], "'save \"1\"': Invalid save parameters"),
        (["--dir", "/nowhere"], "'dir \"/nowhere\"': No such file or directory"),
        (["--dir", "/etc/passwd"], "'dir \"/etc/passwd\"': Not a directory"),
        (["--dbfilename", "a/b"], "'dbfilename \"a/b\"': dbfilename can't be a path, just a filename"),
        (["--maxmemory", "12q"], "'maxmemory \"12q\"': argument must be a memory value"),
        (["--unixsocketperm", "999"], "'unixsocketperm \"999\"': argument couldn't be parsed as an octal number"),
        (["--unixsocketperm", "7777"], "'unixsocketperm \"7777\"': argument must be between 0 and 777 inclusive"),
        (["/nowhere.conf"], "can't open config file '/nowhere.conf': No such file or directory"),
        (["--port 'x"], "'--port 'x' is not an option: Unbalanced quotes or no name"),
        (["--maxmemory 12q"], "'maxmemory \"12q\"': argument must be a memory value"),
        (["-p", "1"], "'-p' is not an option; settings are given as --name value"),
        (["--appendonly", "yes"], "'appendonly \"yes\"': minikv has no append only file, it persists by RDB snapshots"),
        (["--cluster-enabled", "yes"], "'cluster-enabled \"yes\"': minikv has no cluster mode"),
        (["--replicaof", "a", "1"], '\'replicaof "a" "1"\': minikv does not replicate'),
        (["--replicaof", "a", "x"], '\'replicaof "a" "x"\': Invalid master port'),
        (["--replicaof", "a"], "'replicaof \"a\"': wrong number of arguments"),
        (["--loadmodule", "x.so"], "'loadmodule \"x.so\"': minikv loads no modules"),
        (
            ["--maxmemmory", "1"],
            "'maxmemmory \"1\"': Bad directive or wrong number of arguments; did you mean 'maxmemory'?",
        ),
        (["--search-timeout", "5"], "'search-timeout \"5\"': minikv loads no modules"),
        (["--locale-collate", "de_DE"], "'locale-collate \"de_DE\"': minikv sorts by bytes"),
        (["--import-mode", "yes"], "'import-mode \"yes\"': minikv has no import mode"),
        (
            ["--set-max-listpack-entries", "x"],
            "'set-max-listpack-entries \"x\"': argument couldn't be parsed into an integer",
        ),
        (["--rename-command", "a"], "'rename-command \"a\"': Bad directive or wrong number of arguments"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(arguments: list[str], error: str) -> None:
    assert load_error(*arguments) == error


def test_an_error_in_a_file_names_file_and_line(config_path: Path) -> None:
    config_path.write_text("\ntimeout 1 # no comment\n")
    assert load_error(str(config_path)) == f'{config_path}:2: timeout 1 "#" no comment: wrong number of arguments'


def test_all_that_is_refused_is_listed_at_once(config_path: Path) -> None:
    other = config_path.with_name("other.conf")
    other.write_text("cluster-enabled yes\n")
    config_path.write_text(
        f"appendonly yes\nport 1\ntimout 5\ninclude {other}\nhz 'x\ninclude nowhere.conf\nloadmodule a.so\n"
    )
    errors = load_error(str(config_path), "--replicaof", "a", "1").splitlines()
    assert errors == [
        f"{config_path}:1: appendonly yes: minikv has no append only file, it persists by RDB snapshots",
        f"{config_path}:3: timout 5: Bad directive or wrong number of arguments; did you mean 'timeout'?",
        f"{other}:1: cluster-enabled yes: minikv has no cluster mode",
        f"{config_path}:5: hz 'x: Unbalanced quotes in configuration line",
        f"{config_path}:6: include nowhere.conf: can't open config file 'nowhere.conf': No such file or directory",
        f"{config_path}:7: loadmodule a.so: minikv loads no modules",
        '\'replicaof "a" "1"\': minikv does not replicate',
    ]


# Lines of the files that come with other releases, 5.0 to 8.8 and Valkey 7.2 to 9, as far as 7.0's has none of them.
STOCK_LINES = """
slave-serve-stale-data yes
slave-read-only yes
slave-priority 100
slave-lazy-flush no
lua-time-limit 5000
hash-max-ziplist-entries 512
list-max-ziplist-size -2
list-max-ziplist-entries 512
list-max-ziplist-value 64
zset-max-ziplist-value 64
client-output-buffer-limit slave 256mb 64mb 60
gopher-enabled no
lua-replicate-commands yes
locale-collate ""
set-max-listpack-entries 128
set-max-listpack-value 64
max-new-connections-per-cycle 10
max-new-tls-connections-per-cycle 1
hide-user-data-from-log yes
aof-load-corrupt-tail-max-size 0
array-slice-size 4096
array-sparse-kmax 10
array-sparse-kmin 5
stream-idmp-duration 100
stream-idmp-maxsize 100
lookahead 16
server-cpulist ""
bio-cpulist ""
bgsave-cpulist ""
aof-rewrite-cpulist ""
lazyfree-lazy-user-del yes
repl-diskless-load disabled
dual-channel-replication-enabled no
commandlog-execution-slower-than 10000
commandlog-slow-execution-max-len 128
commandlog-request-larger-than 1048576
commandlog-large-request-max-len 128
commandlog-reply-larger-than 1048576
commandlog-large-reply-max-len 128
primaryauth ""
availability-zone ""
import-mode no
rdma-port 0
unixsocketgroup ""
log-format legacy
log-timestamp-format legacy
rdb-version-check strict
cluster-databases 1
""".strip().splitlines()


@pytest.mark.parametrize("line", STOCK_LINES)
def test_lines_of_other_releases_are_accepted_at_their_defaults(config_path: Path, line: str) -> None:
    config_path.write_text(line + "\n")
    config = Config.load([str(config_path)])
    assert config.text("port") == "6379"


def test_names_of_valkey_for_settings_of_redis(config_path: Path) -> None:
    config_path.write_text("commandlog-execution-slower-than 5\ncommandlog-slow-execution-max-len 7\n")
    config = Config.load([str(config_path)])
    assert (config.slowlog_log_slower_than, config.slowlog_max_len) == (5, 7)


@pytest.mark.skipif(not os.access("/etc/redis/redis.conf", os.R_OK), reason="the distribution's file is not there")
def test_the_file_of_the_distribution_is_accepted() -> None:
    assert Config.load(["/etc/redis/redis.conf"]).port == 6379


def test_refused_settings_are_accepted_at_their_default() -> None:
    options = ["--appendonly", "no", "--cluster-enabled", "no", "--slaveof", "no", "one"]
    assert Config.load(options).get("replicaof") == ()


def test_users_are_collected_with_their_places(config_path: Path) -> None:
    config_path.write_text('user default on nopass ~* &* +@all\nport 0\nuser bob on ">a b" (~x +get)\n')
    config = Config.load([str(config_path), "--user", "eve", "off"])
    assert [line.words[1:] for line in config.users] == [
        ["default", "on", "nopass", "~*", "&*", "+@all"],
        ["bob", "on", ">a b", "(~x", "+get)"],
        ["eve", "off"],
    ]
    assert [line.place for line in config.users] == [f"{config_path}:1", f"{config_path}:3", "--user"]
    config_path.write_text("user\n")
    assert "user" in load_error(str(config_path))


def test_rewrite_writes_the_users_that_there_are(config_path: Path) -> None:
    config_path.write_text("user a on\n# kept\nuser b on\n")
    config = Config.load([str(config_path)])
    config.user_lines = lambda: ["user a off ~x", 'user "q on >p', "user default on #abc (~a +get)"]
    config.rewrite()
    assert config_path.read_text() == 'user a off ~x\nuser "\\"q" on >p\nuser default on "#abc" (~a +get)\n# kept\n'
    assert [line.words[1] for line in Config.load([str(config_path)]).users] == ["a", '"q', "default"]
    config.user_lines = list
    config.rewrite()
    assert config_path.read_text() == "# kept\n"


def test_save_adds_in_a_file_and_an_empty_one_forgets(config_path: Path) -> None:
    config_path.write_text('save 1 1\nsave 2 2 3 3\nsave ""\nsave 4 4\nsave 5 5\n')
    assert Config.load([str(config_path)]).text("save") == "4 4 5 5"


def test_output_limits_change_by_class() -> None:
    config = Config.load(["--client-output-buffer-limit", "Normal", "1mb", "0", "5", "slave", "1k", "0", "0"])
    assert config.client_output_buffer_limit == OutputLimits(
        OutputLimit(1 << 20, 0, 5), OutputLimit(1000, 0, 0), OutputLimit(32 << 20, 8 << 20, 60)
    )


@pytest.mark.parametrize("number", ["0", "16385", "2147483647"])
def test_a_number_of_databases_that_cannot_be(number: str) -> None:
    with pytest.raises(ConfigError, match="argument must be between 1 and 16384 inclusive"):
        Config.load(["--databases", number])


def test_a_password_may_hold_any_byte() -> None:
    assert Config.load(["-"], io.StringIO('requirepass "a b\\x00\\xff"')).requirepass == b"a b\0\xff"


# -- CONFIG SET --------------------------------------------------------------------------------------------------------


def test_all_or_none() -> None:
    config = Config()
    assert error_of(config, "timeout", "5", "hz", "x") == failed("hz", "argument couldn't be parsed into an integer")
    assert (config.timeout, config.hz) == (0, 10)
    set_(config, "timeout", "5", "hz", "20")
    assert (config.timeout, config.hz) == (5, 20)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nonsense", "1"], "Unknown option or number of arguments for CONFIG SET - 'nonsense'"),
        (["databases", "3"], failed("databases", "can't set immutable config")),
        (["Timeout", "1", "timeout", "2"], failed("timeout", "duplicate parameter")),
        (["dir", "/tmp"], failed("dir", "can't set protected config")),
        (["appendonly", "yes"], failed("appendonly", "minikv has no append only file, it persists by RDB snapshots")),
        (["slave-priority", "x"], failed("slave-priority", "argument couldn't be parsed into an integer")),
    ],
)
def test_refused_changes(words: list[str], error: str) -> None:
    assert error_of(Config(), *words) == error


def test_protected_settings_change_for_local_clients_if_local_is_allowed(tmp_path: Path) -> None:
    config = Config.load(["--enable-protected-configs", "local"])
    with pytest.raises(ConfigError, match="protected"):
        config.set_many([("dbfilename", "a")], local=False)
    config.set_many([("dbfilename", "a"), ("dir", str(tmp_path))], local=True)
    assert (config.dbfilename, config.dir) == ("a", str(tmp_path))


def test_save_replaces_at_run_time() -> None:
    config = Config()
    set_(config, "save", "1 2 3 4")
    assert config.save == (SavePoint(1, 2), SavePoint(3, 4))
    set_(config, "save", "")
    assert config.text("save") == ""


def test_listeners_hear_of_changes_after_all_are_made() -> None:
    config = Config()
    heard: list[object] = []
    config.on_change("hz", lambda value: heard.append((value, config.timeout)))
    config.on_change("slave-priority", heard.append)
    set_(config, "hz", "20", "timeout", "5")
    assert heard == [(20, 5)]
    set_(config, "hz", "20", "replica-priority", "7")
    assert heard == [(20, 5), 7]


def test_a_listener_that_fails_undoes_everything_too() -> None:
    config = Config()

    def fail(value: object) -> None:
        if value == 7:
            raise OverflowError("a number that is too large")

    config.on_change("timeout", fail)
    with pytest.raises(OverflowError):
        set_(config, "hz", "11", "timeout", "7")
    assert (config.hz, config.timeout) == (10, 0)


def test_a_listener_that_refuses_undoes_everything() -> None:
    config = Config()
    ports: list[int] = []
    config.on_change("port", ports.append)

    def refuse(value: object) -> None:
        if value == 5:
            raise ConfigError("not 5")

    config.on_change("timeout", refuse)
    assert error_of(config, "port", "1", "timeout", "5", "hz", "11") == failed("timeout", "not 5")
    assert (config.port, config.timeout, config.hz) == (6379, 0, 10)
    assert ports == [1, 6379]


def test_settings_without_effect_are_named_if_they_differ_from_the_default() -> None:
    config = Config.load(["--io-threads", "4", "--activerehashing", "yes", "--timeout", "5", "--slave-priority", "3"])
    text = "is accepted and has no effect in minikv"
    assert config.cautions() == [f"io-threads {text}", f"replica-priority {text}"]
    assert config.cautions(["slave-priority", "timeout", "activerehashing"]) == [f"replica-priority {text}"]


# -- CONFIG REWRITE ----------------------------------------------------------------------------------------------------


def test_rewrite_needs_a_file() -> None:
    with pytest.raises(ConfigError, match=r"^The server is running without a config file$"):
        Config.load(["--port", "5"]).rewrite()


def test_rewrite_keeps_comments_order_and_unchanged_lines(config_path: Path) -> None:
    config_path.write_text(
        "# mine\nmaxmemory 1GB\n\nsave 900 1\n# why\nsave 300 10\nhash-max-ziplist-entries 77\ntimeout 5\n"
    )
    config = Config.load([str(config_path), "--hz", "50"])
    set_(config, "save", "60 5", "timeout", "6", "requirepass", 'a "b', "slowlog-max-len", "64")
    config.rewrite()
    assert config_path.read_text() == (
        "# mine\nmaxmemory 1GB\n\nsave 60 5\n# why\nhash-max-ziplist-entries 77\ntimeout 6\n\n"
        '# Generated by CONFIG REWRITE\nrequirepass "a \\"b"\nhz 50\nslowlog-max-len 64\n'
    )


def test_what_was_rewritten_is_read_back_and_rewriting_again_changes_nothing(config_path: Path) -> None:
    config_path.write_text("# mine\nsave 900 1\n")
    config = Config.load([str(config_path)])
    set_(config, "save", "", "bind", "", "client-output-buffer-limit", "pubsub 1 2 3", "maxmemory-clients", "5%")
    set_(config, "requirepass", "\udcff\0 x", "shutdown-on-sigterm", "nosave now", "maxmemory", "3mb")
    set_(config, "notify-keyspace-events", "KEA", "latency-tracking-info-percentiles", "50 99.99")
    config.rewrite()
    text = config_path.read_text()
    again = Config.load([str(config_path)])
    for setting in SETTINGS:
        assert again.get(setting.name) == config.get(setting.name), setting.name
    config.rewrite()
    again.rewrite()
    assert config_path.read_text() == text


def test_a_setting_that_went_back_to_its_default_is_rewritten_too(config_path: Path) -> None:
    config_path.write_text("timeout 5\n")
    config = Config.load([str(config_path)])
    set_(config, "timeout", "0")
    config.rewrite()
    assert config_path.read_text() == "timeout 0\n"


def test_rewrite_creates_a_file_that_was_removed(config_path: Path) -> None:
    config_path.write_text("timeout 5\nport 7\n")
    config = Config.load([str(config_path)])
    config_path.unlink()
    config.rewrite()
    again = Config.load([str(config_path)])
    assert (again.timeout, again.port) == (5, 7)


def test_rewrite_says_why_it_failed(config_path: Path) -> None:
    directory = config_path.parent / "gone"
    directory.mkdir()
    path = directory / "redis.conf"
    path.write_text("")
    config = Config.load([str(path)])
    path.unlink()
    directory.rmdir()
    with pytest.raises(ConfigError, match="Rewriting config file: No such file or directory"):
        config.rewrite()

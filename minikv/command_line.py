"""minikv-server: the command line in redis-server's form, and the way from there to a running server.

Order: read the settings, check what can be checked (directory, log file), become a daemon if asked to, then say who
starts and what was found on this machine, build the parts, run. Whatever is wrong with the settings is a line on
standard error for each, whatever goes wrong later a line of the log; the exit code is 1.
"""

import os
import sys

from minikv import REDIS_VERSION, __version__
from minikv.config import Config
from minikv.crash.report import CrashReporter
from minikv.errors import ConfigError, MinikvError
from minikv.host import daemon, huge_pages, limits, overcommit, supervisor
from minikv.host.system_check import check_system, report
from minikv.keyspace.database import Keyspace
from minikv.log import Log
from minikv.server import Server, check_commands
from minikv.slowlog import SECRET_SETTINGS

DEFAULT_PID_FILE = "/var/run/minikv.pid"  # of a daemon that was given none

HELP = """\
Usage: minikv-server [/path/to/redis.conf] [-] [--name value ...]

A Redis-compatible server whose snapshots (BGSAVE) cost next to nothing.

  minikv-server                          default settings: port 6379 on loopback, dump.rdb in this directory
  minikv-server redis.conf               settings from a file, in the syntax of redis.conf
  minikv-server redis.conf --port 7777   options override the file
  minikv-server --save 900 1 --save 60 10000 --maxmemory 1gb
  echo 'maxmemory 128mb' | minikv-server -
                                         settings from standard input; - is the first or the last argument
  minikv-server --port 0 --unixsocket /tmp/minikv.sock
                                         no TCP, a Unix socket alone

Every setting of redis-server 7.0 is an option; the few that mean nothing here are accepted, and the log says so.
minikv's own:
  --arena-size BYTES                     address space reserved for data; 0 (default) takes it from the machine
  --arena-huge-pages auto|yes|no         2 MiB pages make forks short; auto (default) tries what this kernel does
  --snapshot-mode full|layers            layers: a save writes only what has changed, into a history to go back in
  --snapshot-writes relocate|in-place    what a write does to a record that a snapshot still needs: write it anew
                                         elsewhere (default), or change it and let the kernel copy the page
  --bgsave-preflight warn|refuse|off     what to do before a fork if memory or disk will not do for the snapshot
  --bgsave-fork thread|loop              who forks: a thread (default), or the event loop, which stops meanwhile
  --bgsave-cpu-share PERCENT             least CPU of a saving child that others want as well; default 25
  --bgsave-stall-timeout SECONDS         kill a saving child that makes no progress; default 60, 0 never
  --rdb-share-blocks auto|no             let a dump share blocks with the one before, on XFS and btrfs; default auto
  --rdb-verify yes|no                    read each new dump again before it replaces the old one; default no
  --script-memory-limit BYTES            what Lua may take for scripts, and again for functions; default 1gb

  --check-system                         what this machine does to snapshots and what to change; exit code 1 if anything
  -v, --version                          versions, on one line
  -h, --help                             this text

Talk to it with redis-cli or any Redis client. SHUTDOWN or Ctrl-C stops it; it saves first if save points are set."""


BANNER = """
     +---------+
     | k  |  v |     minikv {version}, as Redis {redis} 64 bit
     |----+----|
     |    |    |     Running in standalone mode
     |----+----|     Port: {port}
     +---------+     PID: {pid}

"""


def main() -> int:
    """Run the command line of this process; the exit code."""
    arguments = sys.argv[1:]
    if arguments in (["-v"], ["--version"]):
        print(version_line())
        return 0
    if arguments in (["-h"], ["--help"]):
        print(HELP)
        return 0
    if arguments == ["--check-system"]:
        return print_system_check()
    try:
        config = Config.load(arguments)
        enter_directory(config.dir, saves=bool(config.save))
        log = open_log(config)
        check_supervision(config)
        check_commands(config)
    except ConfigError as error:
        for line in str(error).splitlines():
            print(f"minikv-server: {line}", file=sys.stderr)
        return 1
    daemon.hide_arguments(secret_arguments(arguments))
    return start(config, log)


def secret_arguments(arguments: list[str]) -> list[str]:
    """The values of passwords, as `--requirepass VALUE` or `"--requirepass VALUE"`; `--user` with its rules."""
    secrets = []
    follows = of_user = False
    for argument in arguments:
        if argument.startswith("--"):
            of_user = argument.lower().split(" ")[0] == "--user"
        if of_user and ">" in argument:
            secrets.append(argument)
            continue
        name = argument.removeprefix("--").partition(" ")[0].lower().encode("utf-8", "surrogateescape")
        named = argument.startswith("--") and name in SECRET_SETTINGS
        if follows or (named and " " in argument):
            secrets.append(argument)
        follows = named and " " not in argument
    return secrets


def version_line() -> str:
    """In redis-server's form, whose first words tools parse."""
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"Redis server v={REDIS_VERSION} sha=00000000:0 malloc=minikv bits=64 build=0"
        f" minikv={__version__} python={python}"
    )


def print_system_check() -> int:
    defaults = Config()
    findings = check_system(defaults.maxclients, defaults.tcp_backlog)
    print(report(findings))
    return 1 if any(finding.advice for finding in findings) else 0


def enter_directory(path: str, saves: bool) -> None:
    """Make `dir` the working directory, as Redis does; ConfigError if there are saves and no dump could be written."""
    try:
        os.chdir(path)
    except OSError as error:
        raise ConfigError(f"dir {path}: {os.strerror(error.errno or 0)}") from None
    if saves and not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"dir {path}: no dump can be written there: Permission denied")


def open_log(config: Config) -> Log:
    log = Log(config.loglevel, config.logfile)
    try:
        log.check()
    except OSError as error:
        raise ConfigError(f"Can't open the log file '{log.path}': {os.strerror(error.errno or 0)}") from None
    return log


def check_supervision(config: Config) -> None:
    if config.supervised == "upstart":
        raise ConfigError("supervised upstart: minikv knows systemd only (supervised systemd, or auto)")


def start(config: Config, log: Log) -> int:
    """From good settings to the end of the server; the exit code."""
    supervised = supervisor.wanted(config.supervised)
    background = config.daemonize and not supervised
    started = -1
    if background:
        started = daemon.daemonize()
        log.pid = os.getpid()
    if config.set_proc_title:
        daemon.set_process_name("minikv-server")
    announce(config, log)
    if not fit_clients(config, log):
        return 1
    follow_changes(config, log)
    pages = huge_pages.choose(config.arena_huge_pages, huge_pages.read_mode(), huge_pages.probe())
    log.notice(pages.report)
    try:
        keyspace = Keyspace(config.databases, config.arena_size, pages.use)
    except (MinikvError, MemoryError, OSError) as error:
        log.warning(f"Can't reserve memory for the arena: {str(error) or 'Cannot allocate memory'}. Aborting.")
        return 1
    pid_file = config.pidfile or (DEFAULT_PID_FILE if background else "")
    try:
        if pid_file:
            write_pid_file(pid_file, log)
        server = Server(
            config,
            keyspace,
            log,
            on_listening=lambda port: introduce(port, config, log),
            on_ready=lambda: report_ready(started, supervised, log),
        )
        CrashReporter(config, log, server).follow()
        return server.run()
    finally:
        if pid_file:
            daemon.remove_pid_file(pid_file)


def announce(config: Config, log: Log) -> None:
    """The first lines of the log: who starts, with which settings, on what kind of machine."""
    log.warning("oO0OoO0OoO0Oo minikv is starting oO0OoO0OoO0Oo")
    log.warning(f"minikv version={__version__}, redis_version={REDIS_VERSION}, bits=64, pid={log.pid}, just started")
    if config.given or config.file:
        log.warning("Configuration loaded")
    else:
        log.warning(
            "Warning: no config file specified, using the default config. "
            "In order to specify a config file use minikv-server /path/to/redis.conf"
        )
    for caution in config.cautions():
        log.notice(caution)
    for warning in (overcommit.warning(), limits.backlog_warning(config.tcp_backlog)):
        if warning:
            log.warning(warning)


def introduce(port: int, config: Config, log: Log) -> None:
    """Who listens where: a banner on a terminal or where always-show-logo asks for it, otherwise one line.

    Test harnesses wait for the banner's last line.
    """
    on_terminal = not config.logfile and os.isatty(log.fd)
    if config.always_show_logo or on_terminal:
        log.write_raw(BANNER.format(version=__version__, redis=REDIS_VERSION, port=port, pid=log.pid))
    else:
        log.notice(f"Running mode=standalone, port={port}.")


def fit_clients(config: Config, log: Log) -> bool:
    """Bring maxclients and the limit of open files together; False if not one client fits."""
    fitted = limits.allow_clients(config.maxclients)
    for line in fitted.report:
        if fitted.maxclients == config.maxclients:
            log.notice(line)
        else:
            log.warning(line)
    config.maxclients = fitted.maxclients
    return fitted.maxclients > 0


def follow_changes(config: Config, log: Log) -> None:
    """What CONFIG SET changes in the process itself."""
    config.on_change("dir", lambda path: enter_directory(path, saves=bool(config.save)))
    config.on_change("loglevel", log.set_level)
    config.on_change("maxclients", refuse_too_many_clients)


def refuse_too_many_clients(maxclients: int) -> None:
    possible = limits.allow_clients(maxclients).maxclients
    if possible < maxclients:
        raise ConfigError(
            f"The operating system is not able to handle the specified number of clients, try with {possible}"
        )


def write_pid_file(path: str, log: Log) -> None:
    try:
        daemon.write_pid_file(path)
    except OSError as error:
        log.warning(f"Failed to write PID file '{path}': {os.strerror(error.errno or 0)}")


def report_ready(started: int, supervised: bool, log: Log) -> None:
    """Tell whoever started the server that it serves. started: the daemon's descriptor, -1 without one."""
    if started >= 0:
        daemon.leave_terminal(started)
    problem = supervisor.notify(supervisor.READY) if supervised else ""
    if problem:
        log.warning(problem)

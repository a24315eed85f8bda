# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""The snapshot child: from the fork to _exit, without an interpreter.

The child is a copy of a running server that lacks the server's heap (fork.py): it has no Python objects, no
allocator, no thread but this one. What it needs was prepared before the fork (Save), and lies in inherited memory with
the arena. It keeps no descriptor but the log's and, if it was given one to write to, that: a connection that the parent
closes would stay open for its client until the child ends, and a restarted server would find its port taken. It walks
the frozen arena, writes the file, and tells its parent how far it is through the progress page. Whatever happens, it
ends here.

It sleeps first, for the few milliseconds in which its parent replies: a new process may be given the very processor
that its parent runs on, for a whole slice of time.

Nothing here may allocate, nor use stdio, a locale, or any memory of the interpreter.
"""

import cython
from cython.cimports.libc.signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGINT, SIGKILL, SIGUSR1
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.string import memcpy, strlen, strstr
from cython.cimports.minikv.engine.progress import (
    BYTES_VERIFIED,
    EXIT_FAILED,
    EXIT_KILLED_ON_PURPOSE,
    EXIT_SAVED,
    PHASE,
    PHASE_RENAMED,
    PHASE_VERIFYING,
    PRIVATE_DIRTY,
    PRIVATE_DIRTY_AVERAGE,
    PRIVATE_DIRTY_PEAK,
)
from cython.cimports.minikv.engine.walker import walk_forget, walk_release
from cython.cimports.minikv.saving.dump_file import STEP_VERIFY, file_failed
from cython.cimports.minikv.saving.linux import (
    CLOCK_REALTIME,
    F_DUPFD_CLOEXEC,
    O_APPEND,
    O_CLOEXEC,
    POLLIN,
    PR_SET_NAME,
    SYS_close_range,
    clock_gettime,
    fcntl,
    open,
    poll,
    pollfd,
    posix_spawn,
    prctl,
    syscall,
    timespec,
    waitpid,
)
from cython.cimports.minikv.saving.save import (
    SaveP,
    Statistic,
    monotonic_ns,
    save_abort,
    save_begin,
    save_commit,
    save_finish,
    save_step,
)
from cython.cimports.minikv.saving.text import put_digits, put_number, put_text
from cython.cimports.posix.fcntl import O_CREAT, O_RDONLY, O_RDWR, O_WRONLY
from cython.cimports.posix.signal import (
    SIG_SETMASK,
    kill,
    sigaction,
    sigaction_t,
    sigemptyset,
    sigprocmask,
    sigset_t,
)
from cython.cimports.posix.unistd import SEEK_CUR, _exit, close, dup2, getpid, lseek, pipe, read, usleep, write

HEAD_START_US = cython.declare(cython.uint, 5000)  # for the parent's reply
SIGNALS = cython.declare(cython.int, 65)
LAST_DESCRIPTOR = cython.declare(cython.uint, 0xFFFFFFFF)
DESCRIPTORS = cython.declare(cython.uint, 65536)  # to be closed one by one, on a kernel without close_range

# When to look at the own memory: soon, then ever more rarely, and never for more than a hundredth of the time.
FIRST_LOOK_NS = cython.declare(int64_t, 20_000_000)
LONGEST_LOOK_NS = cython.declare(int64_t, 1_000_000_000)
LOOKS_SHARE = cython.declare(int64_t, 100)
LINE_NS = cython.declare(int64_t, 1_000_000_000)

MB_SHIFT = cython.declare(cython.int, 20)
VERBOSE = cython.declare(cython.int, 1)  # levels of the log
NOTICE = cython.declare(cython.int, 2)
WARNING = cython.declare(cython.int, 3)
VERIFY_POLL_MS = cython.declare(cython.int, 100)

SPACE = cython.declare(cython.char, 32)
ZERO = cython.declare(cython.char, 48)
NINE = cython.declare(cython.char, 57)

DAY_S = cython.declare(int64_t, 86400)


_save = cython.declare(SaveP)  # for the signal's handler


def run_child(save: SaveP) -> cython.void:
    """Be the child. Never returns."""
    save.began_ns = monotonic_ns()
    usleep(HEAD_START_US)
    set_signals(save)
    close_descriptors(save)
    prctl(PR_SET_NAME, cython.cast(cython.p_char, b"minikv-bgsave"))  # at most 15 bytes
    offer_to_the_oom_killer(save.oom_score)
    save.next_look_ns = monotonic_ns() + FIRST_LOOK_NS
    save.look_interval_ns = FIRST_LOOK_NS
    save.next_line_ns = monotonic_ns() + LINE_NS
    if not (write_dump(save) and (save.verifier.arguments == cython.NULL or verify(save)) and save_commit(save)):
        save_abort(save)
        write_line(save, WARNING, save.message)
        _exit(EXIT_FAILED)
    save.progress[PHASE] = PHASE_RENAMED
    if save.file.output < 0:
        write_line(save, NOTICE, b"DB saved on disk")
    look(save)
    log_figures(save, NOTICE)
    if save.walk.fresh != cython.NULL:
        walk_forget(save.walk)
    _exit(EXIT_SAVED)


# -- what it inherits and does not want


def set_signals(save: SaveP) -> cython.void:
    """Forget the server's handlers. The child begins with all signals blocked: one that came before would run them."""
    global _save
    action: sigaction_t
    none: sigset_t
    number: cython.int
    _save = save
    sigemptyset(cython.address(none))
    for number in range(1, SIGNALS):
        if sigaction(number, cython.NULL, cython.address(action)) != 0:
            continue
        # Who ignores SIGCHLD does not learn how a process has ended: the verifier, for one.
        if action.sa_handler != SIG_IGN or number == SIGCHLD:
            action.sa_handler = SIG_DFL
            action.sa_flags = 0
            sigaction(number, cython.address(action), cython.NULL)
    action.sa_flags = 0
    sigemptyset(cython.address(action.sa_mask))
    # Ctrl-C goes to the whole process group; it means the server, which ends its child itself.
    action.sa_handler = SIG_IGN
    sigaction(SIGINT, cython.address(action), cython.NULL)
    action.sa_handler = end_on_purpose
    sigaction(SIGUSR1, cython.address(action), cython.NULL)
    sigprocmask(SIG_SETMASK, cython.address(none), cython.NULL)


def end_on_purpose(_number: cython.int) -> cython.void:
    if _save.verifier.pid:
        kill(_save.verifier.pid, SIGKILL)
    write_line(_save, WARNING, b"Received SIGUSR1 in child, exiting now.")
    if _save.verifier.pid:
        waitpid(_save.verifier.pid, cython.NULL, 0)  # in a container init is the server, which would not
    _exit(EXIT_KILLED_ON_PURPOSE)


def close_descriptors(save: SaveP) -> cython.void:
    """All but the log's and the output's. The standard ones lead nowhere: else the dump gets one's number, and a
    stray line.

    Closed first, opened then: the server may have used all that it is allowed.
    """
    fd: cython.int
    null: cython.int
    log: cython.int = save.log.fd if save.log.path[0] == 0 else -1
    low: cython.int = min(log, save.file.output)
    high: cython.int = max(log, save.file.output)
    if low > 2:
        close_range(3, low - 1)
    if high > 2:
        close_range(max(low, 2) + 1, high - 1)
    close_range(max(high, 2) + 1, LAST_DESCRIPTOR)
    if 0 <= save.file.output <= 2:
        save.file.output = fcntl(save.file.output, F_DUPFD_CLOEXEC, 3)
    if log >= 0:
        save.log.fd = fcntl(log, F_DUPFD_CLOEXEC, 3)
    if log > 2:
        close(log)
    null = open(b"/dev/null", O_RDWR)
    for fd in range(3):
        if null >= 0:
            dup2(null, fd)
    if null > 2:
        close(null)


def close_range(first: cython.uint, last: cython.uint) -> cython.void:
    fd: cython.uint
    if first <= last and syscall(SYS_close_range, first, last, cython.cast(cython.uint, 0)) != 0:
        for fd in range(first, min(last, DESCRIPTORS) + 1):
            close(fd)


def offer_to_the_oom_killer(score: cython.int) -> cython.void:
    """When memory runs out, a snapshot is the smaller loss than the server."""
    text: cython.char[24]
    at: cython.p_char = text
    fd: cython.int = open(b"/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)
    if fd < 0:
        return
    if score < 0:
        at = put_text(at, b"-")
    at = put_number(at, score if score >= 0 else -score)
    write(fd, text, at - cython.cast(cython.p_char, text))
    close(fd)


# -- what it costs


def write_dump(save: SaveP) -> cython.bint:
    if not save_begin(save):
        return False
    while save_step(save):
        look_if_due(save)  # before the release: what lies behind is still ours, this is the peak
        walk_release(save.walk)
    return save_finish(save)


def look_if_due(save: SaveP) -> cython.void:
    began: int64_t = monotonic_ns()
    now: int64_t
    if began < save.next_look_ns:
        return
    look(save)
    now = monotonic_ns()
    save.look_interval_ns = min(2 * save.look_interval_ns, LONGEST_LOOK_NS)
    save.next_look_ns = now + max(save.look_interval_ns, (now - began) * LOOKS_SHARE)
    if now >= save.next_line_ns:
        log_figures(save, VERBOSE)
        save.next_line_ns = now + LINE_NS


def look(save: SaveP) -> cython.void:
    """Private dirty memory, for the parent."""
    figures: cython.pointer[Statistic] = cython.address(save.private_dirty)
    if read_private_dirty(cython.address(figures.current)):
        figures.peak = max(figures.peak, figures.current)
        figures.sum += figures.current
        figures.count += 1
    save.progress[PRIVATE_DIRTY] = figures.current
    save.progress[PRIVATE_DIRTY_PEAK] = figures.peak
    save.progress[PRIVATE_DIRTY_AVERAGE] = average(figures)


def average(figures: cython.pointer[Statistic]) -> uint64_t:
    return figures.sum // figures.count if figures.count else 0


def read_private_dirty(found: cython.pointer[uint64_t]) -> cython.bint:
    """From /proc/self/smaps_rollup, in bytes; False where it can't be read."""
    text: cython.char[4096]
    at: cython.p_char
    number: uint64_t = 0
    nbytes: cython.Py_ssize_t
    fd: cython.int = open(b"/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return False
    nbytes = read(fd, text, cython.sizeof(text) - 1)
    close(fd)
    if nbytes <= 0:
        return False
    text[nbytes] = 0
    at = strstr(text, b"Private_Dirty:")
    if at == cython.NULL:
        return False
    at += strlen(b"Private_Dirty:")
    while at[0] == SPACE:
        at += 1
    while ZERO <= at[0] <= NINE:
        number = 10 * number + (at[0] - ZERO)
        at += 1
    found[0] = number << 10
    return True


def log_figures(save: SaveP, level: cython.int) -> cython.void:
    figures: cython.pointer[Statistic] = cython.address(save.private_dirty)
    text: cython.char[160]
    at: cython.p_char = put_number(put_text(text, b"Fork CoW for RDB: current "), figures.current >> MB_SHIFT)
    at = put_number(put_text(at, b" MB, peak "), figures.peak >> MB_SHIFT)
    at = put_number(put_text(at, b" MB, average "), average(figures) >> MB_SHIFT)
    put_text(at, b" MB")
    write_line(save, level, text)


# -- verifying


def verify(save: SaveP) -> cython.bint:
    """Have another process read the dump again (verify.py); what it has to say against it becomes the message.

    It reads through a descriptor that both share, whose offset tells how far it is.
    """
    ends: cython.int[2]
    waiting: pollfd
    status: cython.int = 1
    length: cython.Py_ssize_t = 0
    taken: cython.Py_ssize_t
    put_number(save.verifier.keys, save.walk.keys)
    put_number(save.verifier.nbytes, save.file.length)
    save.progress[BYTES_VERIFIED] = 0
    save.progress[PHASE] = PHASE_VERIFYING
    close(0)
    fd: cython.int = open(save.file.path, O_RDONLY)  # the lowest that is free: standard input
    if fd != 0 or pipe(ends) != 0:
        put_text(save.message, b"Verifying the new dump failed: it can't be opened")
        return file_failed(cython.address(save.file), STEP_VERIFY, 0)
    dup2(ends[1], 1)
    close(ends[1])
    if (
        posix_spawn(
            cython.address(save.verifier.pid),
            save.verifier.arguments[0],
            cython.NULL,
            cython.NULL,
            save.verifier.arguments,
            save.verifier.environment,
        )
        != 0
    ):
        put_text(save.message, b"Verifying the new dump failed: no process for it")
        return file_failed(cython.address(save.file), STEP_VERIFY, 0)
    close(1)
    waiting.fd = ends[0]
    waiting.events = POLLIN
    while True:
        if poll(cython.address(waiting), 1, VERIFY_POLL_MS) == 0:
            save.progress[BYTES_VERIFIED] = lseek(fd, 0, SEEK_CUR)
            continue
        taken = read(ends[0], save.message + length, cython.sizeof(save.message) - 1 - length)
        if taken <= 0:
            break
        length += taken
    save.message[length] = 0
    waitpid(save.verifier.pid, cython.address(status), 0)
    save.verifier.pid = 0
    if status == 0:
        return True
    if length == 0:
        put_text(save.message, b"Verifying the new dump failed: its reader ended without a word")
    return file_failed(cython.address(save.file), STEP_VERIFY, 0)


# -- the log


def write_line(save: SaveP, level: cython.int, message: cython.p_const_char) -> cython.void:
    """A line of log.py's form, in one write."""
    line: cython.char[20480]
    fd: cython.int
    at: cython.p_char = line
    if level < save.log.threshold:
        return
    at = put_head(at, b":C ", save.log.utc_offset_s, level)
    at = put_text(put_text(at, message), b"\n")
    fd = save.log.fd
    if save.log.path[0]:
        fd = open(save.log.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, cython.cast(cython.int, 0o644))
    if fd >= 0:
        write(fd, line, at - cython.cast(cython.p_char, line))
    if save.log.path[0] and fd >= 0:
        close(fd)


def put_head(at: cython.p_char, role: cython.p_const_char, utc_offset_s: int64_t, level: cython.int) -> cython.p_char:
    """What a line of the log begins with, before its message: process, role, time, level."""
    now: timespec
    day: cython.int = 0
    month: cython.int = 0
    year: cython.int = 0
    seconds: int64_t
    clock_gettime(CLOCK_REALTIME, cython.address(now))
    seconds = now.tv_sec + utc_offset_s
    civil_date(seconds // DAY_S, cython.address(day), cython.address(month), cython.address(year))
    seconds %= DAY_S
    at = put_text(put_number(at, getpid()), role)
    at = put_text(put_digits(at, day, 2), b" ")
    memcpy(at, cython.cast(cython.p_const_char, b"JanFebMarAprMayJunJulAugSepOctNovDec") + 3 * (month - 1), 3)
    at = put_text(put_digits(put_text(at + 3, b" "), year, 4), b" ")
    at = put_text(put_digits(at, seconds // 3600, 2), b":")
    at = put_text(put_digits(at, seconds // 60 % 60, 2), b":")
    at = put_text(put_digits(at, seconds % 60, 2), b".")
    at = put_text(put_digits(at, now.tv_nsec // 1_000_000, 3), b" ")
    at[0] = cython.cast(cython.p_const_char, b".-*#")[level]
    return put_text(at + 1, b" ")


def civil_date(
    days: int64_t, day: cython.pointer[cython.int], month: cython.pointer[cython.int], year: cython.pointer[cython.int]
) -> cython.void:
    """The date so many days after 1 January 1970.

    Years are taken to begin in March, so that the day that some have more is their last one: 400 of them, an era, have
    146097 days, and the months from March on begin at day (153 m + 2) / 5.
    """
    since: int64_t = days + 719468  # 1 March of the year 0
    era: int64_t = since // 146097
    of_era: int64_t = since % 146097
    year_of_era: int64_t = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year: int64_t = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march: int64_t = (5 * of_year + 2) // 153
    day[0] = cython.cast(cython.int, of_year - (153 * from_march + 2) // 5 + 1)
    month[0] = cython.cast(cython.int, from_march + 3 if from_march < 10 else from_march - 9)
    year[0] = cython.cast(cython.int, year_of_era + 400 * era + (1 if month[0] <= 2 else 0))

# cython: boundscheck=False, wraparound=False, cdivision=True
# ruff: noqa: F821
"""The handler of fatal signals: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT. It writes a report and dies of the signal.

The safest comes first, so that what is lost when the handler itself fails is the least:

    1. C that calls only what a signal's handler may call: which signal, where, from whom, the stack of C
    2. faulthandler, by a signal that it listens to: the stack of Python
    3. Python: INFO, clients, settings (report.py), if this is the main thread

The third runs an interpreter that was stopped anywhere. It usually works and may do anything, so a second crash in the
report ends it, and so does an alarm after a few seconds. In either case the process ends by the first signal, as it
would have without a handler: whoever waits for it learns the truth, and the kernel writes its core.

The handler has a stack of its own, for a crash may be an overflow. What it needs is state of the process, prepared by
`install`: a handler has no arguments. The snapshot child, which has no interpreter, resets all handlers.
"""

import cython
from cython.cimports.cpython.exc import PyErr_Clear
from cython.cimports.libc.signal import (
    SIG_DFL,
    SIGABRT,
    SIGALRM,
    SIGBUS,
    SIGFPE,
    SIGILL,
    SIGSEGV,
    raise_,
)
from cython.cimports.libc.stdint import int64_t, uint64_t, uintptr_t
from cython.cimports.libc.string import strncpy
from cython.cimports.minikv.crash.linux import (
    SA_NODEFER,
    SA_ONSTACK,
    SA_SIGINFO,
    SI_TKILL,
    SI_USER,
    alarm,
    backtrace,
    backtrace_symbols_fd,
    getpid,
    gettid,
    program_counter,
    sigaltstack,
    stack_t,
)
from cython.cimports.minikv.saving.child import put_head
from cython.cimports.minikv.saving.linux import O_APPEND, O_CLOEXEC, open
from cython.cimports.minikv.saving.text import put_number, put_text
from cython.cimports.posix.fcntl import O_CREAT, O_WRONLY
from cython.cimports.posix.signal import (
    SIG_UNBLOCK,
    kill,
    sigaction,
    sigaction_t,
    sigaddset,
    sigemptyset,
    sigprocmask,
    sigset_t,
)
from cython.cimports.posix.unistd import _exit, close, dup2, write

STACK_BYTES = cython.declare(cython.int, 1 << 20)
REPORT_S = cython.declare(cython.uint, 5)  # for Python's part; a report is cut after that
FRAMES = cython.declare(cython.int, 100)
WARNING = cython.declare(cython.int, 3)

_stack = cython.declare(cython.char[1048576])
_path = cython.declare(cython.char[4096])
_log_fd = cython.declare(cython.int, -1)
_report_fd = cython.declare(cython.int, -1)
_traceback_signal = cython.declare(cython.int, 0)
_utc_offset_s = cython.declare(int64_t, 0)
_report = cython.declare(object, None)
_exits_on_panic = cython.declare(cython.bint, False)
_number = cython.declare(cython.int, 0)  # the signal that is being reported
_sent_by_itself = cython.declare(cython.bint, False)


def install(
    log_fd: cython.int,
    log_path: bytes,
    report_fd: cython.int,
    traceback_signal: cython.int,
    utc_offset_s: int64_t,
    report: object,
) -> None:
    """Handle fatal signals from now on.

    log_fd, log_path: where the log goes; the path counts if it is not empty.
    report_fd: a descriptor for the report, which then leads where the log goes; faulthandler writes there when
    traceback_signal comes. report: called for Python's part of the report.
    """
    global _log_fd, _report_fd, _traceback_signal, _utc_offset_s, _report
    frames: cython.p_void[4]
    stack: stack_t
    _log_fd, _report_fd, _traceback_signal, _utc_offset_s = log_fd, report_fd, traceback_signal, utc_offset_s
    _report = report
    strncpy(_path, log_path, cython.sizeof(_path) - 1)
    backtrace(frames, 4)  # the first call loads a library, which a handler must not do
    stack.ss_sp, stack.ss_flags, stack.ss_size = _stack, 0, STACK_BYTES
    sigaltstack(cython.address(stack), cython.NULL)
    handle(SIGSEGV, on_crash)
    handle(SIGBUS, on_crash)
    handle(SIGFPE, on_crash)
    handle(SIGILL, on_crash)
    handle(SIGABRT, on_crash)


def remove() -> None:
    """Leave fatal signals to the kernel again."""
    action: sigaction_t
    action.sa_handler = SIG_DFL
    action.sa_flags = 0
    sigemptyset(cython.address(action.sa_mask))
    for number in (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT):
        sigaction(number, cython.address(action), cython.NULL)


def exit_on_panic(wanted: cython.bint) -> None:
    """Whether abort() of this process ends in exit code 1 and not in a signal."""
    global _exits_on_panic
    _exits_on_panic = wanted


def handle(number: cython.int, handler: Handler) -> cython.void:
    action: sigaction_t
    action.sa_sigaction = handler
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER
    sigemptyset(cython.address(action.sa_mask))
    sigaction(number, cython.address(action), cython.NULL)


# -- in the handler ----------------------------------------------------------------------------------------------------


def on_crash(number: cython.int, info: cython.pointer[siginfo_t], context: cython.p_void) -> cython.void:
    """Write the report and die. A crash of the report itself ends it."""
    global _number, _sent_by_itself
    frames: cython.p_void[100]
    if _number:
        write_raw(b"\n(the report has crashed, too)\n")
        end()
    _number = number
    _sent_by_itself = info.si_code == SI_TKILL and info.si_pid == getpid()
    unblock()
    handle(SIGALRM, on_alarm)
    alarm(REPORT_S)
    open_log()
    write_raw(b"\n\n=== REDIS BUG REPORT START: Cut & paste starting from here ===\n")
    write_figures(b"minikv crashed by signal: ", number, b", si_code: ", info.si_code)
    if info.si_code > 0 and number in (SIGSEGV, SIGBUS):  # sent by the kernel
        write_address(b"Accessing address: ", cython.cast(uintptr_t, info.si_addr))
    if info.si_code == SI_USER:
        write_figures(b"Killed by PID: ", info.si_pid, b", UID: ", info.si_uid)
    write_address(b"Crashed running the instruction at: ", cython.cast(uintptr_t, program_counter(context)))
    write_raw(b"\n------ STACK TRACE ------\nC, the newest call first:\n")
    frames[0] = program_counter(context)
    backtrace_symbols_fd(frames, 1, _report_fd)
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES), _report_fd)
    write_raw(b"\nPython, the newest call first:\n")
    raise_(_traceback_signal)
    if getpid() == gettid():
        ask_python()
    else:
        write_raw(b"\n(the crash was in another thread than the server's: no INFO)\n")
    end()


def on_alarm(number: cython.int, info: cython.pointer[siginfo_t], context: cython.p_void) -> cython.void:
    write_raw(b"\n(the report took too long)\n")
    end()


def open_log() -> cython.void:
    """Have the report's descriptor lead where the log goes now: a log's file may have been rotated away."""
    fd: cython.int = _log_fd
    if _path[0]:
        fd = open(_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, cython.cast(cython.int, 0o644))
    if fd >= 0:
        dup2(fd, _report_fd)
    if _path[0] and fd >= 0:
        close(fd)


def unblock() -> cython.void:
    """Let the signals through that the report itself may cause."""
    chosen: sigset_t
    sigemptyset(cython.address(chosen))
    sigaddset(cython.address(chosen), SIGALRM)
    sigaddset(cython.address(chosen), SIGSEGV)
    sigaddset(cython.address(chosen), SIGBUS)
    sigaddset(cython.address(chosen), SIGFPE)
    sigaddset(cython.address(chosen), SIGILL)
    sigaddset(cython.address(chosen), SIGABRT)
    sigaddset(cython.address(chosen), _traceback_signal)
    sigprocmask(SIG_UNBLOCK, cython.address(chosen), cython.NULL)


def write_figures(
    first: cython.p_const_char, number: int64_t, second: cython.p_const_char, other: int64_t
) -> cython.void:
    """A line of the log with two numbers."""
    line: cython.char[256]
    at: cython.p_char = put_text(put_head(line, b":M ", _utc_offset_s, WARNING), first)
    at = put_text(put_signed(at, number), second)
    at = put_text(put_signed(at, other), b"\n")
    write(_report_fd, line, at - cython.cast(cython.p_char, line))


def put_signed(at: cython.p_char, number: int64_t) -> cython.p_char:
    if number < 0:
        return put_number(put_text(at, b"-"), -number)
    return put_number(at, number)


def write_address(message: cython.p_const_char, address: uint64_t) -> cython.void:
    line: cython.char[256]
    at: cython.p_char = put_text(put_head(line, b":M ", _utc_offset_s, WARNING), message)
    at = put_text(put_hex(put_text(at, b"0x"), address), b"\n")
    write(_report_fd, line, at - cython.cast(cython.p_char, line))


def write_raw(text: cython.p_const_char) -> cython.void:
    length: cython.int = 0
    while text[length]:
        length += 1
    write(_report_fd, text, length)


def put_hex(at: cython.p_char, number: uint64_t) -> cython.p_char:
    digits: cython.int = 1
    i: cython.int
    while digits < 16 and number >> (4 * digits):
        digits += 1
    for i in range(digits):
        at[i] = cython.cast(cython.p_const_char, b"0123456789abcdef")[(number >> (4 * (digits - 1 - i))) & 15]
    at[digits] = 0
    return at + digits


def ask_python() -> cython.void:
    """Python's part. The interpreter was stopped in the middle of something; an error that is set is not ours."""
    with cython.gil:
        PyErr_Clear()
        try:
            if _report is not None:
                _report()
        except BaseException:
            write_raw(b"\n(INFO and clients cannot be had)\n")


def end() -> cython.void:
    """The last lines, and the death that the signal asked for."""
    action: sigaction_t
    write_raw(b"\n=== REDIS BUG REPORT END. Make sure to include from START to END. ===\n\n")
    write_raw(b"       This is minikv, not Redis: please report the crash to its authors.\n\n")
    if _exits_on_panic and _sent_by_itself and _number == SIGABRT:
        _exit(1)
    action.sa_handler = SIG_DFL
    action.sa_flags = 0
    sigemptyset(cython.address(action.sa_mask))
    sigaction(_number, cython.address(action), cython.NULL)
    kill(getpid(), _number)
    _exit(1)  # if the signal does not end the process

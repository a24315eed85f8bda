"""Questions about a history, each answered by a process of its own: the event loop does not wait for files.

The process is a new interpreter (spawned by vfork, which copies nothing of the server) that runs
tools/history_replies.py. Its question is its standard input, since keys may be longer than an argument, and have any
bytes. What it writes goes to memory that has no name, and is read when it has ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from minikv.errors import HistoryError
from minikv.history.exported import write_words

if TYPE_CHECKING:
    from minikv.config import Config

ASKER = "import sys; sys.path[:] = {path!r}; from minikv.tools.history_replies import main; sys.exit(main())"
MOST_AT_ONCE = 8  # processes; each may load a whole data set
POLL_S = 0.02  # where the kernel has no pidfds
ERROR_LEN = 1000

# Gets the descriptor of the output, which it has to close, and the error; one of both is empty: -1, "".
OnAnswer = Callable[[int, str], object]


class Questions:
    """Those of a server that are being answered."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._running: set[Question] = set()

    @property
    def directory(self) -> str:
        """Of the history that is asked."""
        return os.path.join(self._config.dir, self._config.snapshot_history)

    def ask(self, loop: AbstractEventLoop, words: Sequence[bytes], on_answer: OnAnswer) -> None:
        """Begin; on_answer is called later. HistoryError if too much is asked at once, OSError."""
        if len(self._running) >= MOST_AT_ONCE:
            raise HistoryError(f"{MOST_AT_ONCE} questions about the history are being answered; ask again later")
        script = ASKER.format(path=[os.path.abspath(path) for path in sys.path])
        command = [sys.executable, "-c", script, os.path.abspath(self.directory)]

        def ended(output: int, error: str) -> None:
            self._running.discard(question)
            on_answer(output, error)

        question = Question(loop, command, words, ended)
        self._running.add(question)

    def close(self) -> None:
        """The server stops: nobody waits for answers."""
        for question in list(self._running):
            question.kill()


@contextlib.contextmanager
def memory_of(words: Iterable[bytes]) -> Iterator[int]:
    """A descriptor from which a process reads words. OSError."""
    fd = os.memfd_create("question", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            write_words(file, words)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


class Question:
    """One process."""

    def __init__(
        self, loop: AbstractEventLoop, command: Sequence[str], words: Iterable[bytes], on_answer: OnAnswer
    ) -> None:
        self._loop = loop
        self._on_answer = on_answer
        self._output = os.memfd_create("answer", os.MFD_CLOEXEC)
        self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        self._pidfd = -1
        try:
            with memory_of(words) as question:
                self._process = subprocess.Popen(
                    command, stdin=question, stdout=self._output, stderr=self._errors, start_new_session=True
                )
        except OSError:
            os.close(self._output)
            os.close(self._errors)
            raise
        with contextlib.suppress(OSError):
            self._pidfd = os.pidfd_open(self._process.pid)
        if self._pidfd >= 0:
            loop.add_reader(self._pidfd, self._look)
        else:
            loop.call_later(POLL_S, self._look)

    def _look(self) -> None:
        code = self._process.poll()
        if code is None:
            if self._pidfd < 0:
                self._loop.call_later(POLL_S, self._look)
            return
        error = os.pread(self._errors, ERROR_LEN, 0).decode("utf-8", "replace").replace("\n", " ").strip()
        if code and not error:
            error = f"the process that reads the history ended with {code}"
        output = self._forget(keep_output=not error)
        self._on_answer(output, error)

    def _forget(self, *, keep_output: bool) -> int:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        os.close(self._errors)
        if keep_output:
            return self._output
        os.close(self._output)
        return -1

    def kill(self) -> None:
        """End it without an answer."""
        self._process.kill()
        self._process.wait()
        self._forget(keep_output=False)

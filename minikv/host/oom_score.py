"""How soon the kernel OOM-kills this process: oom_score_adj, -1000 (never) to 1000 (first).

Redis's oom-score-adj sets it: `yes` adds to the score that the process started with, `absolute`
replaces it, `no` restores it.
"""

from pathlib import Path

PATH = Path("/proc/self/oom_score_adj")
LOWEST, HIGHEST = -1000, 1000


class OomScore:
    """The score of this process and of its future children."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._found: int | None = None  # before it was set here

    def set(self, mode: str, score: int) -> None:
        """Apply a mode of oom-score-adj; OSError if the kernel forbids it. `no` writes only what was changed here."""
        if mode == "no":
            if self._found is not None:
                self._write(self._found)
                self._found = None
            return
        found = self._read() if self._found is None else self._found
        self._write(_sum(mode, found, score))
        self._found = found

    def of_child(self, mode: str, score: int) -> int | None:
        """The score that the settings give a child; None if they give none, or if our own is unknown."""
        if mode == "no" or self._found is None:
            return None
        return _sum(mode, self._found, score)

    def _read(self) -> int:
        return int(self._path.read_text())

    def _write(self, score: int) -> None:
        self._path.write_text(str(score))


def _sum(mode: str, found: int, score: int) -> int:
    return min(max(score if mode == "absolute" else found + score, LOWEST), HIGHEST)

"""What the command lines of minikv-rdb and minikv-history share: their output, and how they end."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable
from typing import TextIO

from minikv.errors import MinikvError
from minikv.tools.reading import os_error_text

GOOD, TROUBLE = 0, 2  # exit codes, as those of diff; 1 is for what a command has found
INTERRUPTED = 130


def run_command_line(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace, TextIO], int]) -> int:
    """Run the command line of this process, writing to standard output; the exit code. What goes wrong is one line."""
    options = parser.parse_args()
    if sys.stdout is None:
        print(f"{parser.prog}: standard output is closed", file=sys.stderr)
        return TROUBLE
    out = open(1, "w", encoding="utf-8", newline="\n", closefd=False)  # noqa: SIM115  (for as long as the process)
    try:
        code = run(options, out)
        out.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    except OSError as error:
        print(f"{parser.prog}: {os_error_text(error)}", file=sys.stderr)
        return TROUBLE
    except (MinikvError, sqlite3.Error) as error:
        out.flush()
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return TROUBLE
    except KeyboardInterrupt:
        return INTERRUPTED

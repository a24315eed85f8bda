# cython: language_level=3
# distutils: extra_compile_args = -O3
"""The client of the commands that a script calls."""

import cython

from minikv.dispatch.client import Client


@cython.cclass
class ScriptClient(Client):
    """What a script's commands see in place of the client whose script it is, and what holds for the script.

    caller: whose script it is. read_only: commands that write are refused. allow_oom: the memory limit does not hold.
    out_of_memory: it was exceeded when the script began. wrote: a command that writes was called; from then on nothing
    is refused.
    """

    def __init__(self, server: object):
        Client.__init__(self, server)
        self.addr = b"lua"
        self.in_exec = True  # nobody may wait

    def begin(self, caller: Client, read_only: cython.bint, allow_oom: cython.bint, out_of_memory: cython.bint) -> None:
        """A script of this client's begins."""
        self.caller = caller
        self.db = caller.db
        self.user = caller.user
        self.unrestricted = caller.unrestricted
        self.name = caller.name
        self.resp = 2
        self.read_only = read_only
        self.allow_oom = allow_oom
        self.out_of_memory = out_of_memory
        self.wrote = False

"""Scripts: Lua 5.1 for EVAL and FUNCTION.

The Lua interpreter is the one in the wheel of `lupa`, whose module exports Lua's C functions for Lua modules written in
C. It is such a module that this room uses them like: the library is loaded here, before the compiled modules whose
references to those functions it resolves.
"""

import ctypes
import importlib.util
from pathlib import Path


def find_lua() -> str:
    """The file of lupa's module for Lua 5.1."""
    spec = importlib.util.find_spec("lupa")
    for directory in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in Path(directory).glob("lua51.*.so"):
            return str(path)
    raise ImportError("minikv needs lupa with its module lupa.lua51, for scripts")


ctypes.CDLL(find_lua(), mode=ctypes.RTLD_GLOBAL)

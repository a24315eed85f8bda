"""The house stays in order: imports go downwards only, without cycles, at the top of the file; modules hold no state.

The rooms, from the top: each may import the rooms below it, and everybody the foundations.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "minikv"

ROOMS = [
    "__main__",
    "command_line",
    "tools",
    "server",
    "crash",
    "listening",
    "tls_connection",
    "connection",
    "sockets",
    "commands",
    "scripting",
    "dispatch",
    "pubsub",
    "acl",
    "protocol",
    "tls",
    "snapshot",
    "history",
    "saving",
    "rdb",
    "keyspace",
    "engine",
    "algorithms",
    "host",
]
FOUNDATIONS = {
    "",
    "errors",
    "config",
    "config_file",
    "other_releases",
    "settings",
    "log",
    "slowlog",
    "latency",
}  # everybody may use them
ONLY_FOUNDATIONS = {"sockets", "protocol", "tls", "algorithms", "host"}

# A process has one address space, and a signal's handler no argument: what they need is state of the process.
OF_THE_PROCESS = {
    "minikv.engine.memory": {"_reserved", "_reserved_len", "_unknown", "_lock"},
    "minikv.crash.handler": {
        *("_log_fd", "_report_fd", "_path", "_utc_offset_s", "_traceback_signal", "_report", "_exits_on_panic"),
        *("_number", "_sent_by_itself"),
    },
    "minikv.saving.child": {"_save"},
    "minikv.saving.heap": {"_raw", "_arenas", "_watching", "_heap_start"},
}

MUTATORS = {"append", "add", "update", "pop", "clear", "extend", "insert", "remove", "discard", "setdefault", "popitem"}


class Import(NamedTuple):
    """One import of a module of the package, as its importer wrote it."""

    importer: str
    imported: str
    line: int
    for_types_only: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """minikv.engine.arena -> engine; the package itself is the empty name."""
    return ([*module.split("."), ""])[1]


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in SOURCES.items()}
DECLARATIONS = {module_name(path): path for path in sorted(PACKAGE.rglob("*.pxd"))}


def imports_of(module: str) -> Iterator[Import]:
    tree = TREES[module]
    typing_only = {
        id(node)
        for condition in ast.walk(tree)
        if isinstance(condition, ast.If) and ast.unparse(condition.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for node in ast.walk(condition)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if imported := own_module(name.removeprefix("cython.cimports.")):
                yield Import(module, imported, node.lineno, id(node) in typing_only)


def declared_imports_of(module: str) -> Iterator[Import]:
    pattern = re.compile(r"^\s*from\s+(minikv[\w.]*)\s+cimport\s+(.+)$")
    for line, text in enumerate(DECLARATIONS[module].read_text().splitlines(), 1):
        if match := pattern.match(text):
            first = match[2].split(",")[0].split()[0]  # "(": the names follow on lines of their own
            if imported := own_module(f"{match[1]}.{first}"):
                yield Import(module, imported, line, False)


def own_module(name: str) -> str | None:
    """The module of the package that holds `name`, which may be a module itself or something inside one."""
    parts = name.split(".")
    if parts[0] != "minikv":
        return None
    for end in range(len(parts), 0, -1):
        candidate = ".".join(parts[:end])
        if candidate in SOURCES or candidate in DECLARATIONS:
            return candidate
    return "minikv"


@functools.cache
def all_imports() -> list[Import]:
    written = [found for module in SOURCES for found in imports_of(module)]
    return written + [found for module in DECLARATIONS for found in declared_imports_of(module)]


def allowed(importer: str, imported: str) -> bool:
    above, below = room(importer), room(imported)
    if above == below or below in FOUNDATIONS:
        return True
    if above in FOUNDATIONS or above in ONLY_FOUNDATIONS:
        return False
    return ROOMS.index(above) < ROOMS.index(below)


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in SOURCES} - set(ROOMS) <= FOUNDATIONS


def test_imports_go_downwards() -> None:
    wrong = [
        f"{i.importer}:{i.line} imports {i.imported}" for i in all_imports() if not allowed(i.importer, i.imported)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_server_loads_command_modules() -> None:
    outside = {i.importer for i in all_imports() if room(i.imported) == "commands" and room(i.importer) != "commands"}
    assert outside == {"minikv.server"}


def test_imports_have_no_cycles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in {*SOURCES, *DECLARATIONS}}
    for found in all_imports():
        if not found.for_types_only and found.importer != found.imported and found.imported.count("."):
            graph[found.importer].add(found.imported)
    while leaves := [module for module, imported in graph.items() if not imported & graph.keys()]:
        for module in leaves:
            del graph[module]
    assert not graph, {module: sorted(imported & graph.keys()) for module, imported in graph.items()}


def test_ruff_ignores_by_file_only_where_cython_knows_better() -> None:
    """A compiled module may use names of its .pxd, which ruff does not see; any other exception is for one line."""
    ignoring = {module for module, path in SOURCES.items() if "# ruff: noqa" in path.read_text()}
    marked = re.compile(r"# cython: .*\n(?:# distutils: .*\n)?# ruff: noqa: [A-Z0-9, ]+\n(?!(?s:.*)# ruff: noqa)")
    assert not {module for module in ignoring if not marked.match(SOURCES[module].read_text())}


@pytest.mark.parametrize("module", SOURCES)
def test_imports_stand_at_the_top_of_the_file(module: str) -> None:
    inside = [
        f"{module}:{node.lineno}"
        for function in ast.walk(TREES[module])
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert not inside


@pytest.mark.parametrize("module", SOURCES)
def test_modules_hold_no_mutable_state(module: str) -> None:
    """Tables in capitals are constants: no function may change them, and nothing else at the top may be changeable."""
    tree = TREES[module]
    wrong = []
    names = {target.id for node in tree.body for target in assigned_names(node)} - OF_THE_PROCESS.get(module, set())
    for node in tree.body:
        for target in assigned_names(node):
            if (
                is_mutable(getattr(node, "value", None))
                and not target.id.strip("_").isupper()
                and target.id != "__all__"
            ):
                wrong.append(f"{module}:{node.lineno} {target.id} is mutable")
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            wrong += [f"{module}:{line} changes {name}" for name, line in changed_in(function) if name in names]
    assert not wrong, "\n".join(wrong)


def assigned_names(node: ast.stmt) -> list[ast.Name]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target for target in targets if isinstance(target, ast.Name)]


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in {"list", "dict", "set", "defaultdict", "deque", "OrderedDict"}
    return isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp))


def changed_in(function: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a function rebinds with `global` or changes through an item or a mutating method."""
    local = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    local |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            yield from ((name, node.lineno) for name in node.names)
        elif isinstance(node, ast.expr):
            changed = changed_by(node)
            if isinstance(changed, ast.Name) and changed.id not in local:
                yield changed.id, node.lineno


def changed_by(node: ast.expr) -> ast.expr | None:
    """What an item assignment, a deletion or a call of a mutating method changes."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        return node.func.value
    return None

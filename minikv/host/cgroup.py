"""Memory limit of this process's control group, versions 1 and 2.

/proc/self/cgroup names the group; /proc/self/mountinfo says where the tree of groups is mounted
and which part of it. The limits of all groups above apply too, so the tightest one on the way up
counts. In a container both files often show the container's own view only: a path outside the
mounted part is then the mount point itself.
"""

import os
import posixpath
from functools import lru_cache
from typing import NamedTuple

from minikv.host.files import read_number, read_text

NO_LIMIT = 1 << 62  # version 1 writes a huge number, rounded to pages, for "no limit"


class CgroupMemory(NamedTuple):
    """The tightest limit above this process. used_bytes includes file cache, working_bytes excludes idle cache."""

    limit_bytes: int
    used_bytes: int
    working_bytes: int
    path: str
    version: int

    @property
    def left_bytes(self) -> int:
        return max(self.limit_bytes - self.working_bytes, 0)


class _Tree(NamedTuple):
    mount_point: str
    group: str
    version: int


def read_cgroup_memory(proc: str = "/proc", root: str = "") -> CgroupMemory | None:
    """The tightest memory limit; None if there is none. `root` is prefixed to mount points, for tests."""
    limits = [limit for tree in _trees(proc) for limit in _limits(tree, root)]
    return min(limits, key=lambda limit: limit.limit_bytes, default=None)


def memory_groups(proc: str = "/proc") -> list[tuple[str, int]]:
    """Directory and version of each group of this process that may limit memory."""
    return [(tree.group, tree.version) for tree in _trees(proc)]


def _trees(proc: str) -> list[_Tree]:
    """The trees of groups that limit memory, each with the directory of this process's group."""
    return _find_trees(proc, read_text(f"{proc}/self/cgroup") or "")


@lru_cache(maxsize=8)
def _find_trees(proc: str, groups_text: str) -> list[_Tree]:
    """Cached: the mounts of control groups do not change under a process."""
    groups = _groups(groups_text)
    trees = []
    for line in (read_text(f"{proc}/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, mount = before.split(), after.split()
        if len(fields) < 5 or len(mount) < 3:
            continue
        version = {"cgroup2": 2, "cgroup": 1}.get(mount[0], 0)
        if version == 1 and "memory" not in mount[2].split(","):
            continue
        if version in groups:
            mount_point = _unescape(fields[4])
            below = posixpath.relpath(groups[version], _unescape(fields[3]))
            inside = below != "." and not below.startswith("..")
            trees.append(_Tree(mount_point, posixpath.join(mount_point, below) if inside else mount_point, version))
    return trees


def _groups(text: str) -> dict[int, str]:
    """The path of this process's group by version: `0::/path` is version 2, `5:cpu,memory:/path` is version 1."""
    groups = {}
    for line in text.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            groups[2] = path or "/"
        elif "memory" in controllers.split(","):
            groups[1] = path or "/"
    return groups


def _unescape(path: str) -> str:
    """mountinfo writes blanks in octal."""
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _limits(tree: _Tree, root: str) -> list[CgroupMemory]:
    limits = []
    path = tree.group
    while True:
        limit = _limit(root + path, tree.version)
        if limit is not None:
            limits.append(limit)
        if path == tree.mount_point or path in ("/", ""):
            return limits
        path = posixpath.dirname(path)


def _limit(directory: str, version: int) -> CgroupMemory | None:
    limit_file, usage_file, cache_field = (
        ("memory.max", "memory.current", "inactive_file")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    limit_bytes = read_number(os.path.join(directory, limit_file))
    if limit_bytes is None or limit_bytes >= NO_LIMIT:
        return None
    used_bytes = read_number(os.path.join(directory, usage_file)) or 0
    idle_cache_bytes = 0
    for line in (read_text(os.path.join(directory, "memory.stat")) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == cache_field and value.strip().isdecimal():
            idle_cache_bytes = int(value)
    return CgroupMemory(limit_bytes, used_bytes, max(used_bytes - idle_cache_bytes, 0), directory, version)

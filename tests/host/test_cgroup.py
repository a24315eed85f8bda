"""Memory limits of control groups: versions 1 and 2, nested groups, containers that see only themselves."""

from pathlib import Path

import pytest

from minikv.host.cgroup import CgroupMemory, read_cgroup_memory

GB = 1 << 30
V2_MOUNT = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = (
    "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)


class Machine:
    """A directory that looks like /proc and /sys/fs/cgroup."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)

    def describe(self, groups: str, mounts: str) -> None:
        (self.root / "proc/self/cgroup").write_text(groups)
        (self.root / "proc/self/mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts)

    def v2(self, path: str, limit: str, used: int = 0, inactive_file: int = 0) -> None:
        directory = self.root / f"sys/fs/cgroup{path}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "memory.max").write_text(f"{limit}\n")
        (directory / "memory.current").write_text(f"{used}\n")
        (directory / "memory.stat").write_text(f"anon 1\ninactive_file {inactive_file}\n")

    def v1(self, path: str, limit: int, used: int = 0, inactive_file: int = 0) -> None:
        directory = self.root / f"sys/fs/cgroup/memory{path}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (directory / "memory.usage_in_bytes").write_text(f"{used}\n")
        (directory / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {inactive_file}\n")

    def read(self) -> CgroupMemory | None:
        return read_cgroup_memory(str(self.root / "proc"), str(self.root))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_version_2_takes_the_tightest_limit_on_the_way_up(machine: Machine) -> None:
    machine.describe("0::/user.slice/app.service\n", V2_MOUNT.format(root="/"))
    machine.v2("/user.slice/app.service", "max", used=5)
    machine.v2("/user.slice", str(2 * GB), used=GB, inactive_file=GB // 4)
    machine.v2("", str(4 * GB))
    found = machine.read()
    assert found is not None
    assert (found.limit_bytes, found.used_bytes, found.working_bytes, found.version) == (2 * GB, GB, GB - GB // 4, 2)
    assert found.left_bytes == 2 * GB - (GB - GB // 4)
    assert found.path.endswith("/sys/fs/cgroup/user.slice")


def test_no_limit_is_none(machine: Machine) -> None:
    machine.describe("0::/a\n", V2_MOUNT.format(root="/"))
    machine.v2("/a", "max")
    assert machine.read() is None


def test_a_container_with_a_namespace_of_its_own_reads_the_mount_point(machine: Machine) -> None:
    machine.describe("0::/\n", V2_MOUNT.format(root="/"))
    machine.v2("", str(GB))
    found = machine.read()
    assert found is not None
    assert found.limit_bytes == GB


@pytest.mark.parametrize("group", ["/docker/abc", "/../other", "/elsewhere"])
def test_a_path_outside_of_what_is_mounted_is_the_mount_point(machine: Machine, group: str) -> None:
    machine.describe(f"5:memory:{group}\n0::/\n", V1_MOUNT.format(root="/docker/abc"))
    machine.v1("", GB)
    found = machine.read()
    assert found is not None
    assert (found.limit_bytes, found.version) == (GB, 1)


def test_a_group_below_the_mounted_part_is_found(machine: Machine) -> None:
    machine.describe("5:cpu,memory:/docker/abc/sub\n", V1_MOUNT.format(root="/docker/abc"))
    machine.v1("/sub", GB, used=GB // 2, inactive_file=GB // 8)
    machine.v1("", 1 << 63)
    found = machine.read()
    assert found is not None
    assert (found.limit_bytes, found.working_bytes) == (GB, GB // 2 - GB // 8)


def test_version_1_writes_a_huge_number_for_no_limit(machine: Machine) -> None:
    machine.describe("5:memory:/\n", V1_MOUNT.format(root="/"))
    machine.v1("", 9223372036854771712)
    assert machine.read() is None


def test_both_versions_at_once_give_the_tighter_limit(machine: Machine) -> None:
    machine.describe("5:memory:/a\n0::/b\n", V1_MOUNT.format(root="/") + V2_MOUNT.format(root="/"))
    machine.v1("/a", 2 * GB)
    machine.v2("/b", str(GB))
    found = machine.read()
    assert found is not None
    assert (found.limit_bytes, found.version) == (GB, 2)


def test_a_limit_above_which_memory_is_used_leaves_nothing(machine: Machine) -> None:
    machine.describe("0::/\n", V2_MOUNT.format(root="/"))
    machine.v2("", str(GB), used=2 * GB)
    found = machine.read()
    assert found is not None
    assert found.left_bytes == 0


@pytest.mark.parametrize("text", ["", "nonsense", "0::", ":::", "1 2 3\n- -\n", "x - cgroup2\n"])
def test_strange_files_are_no_limit(machine: Machine, text: str) -> None:
    machine.describe(text, text)
    assert machine.read() is None


def test_this_machine_can_be_read() -> None:
    found = read_cgroup_memory()
    assert found is None or found.limit_bytes > 0

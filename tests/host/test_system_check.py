"""--check-system: findings of machines as they should and should not be."""

from pathlib import Path

import pytest

from minikv.host.system_check import Finding, check_system, report

GOOD = {
    "proc/sys/vm/overcommit_memory": "1",
    "proc/sys/vm/swappiness": "60",
    "proc/sys/net/core/somaxconn": "4096",
    "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 900 kB\nSwapTotal: 100 kB\nSwapFree: 100 kB\n",
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "sys/fs/cgroup/memory.max": "1000",
    "sys/fs/cgroup/memory.current": "100",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
}


def check(root: Path, **changes: str) -> dict[str, Finding]:
    files = GOOD | {path.replace("__", "/"): text for path, text in changes.items()}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    findings = check_system(20, 511, str(root / "proc"), str(root / "sys"), str(root))
    return {finding.subject: finding for finding in findings}


def warned(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.advice} - {"huge pages"}


def test_a_good_machine_has_no_warnings(tmp_path: Path) -> None:
    findings = check(tmp_path)
    assert warned(findings) == set()
    text = report([finding for finding in findings.values() if finding.subject != "huge pages"])
    assert text.endswith("No warnings: this machine is ready.")
    assert "[ok] overcommit: vm.overcommit_memory = 1" in text


@pytest.mark.parametrize(
    ("subject", "changes"),
    [
        ("overcommit", {"proc__sys__vm__overcommit_memory": "0"}),
        ("overcommit", {"proc__sys__vm__overcommit_memory": "2"}),
        ("memory", {"proc__meminfo": "MemTotal: 1000 kB\nMemAvailable: 50 kB\n"}),
        ("swap", {"proc__meminfo": "MemTotal: 1000 kB\nMemAvailable: 900 kB\nSwapTotal: 900 kB\nSwapFree: 100 kB\n"}),
        ("control group", {"sys__fs__cgroup__memory.current": "900"}),
        ("connection queue", {"proc__sys__net__core__somaxconn": "128"}),
    ],
)
def test_each_warning_says_what_to_change(tmp_path: Path, subject: str, changes: dict[str, str]) -> None:
    findings = check(tmp_path, **changes)
    assert warned(findings) == {subject}
    text = report([findings[subject]])
    assert f"[warning] {subject}: " in text
    assert "To change: " in text
    assert text.endswith("1 warning.")

"""The runner itself: what it reads out of the suite's output, and what it makes of it."""

from __future__ import annotations

import pytest

from tests.conformance.exceptions import Excepted, Exceptions
from tests.conformance.report import compare, render, summary
from tests.conformance.runs import OUTSIDE, Job, Outcome, parse
from tests.conformance.source import _with_sources

JOB = Job("minikv", "external", "unit/a", 10)

OUTPUT = """\
Cleanup: may take some time... OK
Starting test server at port 21079
[ready]: 7
Testing unit/a
[ok]: one (with words) (12 ms)
[err]: two in tests/unit/a.tcl
Expected 'x' to be equal to 'y'
    while executing
"r get a"
[ignore]: three: Not supported on external server
[ok]: four (0 ms)
--- LOG CONTENT ---
of a server that does not start
[err]: ERR no such setting
"r config set a b"
[1/1 done]: unit/a (3 seconds)

                   The End

!!! WARNING The following tests failed:

*** [err]: two in tests/unit/a.tcl
"""


def outcome(passed: list[str], failed: list[str], aborted: str = "") -> Outcome:
    return Outcome("minikv", "external", "unit/a", passed, dict.fromkeys(failed, "why"), aborted)


def exceptions(*names: str) -> Exceptions:
    return Exceptions({}, {}, [Excepted("unit/a", name, "a reason") for name in names])


def test_output_is_read_to_its_end() -> None:
    found = parse(OUTPUT, JOB)
    assert found.passed == ["one (with words)", "four"]
    assert list(found.failed) == ["two", OUTSIDE]
    assert found.failed["two"].startswith("Expected 'x' to be equal to 'y'\n")
    assert found.failed[OUTSIDE].startswith("ERR no such setting\n")
    assert not found.aborted


def test_an_exception_is_why_a_unit_has_ended() -> None:
    cut = OUTPUT[: OUTPUT.index("[1/1 done]")]
    assert parse(cut + "[exception]: Executing test client: I/O error.\nstack\n", JOB).aborted.startswith("Executing")
    assert parse(cut, JOB).aborted


def test_a_test_that_redis_passes_and_minikv_does_not_reach_is_wrong() -> None:
    baseline = outcome(["one", "one", "two", "three"], ["four"])
    found = compare(outcome(["one"], ["two", "four"]), baseline, exceptions())
    assert found.failed == ["two"] and found.redis_fails == ["four"]
    assert sorted(found.not_reached) == ["one", "three"]
    assert found.wrong


def test_a_unit_that_ends_early_is_wrong_even_without_a_baseline() -> None:
    assert compare(outcome(["one"], [], "I/O error"), None, exceptions()).wrong
    assert not compare(outcome(["one"], []), None, exceptions()).wrong


def test_exceptions_excuse_and_become_stale() -> None:
    baseline = outcome(["one", "two", "three"], [])
    found = compare(outcome(["one"], ["two"]), baseline, exceptions("two", "three"))
    assert not found.wrong and len(found.excepted) == 2
    found = compare(outcome(["one", "two", "three"], []), baseline, exceptions("two"))
    assert found.stale == ["two"] and found.wrong
    assert "PASSES, though exceptions.toml lists it: two" in summary([found])


def test_the_table_counts_each_column() -> None:
    baseline = {("external", "unit/a"): outcome(["one", "two", "three"], [])}
    found = compare(outcome(["one"], ["two"]), baseline["external", "unit/a"], exceptions())
    page = render([found], baseline, exceptions("nine"))
    assert "| unit/a | 3 | 1 | 1 | 1 | 0 |\n| **all** | 3 | 1 | 1 | 1 | 0 |" in page
    assert "- unit/a, *nine*: a reason" in page


def test_every_exception_has_a_reason() -> None:
    listed = Exceptions.read()
    assert all(entry.reason and entry.test for entry in listed.tests)
    assert len({(entry.unit, entry.test) for entry in listed.tests}) == len(listed.tests)


@pytest.mark.parametrize("suffix", [".list", ".sources"])
def test_sources_of_the_distribution_are_asked_for_source_packages(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.conformance.source._codename", lambda: "bookworm")
    lines = "deb http://mirror.example/debian bookworm main\ndeb https://else.example/apt cloud main\n"
    stanzas = (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        "Types: deb\nURIs: https://else.example/\nSuites: nodistro\nComponents: main\n"
    )
    text = _with_sources(lines if suffix == ".list" else stanzas, suffix)
    assert "deb-src" in text and "else.example" not in text

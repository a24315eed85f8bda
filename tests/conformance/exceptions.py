"""exceptions.toml: what of the suite does not apply to minikv, with reasons."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

PATH = Path(__file__).with_name("exceptions.toml")


@dataclass
class Excepted:
    """A test that does not apply. awaits: the feature that it needs, if that is planned and this is why.

    ends_unit: what it leaves behind stops the tests after it, so it is left out.
    """

    unit: str
    test: str
    reason: str
    awaits: str = ""
    modes: list[str] = field(default_factory=list)
    ends_unit: bool = False


@dataclass
class Exceptions:
    """units and tags: name to reason."""

    units: dict[str, str]
    tags: dict[str, str]
    tests: list[Excepted]

    @classmethod
    def read(cls, path: Path = PATH) -> Exceptions:
        with path.open("rb") as file:
            content = tomllib.load(file)
        units = {name: group["reason"] for group in content.get("units", []) for name in group["names"]}
        tags = {name: group["reason"] for group in content.get("tags", []) for name in group["names"]}
        tests = [
            Excepted(
                group["unit"],
                name,
                group["reason"],
                group.get("awaits", ""),
                group.get("modes", []),
                group.get("ends_unit", False),
            )
            for group in content.get("tests", [])
            for name in group["names"]
        ]
        return cls(units, tags, tests)

    def of(self, mode: str, unit: str) -> dict[str, Excepted]:
        """The tests of a unit that do not apply, by name."""
        return {entry.test: entry for entry in self.tests if entry.unit == unit and mode in (entry.modes or [mode])}

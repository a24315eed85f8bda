"""The pages: links lead somewhere, the README stays short, and its figures are those of docs/figures.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import FOUNDATIONS, ROOMS, all_imports, room

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
README_LINES = 200
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: lower case, without punctuation, dashes for spaces."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text: str) -> str:
    return re.sub(r"^(    |\t).*$", "", text, flags=re.MULTILINE)


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in LINK.findall(without_code(page.read_text())):
            if not re.match(r"[a-z]+:", target):
                yield page, target


@pytest.mark.parametrize(
    ("page", "target"), list(links()), ids=lambda value: value.name if isinstance(value, Path) else value
)
def test_links_lead_somewhere(page: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    assert file.exists(), f"{page.name}: {target}"
    assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    linked = {target.partition("#")[0] for page, target in links() if page.name == "README.md"}
    assert {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"} <= linked


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_figures_of_the_readme_are_those_of_the_page_of_figures() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = readme.split("## Figures")[1].split("\n## ")[0].split("\n|---")[1].splitlines()[1:]
    rows = [row for row in rows if row.startswith("|")]
    assert len(rows) == 8
    figures = (ROOT / "docs" / "figures.md").read_text().splitlines()
    assert [row for row in rows if row not in figures] == []


def test_the_page_of_the_architecture_says_which_rooms_import_which() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)/?` \|[^|]*\| ([\w, ]+) \|$", page, re.MULTILINE)
    said = {name: set(imported.split(", ")) - {"nothing"} for name, imported in rows}
    found: dict[str, set[str]] = {name: set() for name in ROOMS if name != "__main__"}
    for each in all_imports():
        importer, imported = room(each.importer), room(each.imported)
        if importer in found and imported not in FOUNDATIONS | {importer}:
            found[importer].add(imported)
    assert said == found
    assert list(said) == [name for name in ROOMS if name in said]

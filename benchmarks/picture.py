"""One look for all pictures of the lab.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; each line has a marker of its own besides.
Legends stand above the diagrams, never on the lines; below stands in a sentence what came out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

__all__ = [
    "BAD", "COLORS", "GOOD", "GREY", "Axes", "Figure", "bars", "caption", "dress", "legend", "logarithmic",
    "one_above", "panel", "save", "side_by_side", "stacked", "styles", "tall",
]  # fmt: skip

COLORS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]  # Okabe and Ito, without yellow
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
BAD, GOOD, GREY = COLORS[0], COLORS[2], "#7f7f7f"
WIDTH_IN = 8.0
CAPTION_COLUMNS = 105
DPI = 110


def styles() -> Iterator[tuple[str, str]]:
    """A colour and a marker for each line in turn."""
    return zip(COLORS, MARKERS, strict=True)


def stacked(rows: int, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Axes above each other."""
    figure = Figure((WIDTH_IN, 1.15 * sum(heights)), layout="constrained")
    axes = figure.subplots(rows, 1, height_ratios=heights)
    for each in axes:
        dress(each)
    return figure, list(axes)


def one_above(columns: int) -> tuple[Figure, Axes, list[Axes]]:
    """One wide diagram above several small ones."""
    figure = Figure((WIDTH_IN, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, columns, height_ratios=(3.2, 1.8))
    above = figure.add_subplot(grid[0, :])
    below = [figure.add_subplot(grid[1, column]) for column in range(columns)]
    for axes in (above, *below):
        dress(axes)
    return figure, above, below


def panel(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """One diagram."""
    figure = Figure((WIDTH_IN, 4.0), layout="constrained")
    axes = figure.subplots()
    dress(axes)
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def tall(rows: int) -> Figure:
    """Room for so many lines of text."""
    return Figure((WIDTH_IN * 1.25, 0.25 * rows + 1), layout="constrained")


def side_by_side(columns: int) -> tuple[Figure, list[Axes]]:
    """Square axes beside each other."""
    figure = Figure((WIDTH_IN, WIDTH_IN / columns + 0.5), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def bars(title: str, by_unit: dict[str, dict[str, float]]) -> Figure:
    """Values as horizontal bars, one diagram for each unit."""
    heights = [len(values) + 1 for values in by_unit.values()]
    figure = Figure((WIDTH_IN, 0.32 * sum(heights) + 0.6), layout="constrained")
    all_axes = figure.subplots(len(by_unit), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, color, (unit, values) in zip(all_axes, COLORS[1:], by_unit.items(), strict=False):
        dress(axes)
        drawn = axes.barh(list(values), list(values.values()), color=color)
        axes.bar_label(drawn, fmt="%.3g", padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(unit)
    figure.suptitle(title)
    return figure


def legend(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """What the lines of these axes are, above all diagrams."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=columns, frameon=False)


def caption(figure: Figure, text: str) -> None:
    """What came out, below all diagrams."""
    if text:
        figure.supxlabel(textwrap.fill(text, CAPTION_COLUMNS), fontsize=9, x=0.01, ha="left")


def logarithmic(axes: Axes) -> None:
    """A logarithmic y axis: 0.1, 1, 10."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def dress(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def save(figures: dict[str, Figure], results: Path) -> list[Path]:
    """As PNG beside the results' JSON file; a figure's name is added to the file's."""
    paths = []
    for name, figure in figures.items():
        path = results.with_name(results.stem + (f"-{name}" if name else "") + ".png")
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
        paths.append(path)
    return paths

"""One look for all pictures of the lab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["COLORS", "Axes", "Figure", "bars", "dress", "panel", "save", "side_by_side", "stacked", "tall"]

COLORS = ["#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f"]
WIDTH_IN = 8.0
DPI = 110


def stacked(rows: int, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Axes above each other that share their x axis."""
    figure = Figure((WIDTH_IN, 1.15 * sum(heights)), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, height_ratios=heights)
    for each in axes:
        dress(each)
    return figure, list(axes)


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

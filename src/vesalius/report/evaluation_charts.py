"""Charts of an evaluation: curves, reliability, decision, confusion, subgroups, shifts; light and dark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.evaluate.calibration import Reliability
from vesalius.evaluate.decision import Band, DecisionCurve
from vesalius.evaluate.predictions import Figure
from vesalius.report import figures
from vesalius.report.chart import DARK, LIGHT
from vesalius.report.figures import Pen, Picture

MM = 1 / 25.4
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
"""Okabe and Ito's palette, black left out: it is the ink."""
STYLES: tuple[Any, ...] = ("solid", (0, (5, 1.4)), (0, (1.2, 1.0)), (0, (6, 1.2, 1.2, 1.2)))
Theme = dict[str, str]


@dataclass(frozen=True)
class Sheet:
    """An empty figure with its size in mm."""

    figure: Any
    theme: Theme
    pen: Pen
    height_mm: float

    def axes(self, left: float, bottom: float, width: float, height: float) -> Any:
        """Return axes at a place in mm, dressed."""
        whole = (figures.WIDTH_MM, self.height_mm)
        box = (left / whole[0], bottom / whole[1], width / whole[0], height / whole[1])
        axes = self.figure.add_axes(box, facecolor=self.theme["paper"])
        axes.tick_params(colors=self.theme["faint"], width=0.5, length=2.5, labelsize=7)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set(color=self.theme["faint"], linewidth=0.7)
        axes.grid(color=self.theme["faint"], linewidth=0.4, alpha=0.3, zorder=0)
        return axes

    def name(self, axes: Any, across: str, up: str) -> None:
        """Write the names of both axes."""
        text = {"fontproperties": self.pen.font(8), "color": self.theme["faint"]}
        axes.set_xlabel(across, **text)
        axes.set_ylabel(up, **text)
        self.ticks(axes)

    def ticks(self, axes: Any, size: float = 7.0) -> None:
        """Write the numbers of both axes in the pen's face."""
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_fontproperties(self.pen.font(size))
            label.set_color(self.theme["faint"])

    def legend(self, axes: Any, **where: Any) -> None:
        """Write which line is which."""
        frame = {"frameon": False, "prop": self.pen.font(7), "labelcolor": self.theme["ink"], "handlelength": 2.6}
        axes.legend(**frame, **where)


def plate(name: str, height_mm: float, draw: Callable[[Sheet], None], pen: Pen, told: tuple[str, str]) -> Picture:
    """Return a figure of images: white on near-black in both themes."""
    drawn = _drawn(height_mm, draw, {**DARK, "paper": figures.PAPER, "ink": figures.INK}, pen)
    return Picture(name, drawn, *told, *figures.png_size(drawn))


def picture(name: str, height_mm: float, draw: Callable[[Sheet], None], pen: Pen, told: tuple[str, str]) -> Picture:
    """Return a chart in both themes.

    Args:
        told: caption and alternative text.
    """
    light, dark = (_drawn(height_mm, draw, theme, pen) for theme in (LIGHT, DARK))
    return Picture(name, light, *told, *figures.png_size(light), dark_png=dark)


def _drawn(height_mm: float, draw: Callable[[Sheet], None], theme: Theme, pen: Pen) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(figures.WIDTH_MM * MM, height_mm * MM), dpi=figures.DPI, facecolor=theme["paper"])
    FigureCanvasAgg(drawing)
    draw(Sheet(drawing, theme, pen, height_mm))
    pen.watermark(drawing, theme["ink"])
    return figures.png_bytes(drawing)


def curves(roc: Mapping[str, Band], recall: Mapping[str, Band], prevalence: float | None) -> Callable[[Sheet], None]:
    """Return what draws ROC and precision-recall curves side by side."""

    def draw(sheet: Sheet) -> None:
        left, right = sheet.axes(16, 13, 64, 52), sheet.axes(104, 13, 64, 52)
        for axes, lines in ((left, roc), (right, recall)):
            for number, (name, band) in enumerate(lines.items()):
                _line(axes, band, number, name, shade=len(lines) <= 3)
            axes.set(xlim=(-0.005, 1.005), ylim=(-0.005, 1.015))
        plain = {"color": sheet.theme["faint"], "linewidth": 0.8, "linestyle": (0, (1, 2))}
        left.plot((0, 1), (0, 1), **plain)
        if prevalence is not None:
            right.plot((0, 1), (prevalence, prevalence), **plain)
        words = sheet.pen.phrases
        sheet.name(left, words.text("evaluation.axis.false_alarms"), words.text("evaluation.axis.sensitivity"))
        sheet.name(right, words.text("evaluation.axis.recall"), words.text("evaluation.axis.precision"))
        sheet.legend(left, loc="lower right")

    return draw


def _line(axes: Any, band: Band, number: int, name: str, *, shade: bool) -> None:
    colour, style = COLOURS[number % len(COLOURS)], STYLES[number % len(STYLES)]
    if shade:
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.16, linewidth=0, zorder=1)
    axes.plot(band.x, band.y, color=colour, linestyle=style, linewidth=1.4, label=name, zorder=3)


def belief(told: Mapping[str, Reliability], decision: DecisionCurve | None) -> Callable[[Sheet], None]:
    """Return what draws the reliability diagram with counts and, beside it, the decision curve."""

    def draw(sheet: Sheet) -> None:
        _reliability(sheet, told, 16 if decision is not None else 56)
        if decision is not None:
            _decision(sheet, decision)

    return draw


def _reliability(sheet: Sheet, told: Mapping[str, Reliability], left: float) -> None:
    axes, below = sheet.axes(left, 28, 64, 54), sheet.axes(left, 12, 64, 11)
    axes.plot((0, 1), (0, 1), color=sheet.theme["faint"], linewidth=0.8, linestyle=(0, (1, 2)))
    words = sheet.pen.phrases
    for number, name in enumerate(one for one in ("after", "before") if one in told):
        found = told[name]
        line = {"color": COLOURS[number], "linestyle": STYLES[number], "linewidth": 1.3, "marker": "os"[number]}
        label = words.text(f"evaluation.line.{name}")
        axes.plot(found.predicted, found.observed, markersize=4, label=label, zorder=3, **line)
        width = 0.012
        below.bar(found.predicted + (number - 0.5) * width, found.cases, width, color=COLOURS[number], zorder=3)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xticklabels([])
    below.set(xlim=(-0.01, 1.01))
    sheet.name(axes, "", words.text("evaluation.axis.observed"))
    sheet.name(below, words.text("evaluation.axis.predicted"), words.text("evaluation.axis.cases"))
    sheet.legend(axes, loc="upper left")


def _decision(sheet: Sheet, decision: DecisionCurve) -> None:
    axes, words = sheet.axes(104, 12, 64, 70), sheet.pen.phrases
    _line(axes, decision.model, 0, words.text("evaluation.axis.value"), shade=True)
    axes.plot(decision.model.x, decision.everyone, color=COLOURS[1], linestyle=STYLES[1], linewidth=1.1,
              label=words.text("evaluation.line.everyone"))  # fmt: skip
    axes.axhline(0, color=sheet.theme["ink"], linewidth=0.9, label=words.text("evaluation.line.nobody"))
    top = max(float(np.nanmax(decision.model.high)), 0.02)
    axes.set(xlim=(0, 1), ylim=(-0.35 * top, 1.08 * top))
    sheet.name(axes, words.text("evaluation.axis.threshold"), words.text("evaluation.axis.benefit"))
    sheet.legend(axes, loc="upper right")


def confusion(table: NDArray[np.int64], labels: Sequence[str]) -> Callable[[Sheet], None]:
    """Return what draws a confusion table, darker for a larger share of the row."""
    from matplotlib import colormaps

    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    names = [one if len(one) < 22 else one[:20] + "…" for one in labels]

    def draw(sheet: Sheet) -> None:
        side = min(16.0 * len(labels), 92.0)
        axes = sheet.axes(62, 14, side * 1.25, side)
        axes.grid(visible=False)
        # cividis up to 85 % leaves the ink legible at both ends
        axes.imshow(share, cmap=colormaps["cividis"], vmin=0, vmax=1, aspect="auto", zorder=1)
        for row in range(len(labels)):
            for column in range(len(labels)):
                ink = "#ffffff" if share[row, column] < 0.55 else "#000000"
                text = f"{table[row, column]}\n({share[row, column]:.0%})"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontproperties=sheet.pen.font(7.5))
        axes.set_xticks(range(len(labels)), names)
        axes.set_yticks(range(len(labels)), names)
        words = sheet.pen.phrases
        sheet.name(axes, words.text("evaluation.axis.value"), words.text("evaluation.axis.true"))

    return draw


@dataclass(frozen=True)
class Twig:
    """One line of a forest plot; a heading has no figure."""

    text: str
    figure: Figure | None = None
    small: bool = False
    told: str = ""


def forest(twigs: Sequence[Twig], everyone: Figure | None, axis: str) -> Callable[[Sheet], None]:
    """Return what draws figures with intervals one below the other."""

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes(52, 11, 70, sheet.height_mm - 14)
        if everyone is not None:
            axes.axvline(everyone.value, color=sheet.theme["faint"], linewidth=0.8)
        for row, twig in enumerate(twigs):
            _twig(axes, row, twig, sheet)
        axes.set_ylim(len(twigs) - 0.5, -0.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        sheet.name(axes, axis, "")

    return draw


def _twig(axes: Any, row: int, twig: Twig, sheet: Sheet) -> None:
    text = {"va": "center", "color": sheet.theme["ink"], "transform": axes.get_yaxis_transform()}
    bold = twig.figure is None
    axes.text(-0.66 if bold else -0.62, row, twig.text, ha="left", fontproperties=sheet.pen.font(8, bold=bold), **text)
    if twig.figure is None or not np.isfinite(twig.figure.value):
        return
    one = twig.figure
    if np.isfinite(one.low):
        axes.plot((one.low, one.high), (row, row), color=sheet.theme["ink"], linewidth=1.1, zorder=2)
    face = sheet.theme["paper"] if twig.small else COLOURS[0]
    axes.plot(one.value, row, "s", markersize=5, color=COLOURS[0], markerfacecolor=face, zorder=3)
    axes.text(1.04, row, twig.told, ha="left", fontproperties=sheet.pen.font(7.5), **text)


def shifts(table: Mapping[str, Sequence[tuple[float, Figure]]], plain: float, axis: str) -> Callable[[Sheet], None]:
    """Return what draws a figure over the strength of each kind of shift."""

    def draw(sheet: Sheet) -> None:
        words = sheet.pen.phrases
        ends = [v for points in table.values() for _, f in points for v in (f.low, f.high, f.value, plain)]
        low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
        for number, (kind, points) in enumerate(table.items()):
            axes = sheet.axes(14 + 41 * number, 13, 34, 44)
            x, one = [strength for strength, _ in points], [figure for _, figure in points]
            error = [[f.value - f.low for f in one], [f.high - f.value for f in one]]
            axes.axhline(plain, color=sheet.theme["ink"], linewidth=0.9, linestyle=(0, (1, 1.5)))
            axes.errorbar(x, [f.value for f in one], yerr=np.maximum(np.nan_to_num(error), 0), color=COLOURS[0],
                          linewidth=1.2, marker="o", markersize=3.5, capsize=2)  # fmt: skip
            pad = 0.04 * (high - low or 1)
            axes.set(ylim=(low - pad, high + pad))
            axes.set_title(words.text(f"evaluation.shift.{kind}"), fontproperties=sheet.pen.font(8, bold=True),
                           color=sheet.theme["ink"])  # fmt: skip
            sheet.name(axes, words.text("evaluation.column.strength"), axis if number == 0 else "")

    return draw


def agreement(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], limits: Sequence[Figure]
) -> Callable[[Sheet], None]:
    """Return what draws predicted over true values, and differences over means with bias and limits."""

    def draw(sheet: Sheet) -> None:
        left, right, words = sheet.axes(16, 13, 64, 64), sheet.axes(104, 13, 64, 64), sheet.pen.phrases
        dots = {"s": 8, "color": COLOURS[0], "alpha": 0.55, "linewidths": 0, "zorder": 2}
        left.scatter(truth, predicted, **dots)
        ends = (float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max())))
        left.plot(ends, ends, color=sheet.theme["faint"], linewidth=0.8, linestyle=(0, (1, 2)))
        right.scatter((truth + predicted) / 2, predicted - truth, **dots)
        for number, figure in enumerate(limits):
            right.axhline(figure.value, color=COLOURS[1], linewidth=1.1, linestyle=STYLES[min(number, 1)])
            right.axhspan(figure.low, figure.high, color=COLOURS[1], alpha=0.12, linewidth=0)
        sheet.name(left, words.text("evaluation.axis.true"), words.text("evaluation.axis.value"))
        sheet.name(right, words.text("evaluation.axis.mean"), words.text("evaluation.axis.difference"))

    return draw


def montage(shots: Sequence[tuple[NDArray[np.uint8], str]], columns: int = 6) -> Callable[[Sheet], None]:
    """Return what draws small pictures with two lines of words below each."""

    def draw(sheet: Sheet) -> None:
        width = (figures.WIDTH_MM - 3 * (columns + 1)) / columns
        for number, (pixels, words) in enumerate(shots):
            row, column = divmod(number, columns)
            bottom = sheet.height_mm - (row + 1) * (width + 13) + 11
            axes = sheet.axes(3 + column * (width + 3), bottom, width, width)
            axes.set_facecolor(figures.PAPER)
            axes.grid(visible=False)
            grey = {} if pixels.ndim == 3 else {"cmap": "gray", "vmin": 0, "vmax": 255}
            axes.imshow(pixels, interpolation="bilinear", **grey)
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
            axes.text(0, -0.03, words, transform=axes.transAxes, ha="left", va="top", color=sheet.theme["ink"],
                      fontproperties=sheet.pen.font(6.6), linespacing=1.25)  # fmt: skip

    return draw


def montage_height(count: int, columns: int = 6) -> float:
    """Return the height of a montage in mm."""
    width = (figures.WIDTH_MM - 3 * (columns + 1)) / columns
    return -(-count // columns) * (width + 13) + 2

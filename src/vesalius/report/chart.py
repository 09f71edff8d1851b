"""The chart of volumes: horizontal bars with their intervals, the numbers written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vesalius.core.finding import Measurement
from vesalius.core.report import Result
from vesalius.report import figures, numbers
from vesalius.report.figures import Pen, Picture
from vesalius.report.phrases import Phrases

_ROW_MM, _LEFT_MM, _RIGHT_MM, _AXIS_MM = 9.0, 46.0, 44.0, 11.0
_MM = 1 / 25.4
LIGHT = {"paper": "#ffffff", "ink": "#1a1d21", "faint": "#6b7280", "bar": "#9aa5b1"}
DARK = {"paper": "#15181c", "ink": "#e7e9ec", "faint": "#9aa1ab", "bar": "#7f8b99"}


def volume_chart(result: Result, pen: Pen, beside: Phrases) -> Picture | None:
    """Return the chart of every headline volume in mL, None when there are fewer than two."""
    rows = [m for m in result.report.measurements if m.headline and m.unit == "mL" and m.value is not None]
    if len(rows) < 2:
        return None
    colours = [_colour(result, measurement) for measurement in rows]
    light, dark = (_draw(rows, colours, theme, pen) for theme in (LIGHT, DARK))
    caption = beside.text("report.chart.caption")
    listed = beside.joined([f"{beside.title(m)} {numbers.quantity(m)}" for m in rows])
    alt = beside.text("report.chart.alt", caption=caption, values=listed)
    return Picture("volumes", light, caption, alt, *figures.png_size(light), dark_png=dark)


def _colour(result: Result, measurement: Measurement) -> str | None:
    mask = result.masks.get(measurement.mask)
    for segment in mask.segments.values() if mask is not None else ():
        if segment.name == measurement.segment:
            return figures.hexadecimal(segment.colour)
    return None


def _draw(rows: Sequence[Measurement], colours: Sequence[str | None], theme: dict[str, str], pen: Pen) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = _ROW_MM * len(rows) + _AXIS_MM
    figure = Figure(figsize=(figures.WIDTH_MM * _MM, height * _MM), dpi=figures.DPI, facecolor=theme["paper"])
    FigureCanvasAgg(figure)
    width = figures.WIDTH_MM - _LEFT_MM - _RIGHT_MM
    box = (_LEFT_MM, _AXIS_MM, width, height - _AXIS_MM - 1)
    axes = figure.add_axes(
        (box[0] / figures.WIDTH_MM, box[1] / height, box[2] / figures.WIDTH_MM, box[3] / height),
        facecolor=theme["paper"],
    )
    for index, (measurement, colour) in enumerate(zip(rows, colours, strict=True)):
        _bar(axes, index, measurement, (colour or theme["bar"], theme), pen)
    _dress(axes, rows, theme, pen)
    pen.watermark(figure, theme["ink"])
    return figures.png_bytes(figure)


def _bar(axes: Any, index: int, measurement: Measurement, look: tuple[str, dict[str, str]], pen: Pen) -> None:
    colour, theme = look
    value = measurement.value or 0.0
    axes.barh(index, value, height=0.46, color=colour, zorder=2)
    if (interval := measurement.interval) is not None:
        axes.plot((interval.low, interval.high), (index, index), color=theme["ink"], linewidth=1.1, zorder=3)
        for end in (interval.low, interval.high):
            axes.plot((end, end), (index - 0.17, index + 0.17), color=theme["ink"], linewidth=1.1, zorder=3)
    text = {"va": "center", "color": theme["ink"]}
    axes.text(
        -0.02,
        index,
        pen.phrases.title(measurement),
        ha="right",
        fontproperties=pen.font(8),
        **text,
        transform=axes.get_yaxis_transform(),
    )
    axes.text(
        1.02,
        index,
        numbers.quantity(measurement),
        ha="left",
        fontproperties=pen.font(8),
        **text,
        transform=axes.get_yaxis_transform(),
    )


def _dress(axes: Any, rows: Sequence[Measurement], theme: dict[str, str], pen: Pen) -> None:
    highest = max(max(m.value or 0.0, m.interval.high if m.interval else 0.0) for m in rows)
    axes.set_xlim(0, highest * 1.03 or 1.0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.grid(axis="x", color=theme["faint"], linewidth=0.4, alpha=0.45, zorder=0)
    axes.tick_params(colors=theme["faint"], width=0.5, length=2.5)
    for label in axes.get_xticklabels():
        label.set_fontproperties(pen.font(7.5))
        label.set_color(theme["faint"])
    for side, spine in axes.spines.items():
        spine.set_visible(side == "left")
        spine.set(color=theme["faint"], linewidth=0.7)
    axes.set_xlabel(pen.phrases.text("report.chart.axis"), fontproperties=pen.font(8), color=theme["faint"])

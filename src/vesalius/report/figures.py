"""Figures: slices as radiologists read them, with contours, orientation letters, position, window and scale bar.

Drawn with Matplotlib's Agg canvas and no global state. Sizes are print sizes: 174 mm wide on A4.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.finding import KeyImage
from vesalius.core.mask import Mask, Segment
from vesalius.core.report import Outcome, Result
from vesalius.core.volume import Volume
from vesalius.report import planes
from vesalius.report.contours import Outline, inner_first, trace
from vesalius.report.fonts import Face
from vesalius.report.phrases import Phrases

WIDTH_MM = 174.0
DPI = 200
CONTOUR_POINTS = 1.5 * 72 / DPI
"""1.5 pixels at print size."""

HALO_POINTS = 2.4 * 72 / DPI
"""A faint dark edge that keeps contours legible on tissue of the same brightness, in greyscale print above all."""

LINE_STYLES: tuple[Any, ...] = ("solid", (0, (5, 1.4)), (0, (1.2, 1.0)), (0, (6, 1.2, 1.2, 1.2)))
"""So that segments can be told apart in greyscale print too."""

INK, PAPER, FAINT = "#f2f2f2", "#0b0d10", "#b9bec5"
SMALL_MM = 40.0
"""Print width up to which a panel is one of a montage: smaller letters, no halo."""

_GAP_MM, _STRIP_MM = 1.5, 7.0
_MM = 1 / 25.4
_MAX_COLUMNS = 6
_MAX_HEIGHT_MM, _MAX_FLAT_HEIGHT_MM = 205.0, 120.0
_SCALE_BARS_MM = (5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure with what people need beside it.

    Args:
        png: light version (slices are white on near-black in both).
        dark_png: a chart's version for the reading room, b"" when the same serves.
    """

    name: str
    png: bytes
    caption: str
    alt: str
    width: int
    height: int
    dark_png: bytes = b""
    note: str = ""


@dataclass(frozen=True)
class Pen:
    """What every drawing needs: words, the faces (regular, bold) to write them with, and a draft's watermark."""

    phrases: Phrases
    faces: tuple[Face, ...]
    draft: str = ""

    def watermark(self, figure: Any, colour: str) -> None:
        """Write the draft mark across a figure when a draft model took part."""
        if self.draft:
            style = {"ha": "center", "va": "center", "rotation": 16, "alpha": 0.3, "color": colour}
            figure.text(0.5, 0.5, self.draft, fontproperties=self.font(38, bold=True), **style)

    def font(self, size: float, *, bold: bool = False) -> Any:
        """Return font properties; a face inside a collection keeps its index."""
        from matplotlib import font_manager

        face = self.faces[-1 if bold else 0]
        path = getattr(font_manager, "FontPath", None)
        name = face.path if path is None else path(face.path, face.index)
        return font_manager.FontProperties(fname=name, size=size)


@dataclass(frozen=True, eq=False)
class _Panel:
    pixels: NDArray[Any]
    size_mm: tuple[float, float]
    outlines: tuple[Outline, ...] = ()
    letters: tuple[str, ...] = ()
    title: str = ""
    place: str = ""
    bar: bool = True


@dataclass(frozen=True, eq=False)
class _Sheet:
    """Rows of panels that share one scale."""

    rows: tuple[tuple[_Panel, ...], ...]
    window: tuple[float, float]
    most_mm: float = _MAX_HEIGHT_MM
    scale: float = 0.0

    def fitted(self) -> _Sheet:
        """Return the sheet with the scale (print mm per world mm) at which the widest row fills the page."""
        widest = max(sum(p.size_mm[0] for p in row) for row in self.rows)
        most = max(len(row) for row in self.rows)
        scale = (WIDTH_MM - _GAP_MM * (most + 1)) / widest
        room = self.most_mm - _GAP_MM * (len(self.rows) + 1)
        return replace(self, scale=min(scale, room / sum(self.heights_mm())))

    def heights_mm(self) -> list[float]:
        """Return the world height of each row."""
        return [max(panel.size_mm[1] for panel in row) for row in self.rows]


def key_images(result: Result) -> tuple[KeyImage, ...]:
    """Return the pictures the application asked for; without any, the middle of the input that was read."""
    known = tuple(image for image in result.images if image.volume in result.volumes)
    if known or not result.volumes:
        return known
    roles = [source.role for source in result.report.sources if source.role in result.volumes]
    name = roles[0] if roles else next(iter(result.volumes))
    return (_input_image(name, result.volumes[name]),)


def _input_image(name: str, volume: Volume) -> KeyImage:
    from vesalius.core.finding import Message

    point = volume.centre_mm()
    return KeyImage(
        name="input",
        volume=name,
        mask="",
        planes=tuple(planes.PLANES),
        point_mm=(float(point[0]), float(point[1]), float(point[2])),
        window=planes.robust_window(planes.first_element(volume)),
        caption=Message("report.picture.input"),
    )


def draw(result: Result, pen: Pen, beside: Phrases | None = None) -> tuple[Picture, ...]:
    """Return every picture of a result: the first is for page one, the others are evidence.

    Args:
        beside: words for caption and alternative text, when they are not those in the picture.
    """
    from vesalius.report.chart import volume_chart

    beside = beside or pen.phrases
    pictures = []
    for image in key_images(result):
        pictures.append(key_picture(image, result, pen, beside))
        if image.mask in result.masks:
            pictures.append(key_picture(image, result, pen, beside, contours=False))
    chart = volume_chart(result, pen, beside) if result.report.outcome is Outcome.COMPLETED else None
    return (*pictures, chart) if chart else tuple(pictures)


def key_picture(
    image: KeyImage, result: Result, pen: Pen, beside: Phrases | None = None, *, contours: bool = True
) -> Picture:
    """Return one key image drawn: every plane at every offset, contours from its mask."""
    beside = beside or pen.phrases
    volume = planes.first_element(result.volumes[image.volume])
    mask = result.masks.get(image.mask) if contours else None
    window = _window(image.window, volume)
    flat = planes.is_flat(volume)
    rows = _flat_rows(volume) if flat else _plane_rows(image, volume, mask, window, pen.phrases)
    sheet = _Sheet(rows, window, _MAX_FLAT_HEIGHT_MM if flat else _MAX_HEIGHT_MM).fitted()
    segments = _segments_shown(sheet)
    png = _draw_sheet(sheet, segments, pen)
    plain = image.mask in result.masks and not contours
    caption = beside.say(image.caption)
    if plain:
        caption = beside.text("report.picture.plain", caption=caption)
    names = [beside.segment(segment) for segment in segments]
    note = "" if flat else beside.text("report.picture.convention")
    if len(names) > 1 and len(image.offsets_mm) > 1:
        note += beside.text("report.picture.shared_border")
    alt = beside.text("report.alt.flat", caption=caption) if flat else _alt_text(caption, image, names, beside)
    name = f"{image.name}_plain" if plain else image.name
    return Picture(name, png, caption, alt, *png_size(png), note=note)


def _window(asked: tuple[float, float], volume: Volume) -> tuple[float, float]:
    low, high = asked
    return (low, high) if math.isfinite(low) and math.isfinite(high) and high > low else planes.robust_window(volume)


def _plane_rows(
    image: KeyImage, volume: Volume, mask: Mask | None, window: tuple[float, float], phrases: Phrases
) -> tuple[tuple[_Panel, ...], ...]:
    floor = window[0] + 0.1 * (window[1] - window[0])
    panels: list[list[_Panel]] = []
    for name in image.planes:
        view = planes.plane(volume, name)
        box = planes.view_box(volume, mask, view, floor)
        step = planes.native_step_mm(volume, box)
        points = [np.array(image.point_mm) + offset * view.normal for offset in image.offsets_mm]
        panels.append([_cut(volume, mask, view, point, (box, step), phrases) for point in points])
    if len(image.offsets_mm) == 1:
        return (tuple(row[0] for row in panels),)
    return tuple(part for row in panels for part in _wrapped([row[0], *(replace(p, bar=False) for p in row[1:])]))


def _wrapped(row: Sequence[_Panel]) -> list[tuple[_Panel, ...]]:
    lines = math.ceil(len(row) / _MAX_COLUMNS)
    columns = math.ceil(len(row) / lines)
    return [tuple(row[start : start + columns]) for start in range(0, len(row), columns)]


def _cut(
    volume: Volume,
    mask: Mask | None,
    view: planes.Plane,
    point: NDArray[np.float64],
    grid: tuple[planes.Box, float],
    phrases: Phrases,
) -> _Panel:
    box, step = grid
    size = (box[1] - box[0], box[3] - box[2])
    shares = (
        []
        if mask is None
        else [
            (segment, planes.sample_label(mask, label, view, point, box, step))
            for label, segment in mask.segments.items()
        ]
    )
    side, distance = view.position(point)
    return _Panel(
        pixels=planes.sample(volume, view, point, box, step),
        size_mm=size,
        outlines=trace(shares, size),
        letters=view.edge_letters(),
        title=phrases.text(f"report.plane.{view.name}"),
        place=f"{side} {distance:.1f} mm",
    )


def _flat_rows(volume: Volume) -> tuple[tuple[_Panel, ...], ...]:
    pixels, (row_mm, column_mm), calibrated = planes.flat_pixels(volume)
    size = (pixels.shape[1] * column_mm, pixels.shape[0] * row_mm)
    return ((_Panel(pixels, size, bar=calibrated),),)


def _segments_shown(sheet: _Sheet) -> tuple[Segment, ...]:
    return inner_first([outline for row in sheet.rows for panel in row for outline in panel.outlines])


def _draw_sheet(sheet: _Sheet, segments: Sequence[Segment], pen: Pen) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height_mm = sheet.scale * sum(sheet.heights_mm()) + _GAP_MM * (len(sheet.rows) + 1) + _STRIP_MM
    figure = Figure(figsize=(WIDTH_MM * _MM, height_mm * _MM), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    top = height_mm - _GAP_MM
    styles = _styles(segments)
    for row, row_height in zip(sheet.rows, sheet.heights_mm(), strict=True):
        widths = [panel.size_mm[0] * sheet.scale for panel in row]
        free = (WIDTH_MM - sum(widths)) / (len(row) + 1)
        left = free
        for panel, width in zip(row, widths, strict=True):
            high = panel.size_mm[1] * sheet.scale
            bottom = top - (row_height * sheet.scale + high) / 2
            axes = figure.add_axes((left / WIDTH_MM, bottom / height_mm, width / WIDTH_MM, high / height_mm))
            _draw_panel(axes, panel, sheet, styles, pen)
            left += width + free
        top -= row_height * sheet.scale + _GAP_MM
    _draw_strip(figure, height_mm, (sheet.window, segments, styles), pen)
    pen.watermark(figure, INK)
    return png_bytes(figure)


def _styles(segments: Sequence[Segment]) -> dict[str, Any]:
    return {segment.name: LINE_STYLES[index % len(LINE_STYLES)] for index, segment in enumerate(segments)}


def _draw_panel(axes: Any, panel: _Panel, sheet: _Sheet, styles: Mapping[str, Any], pen: Pen) -> None:
    width, height = panel.size_mm
    pixels = panel.pixels
    rgb = pixels.ndim == 3
    shown = _as_colour(pixels) if rgb else np.nan_to_num(pixels, nan=sheet.window[0])
    low, high = sheet.window
    grey = {} if rgb else {"cmap": "gray", "vmin": low, "vmax": high}
    axes.imshow(shown, extent=(0, width, height, 0), interpolation="bilinear", aspect="auto", **grey)
    drawn: list[str] = []
    for name in styles:
        for outline in panel.outlines:
            if outline.segment.name == name:
                style = {
                    "linestyle": styles[name],
                    "linewidth": CONTOUR_POINTS,
                    "color": hexadecimal(outline.segment.colour),
                }
                path = outline.path(drawn)
                if width * sheet.scale > SMALL_MM:
                    axes.plot(path[:, 0], path[:, 1], linewidth=HALO_POINTS, color=PAPER, alpha=0.4)
                axes.plot(path[:, 0], path[:, 1], **style)
        drawn.append(name)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    _annotate(axes, panel, sheet.scale, pen)


def _annotate(axes: Any, panel: _Panel, scale: float, pen: Pen) -> None:
    print_width = panel.size_mm[0] * scale
    size = 7.5 if print_width > SMALL_MM else 5.5
    pad_x, pad_y = 1.0 / print_width, 1.0 / (panel.size_mm[1] * scale)
    corner = {"transform": axes.transAxes, "color": INK, "fontproperties": pen.font(size), "path_effects": _halo()}
    spots = (
        (pad_x, 0.5, "left", "center"),
        (1 - pad_x, 0.5, "right", "center"),
        (0.5, 1 - pad_y, "center", "top"),
        (0.5, pad_y, "center", "bottom"),
    )
    for letter, (x, y, across, along) in zip(panel.letters, spots, strict=False):
        axes.text(x, y, letter, ha=across, va=along, **(corner | {"fontproperties": pen.font(size, bold=True)}))
    faint = corner | {"color": FAINT, "fontproperties": pen.font(size - 0.5)}
    if print_width > SMALL_MM:
        axes.text(pad_x, 1 - pad_y, panel.title, ha="left", va="top", **faint)
    axes.text(pad_x, pad_y, panel.place, ha="left", va="bottom", **faint)
    if panel.bar:
        _scale_bar(axes, panel, (pad_x, pad_y), faint)


def _scale_bar(axes: Any, panel: _Panel, pad: tuple[float, float], style: Mapping[str, Any]) -> None:
    width = panel.size_mm[0]
    fitting = [length for length in _SCALE_BARS_MM if length <= 0.34 * width]
    if not fitting:
        return
    share, right, base = fitting[-1] / width, 1 - pad[0], pad[1]
    axes.plot((right - share, right), (base, base), transform=axes.transAxes, color=INK, linewidth=1.0, clip_on=False)
    axes.text(right, base * 1.9, f"{fitting[-1]} mm", ha="right", va="bottom", **style)


def _draw_strip(
    figure: Any,
    height_mm: float,
    content: tuple[tuple[float, float], Sequence[Segment], Mapping[str, Any]],
    pen: Pen,
) -> None:
    """Draw the legend of contours on the left and the window on the right, below the panels."""
    from matplotlib.lines import Line2D

    (low, high), segments, styles = content
    axes = figure.add_axes((0, 0, 1, _STRIP_MM / height_mm))
    axes.set(xlim=(0, WIDTH_MM), ylim=(0, _STRIP_MM))
    axes.axis("off")
    text = {"va": "center", "color": INK, "fontproperties": pen.font(7.5)}
    x, middle = 3.0, _STRIP_MM / 2
    for segment in segments:
        line = Line2D((x, x + 8), (middle, middle), color=hexadecimal(segment.colour), linewidth=1.4)
        line.set_linestyle(styles[segment.name])
        axes.add_line(line)
        drawn = axes.text(x + 9.5, middle, pen.phrases.segment(segment), **text)
        x += 9.5 + drawn.get_window_extent(figure.canvas.get_renderer()).width / DPI * 25.4 + 6
    window = pen.phrases.text("report.picture.window", width=_short(high - low), level=_short((high + low) / 2))
    axes.text(WIDTH_MM - 3, middle, window, ha="right", **(text | {"color": FAINT}))


def _alt_text(caption: str, image: KeyImage, names: Sequence[str], phrases: Phrases) -> str:
    shown = phrases.joined([phrases.text(f"report.plane.{name}") for name in image.planes])
    count = len(image.planes) * len(image.offsets_mm)
    text = phrases.text("report.alt.slices", caption=caption, planes=shown, count=count)
    return text + (phrases.text("report.alt.contours", names=phrases.joined(names)) if names else "")


def _as_colour(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype == np.uint8:
        return pixels[..., :3]
    peak = float(pixels.max()) or 1.0
    return np.clip(pixels[..., :3] / peak, 0, 1)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def hexadecimal(colour: tuple[int, int, int]) -> str:
    """Return an RGB colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _halo() -> list[Any]:
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=1.2, foreground=PAPER)]


def png_bytes(figure: Any) -> bytes:
    """Return the figure as PNG without a time or a version in it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return stream.getvalue()


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height from the PNG header (ISO/IEC 15948, 11.2.2)."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")

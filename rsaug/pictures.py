"""Pictures of control maps for people: one image a map, put together on a sheet with titles.

A picture is uint8 (rows, cols, 3), RGB. Nothing here is ever read by a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rsaug.conditions.stack import STACK, ControlStack
from rsaug.errors import InputError
from rsaug.files import write_whole

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Kind = Literal["binary", "grey", "palette", "classes", "direction", "distance"]

# Inside a road, its edge, far outside; and where a map says nothing.
_INSIDE, _EDGE, _OUTSIDE = (178, 24, 43), (247, 247, 247), (33, 102, 172)
_NOTHING = (96, 60, 120)

_GROUND, _INK, _FAINT = (255, 255, 255), (30, 30, 30), (150, 150, 150)
_MARGIN_PX, _TEXT_PX, _SWATCH_PX = 10, 14, 12
_MOST_PIXELS = 2**28


class Swatch(NamedTuple):
    """One entry of a legend."""

    name: str
    colour: Colour


class Panel(NamedTuple):
    """One picture of a sheet.

    Attributes:
        title: What it shows.
        picture: uint8 (rows, cols, 3).
        legend: What its colours say.
    """

    title: str
    picture: Picture
    legend: tuple[Swatch, ...] = ()


def picture_of(
    values: NDArray[np.generic],
    kind: Kind,
    *,
    limits: tuple[float, float] | None = None,
    palette: NDArray[np.uint8] | None = None,
) -> Picture:
    """The picture of a map, uint8 (rows, cols, 3).

    Args:
        values: As the kind has them; what is masked or no number gets a colour of its own.
        kind: ``binary``, 0 or not, (rows, cols); ``grey``, numbers, (rows, cols), or three channels
            alike, (3, rows, cols); ``palette``, colours, (3, rows, cols), uint8 or in [0, 1];
            ``classes``, positions in ``palette``, (rows, cols); ``direction``, cosine and sine of
            twice an angle, (2, rows, cols), as a hue; ``distance``, signed, (rows, cols), red where
            negative, white at 0 and blue where positive.
        limits: Numbers of black and white of ``grey``, 0 and 1 by default; of ``distance`` those of
            full red and full blue, by default the largest distance there is to either side.
        palette: Colours of ``classes``, (n, 3), by default those of `distinct_colours`.

    Raises:
        InputError: if there is no such kind, or the array has another shape than it needs.
    """
    if kind not in get_args(Kind):
        raise InputError(f"No kind of picture is called {kind!r}; there are {get_args(Kind)}.")
    channels = {"palette": (3,), "direction": (2,), "grey": (0, 3)}.get(kind, (0,))
    given = values.shape[0] if values.ndim == 3 else 0
    if values.ndim not in (2, 3) or given not in channels or not values.size:
        needed = " or ".join(f"({n}, rows, cols)" if n else "(rows, cols)" for n in channels)
        raise InputError(f"A picture of the kind {kind!r} needs {needed}, not {values.shape}.")
    if kind == "classes":
        return _classes(values, palette)
    numbers = np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
    missing = np.isnan(numbers if numbers.ndim == 2 else numbers.sum(0))
    numbers = np.where(np.isnan(numbers), 0.0, numbers)
    if kind == "palette":
        full = 255.0 if np.issubdtype(values.dtype, np.integer) else 1.0
        colours = np.moveaxis(numbers, 0, -1) / full
    elif kind == "direction":
        colours = _hues(numbers[0], numbers[1])
    elif kind == "distance":
        colours = _diverging(numbers, limits)
    else:
        grey = numbers if numbers.ndim == 2 else numbers[0]
        low, high = limits or (0.0, 1.0)
        light = grey != 0 if kind == "binary" else (grey - low) / max(high - low, 1e-12)
        colours = np.repeat(np.asarray(light, dtype=np.float64)[..., None], 3, axis=2)
    picture = np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)
    picture[missing] = _NOTHING
    return picture


def legend_of(
    kind: Kind,
    *,
    names: Sequence[str] = (),
    palette: NDArray[np.uint8] | None = None,
    limits: tuple[float, float] | None = None,
    unit: str = "m",
) -> tuple[Swatch, ...]:
    """What the colours of a picture say.

    Args:
        kind: The kind of picture.
        names: Names of ``classes``, in the order of the palette; one that is empty is left out.
        palette: As in `picture_of`.
        limits: As in `picture_of`; with it, ``grey`` says what is black and what is white.
        unit: Unit of the limits.
    """
    if kind == "classes":
        colours = distinct_colours(len(names)) if palette is None else palette
        pairs = zip(names, colours.tolist(), strict=False)
        return tuple(Swatch(name, (red, green, blue)) for name, (red, green, blue) in pairs if name)
    if kind == "direction":
        angles = {"east-west": 0, "north-east": 45, "north-south": 90, "north-west": 135}
        turn = 2 * np.radians(np.array([list(angles.values())], dtype=np.float64))
        hues = np.rint(_hues(np.cos(turn), np.sin(turn))[0] * 255).astype(int).tolist()
        return tuple(Swatch(name, (r, g, b)) for name, (r, g, b) in zip(angles, hues, strict=True))
    if kind == "distance":
        low, high = (f" ({end:g} {unit})" for end in limits) if limits else ("", "")
        return (
            Swatch(f"inside{low}", _INSIDE),
            Swatch("edge", _EDGE),
            Swatch(f"outside{high}", _OUTSIDE),
        )
    if kind == "grey" and limits:
        ends = zip(limits, ((0, 0, 0), (255, 255, 255)), strict=True)
        return tuple(Swatch(f"{end:g} {unit}".strip(), colour) for end, colour in ends)
    return ()


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """Colours that are easily told apart, uint8 (count, 3): black, then hues a golden angle apart.

    The first colours stay the same however many are asked for.
    """
    turn = np.arange(count)[None] * (math.pi * (3 - math.sqrt(5)))
    colours: NDArray[np.uint8] = np.rint(_hues(np.cos(turn), np.sin(turn))[0] * 255).astype(
        np.uint8
    )
    colours[:1] = 0
    return colours


def stack_panels(stack: ControlStack) -> list[Panel]:
    """A panel of each control of a stack, in its order; those that were not given say so."""
    from rsaug.conditions.landcover import CLASSES, PALETTE

    panels = []
    for slot, present in zip(STACK, stack.present, strict=True):
        maps = stack.slot(slot.name)
        flat = slot.look != "palette"
        picture = picture_of(maps[0] if flat else maps, slot.look)
        legend: tuple[Swatch, ...] = ()
        if present and not flat:
            there = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
            every = legend_of("classes", names=CLASSES, palette=PALETTE)
            legend = tuple(swatch for swatch in every if swatch.colour in there)
        panels.append(Panel(slot.title if present else f"{slot.title}: not given", picture, legend))
    return panels


def contact_sheet(
    panels: Sequence[Panel | tuple[str, Picture]],
    columns: int | None = None,
    scale: float = 1,
) -> Picture:
    """Pictures side by side under their titles and above their legends, uint8 (rows, cols, 3).

    Args:
        panels: Titles and pictures, with a legend where one is wanted; row by row.
        columns: Pictures a row; by default as many as make the sheet about as wide as high.
        scale: How many times as large the pictures are shown; from 1 on each pixel stays a square.

    Raises:
        InputError: if there is no panel, a picture is not uint8 (rows, cols, 3), or the sheet would
            be too large to open.
    """
    from PIL import Image, ImageDraw, ImageFont

    shown = [_scaled(Panel(*panel), scale) for panel in panels]
    if not shown:
        raise InputError("A sheet needs at least one picture.")
    columns = min(columns or math.ceil(math.sqrt(len(shown))), len(shown))
    font = ImageFont.load_default(_TEXT_PX)
    width = max(panel.picture.shape[1] for panel in shown)
    grid = [shown[first : first + columns] for first in range(0, len(shown), columns)]
    heads = [max(len(_wrapped(p.title, font, width)) for p in row) * _line_px() for row in grid]
    feet = [max(len(_legend_rows(p.legend, font, width)) for p in row) * _line_px() for row in grid]
    heights = [max(panel.picture.shape[0] for panel in row) for row in grid]
    size = (
        _MARGIN_PX + columns * (width + _MARGIN_PX),
        _MARGIN_PX + sum(heads) + sum(heights) + sum(feet) + len(grid) * 2 * _MARGIN_PX,
    )
    _check_size(*size)
    sheet = Image.new("RGB", size, _GROUND)
    draw, top = ImageDraw.Draw(sheet), _MARGIN_PX
    for row, head, height, foot in zip(grid, heads, heights, feet, strict=True):
        for nth, panel in enumerate(row):
            left = _MARGIN_PX + nth * (width + _MARGIN_PX)
            titles = _wrapped(panel.title, font, width)
            start = top + head - len(titles) * _line_px()
            for line, text in enumerate(titles):
                draw.text((left, start + line * _line_px()), text, fill=_INK, font=font)
            sheet.paste(Image.fromarray(panel.picture), (left, top + head))
            rows, cols = panel.picture.shape[:2]
            frame = (left - 1, top + head - 1, left + cols, top + head + rows)
            draw.rectangle(frame, outline=_FAINT)
            below = top + head + panel.picture.shape[0] + 4
            _draw_legend(draw, panel.legend, font, (left, below, width))
        top += head + height + foot + 2 * _MARGIN_PX
    return np.asarray(sheet)


def write_png(path: Path | str, picture: Picture) -> None:
    """Write a picture, uint8 (rows, cols, 3), as PNG; the file appears whole or not at all.

    Raises:
        InputError: if it is no picture.
        OutputError: if the file cannot be written.
    """
    write_whole(path, encode_png(picture))


def encode_png(picture: Picture) -> bytes:
    """The bytes of the file that `write_png` writes."""
    from PIL import Image

    _check_picture(picture)
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, format="PNG")
    return file.getvalue()


def _classes(values: NDArray[np.generic], palette: NDArray[np.uint8] | None) -> Picture:
    missing = np.ma.getmaskarray(np.ma.asarray(values))
    classes = np.ma.filled(np.ma.asarray(values), 0).astype(np.int64)
    most = int(classes.max(initial=0))
    colours = distinct_colours(most + 1) if palette is None else palette
    if classes.min(initial=0) < 0 or most >= len(colours):
        raise InputError(
            f"Classes range from {classes.min()} to {most}, but the palette has {len(colours)} "
            "colours."
        )
    picture: Picture = colours[classes]
    picture[missing] = _NOTHING
    return picture


def _hues(cosine: NDArray[np.float64], sine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions as fully saturated hues in [0, 1], (rows, cols, 3), as dark as they are weak."""
    hue = np.mod(np.arctan2(sine, cosine) / (2 * np.pi), 1.0)
    # Smith 1978, "Color Gamut Transform Pairs": the three ramps of the hexcone.
    ramps = np.abs(np.mod(hue[..., None] * 6 + np.array([0.0, 4.0, 2.0]), 6) - 3) - 1
    strength = np.minimum(np.hypot(cosine, sine), 1)
    colours: NDArray[np.float64] = np.clip(ramps, 0, 1) * strength[..., None]
    return colours


def _diverging(
    distance: NDArray[np.float64], limits: tuple[float, float] | None
) -> NDArray[np.float64]:
    """Red below 0, white at 0, blue above, in [0, 1], (rows, cols, 3)."""
    low, high = limits or (distance.min(initial=0), distance.max(initial=0))
    share = np.where(distance < 0, distance / min(low, -1e-12), distance / max(high, 1e-12))
    end = np.where((distance < 0)[..., None], np.array(_INSIDE), np.array(_OUTSIDE))
    part = np.clip(share, 0, 1)[..., None]
    colours: NDArray[np.float64] = (np.array(_EDGE) * (1 - part) + end * part) / 255
    return colours


def _scaled(panel: Panel, scale: float) -> Panel:
    from PIL import Image

    _check_picture(panel.picture)
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"The scale of a picture must be a positive number, not {scale}.")
    rows, cols = (max(1, round(side * scale)) for side in panel.picture.shape[:2])
    _check_size(cols, rows)
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    image = Image.fromarray(np.ascontiguousarray(panel.picture)).resize((cols, rows), how)
    return panel._replace(picture=np.asarray(image))


def _check_picture(picture: NDArray[np.generic]) -> None:
    whole = picture.ndim == 3 and picture.shape[2] == 3 and picture.size > 0
    if not whole or picture.dtype != np.uint8:
        raise InputError(
            f"A picture is uint8 (rows, cols, 3), not {picture.dtype} {picture.shape}; make one "
            "with picture_of."
        )


def _check_size(cols: int, rows: int) -> None:
    if cols * rows > _MOST_PIXELS:
        raise InputError(
            f"A picture of {cols} x {rows} pixels is too large to open; show fewer maps or "
            "a smaller scale."
        )


def _line_px() -> int:
    return _TEXT_PX + 4


def _wrapped(text: str, font: FreeTypeFont | Any, width: int) -> list[str]:
    """The text in lines no wider than ``width`` pixels, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _legend_rows(
    legend: Sequence[Swatch], font: FreeTypeFont | Any, width: int
) -> list[list[Swatch]]:
    """The legend in rows no wider than ``width`` pixels."""
    rows: list[list[Swatch]] = []
    for swatch in legend:
        if rows and sum(_swatch_px(each, font) for each in [*rows[-1], swatch]) <= width:
            rows[-1].append(swatch)
        else:
            rows.append([swatch])
    return rows


def _swatch_px(swatch: Swatch, font: FreeTypeFont | Any) -> int:
    return _SWATCH_PX + 4 + math.ceil(font.getlength(swatch.name)) + 8


def _draw_legend(
    draw: ImageDraw,
    legend: Sequence[Swatch],
    font: FreeTypeFont | Any,
    place: tuple[int, int, int],
) -> None:
    """Draw a legend; ``place`` is its left and top and how wide it may be, in pixels."""
    left, top, width = place
    for nth, row in enumerate(_legend_rows(legend, font, width)):
        x, y = left, top + nth * _line_px()
        for swatch in row:
            box = (x, y + 3, x + _SWATCH_PX, y + 3 + _SWATCH_PX)
            draw.rectangle(box, fill=swatch.colour, outline=_FAINT)
            draw.text((x + _SWATCH_PX + 4, y), swatch.name, fill=_INK, font=font)
            x += _swatch_px(swatch, font)

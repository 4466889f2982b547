"""Charts and the map of the tiles, as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsaug.htmlpage import Html, join, tag
from rsaug.reporting.run import Box

_WIDTH, _HEIGHT = 360, 150
_LEFT, _BOTTOM, _TOP = 34, 24, 10
STEPS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Where the colours of road share change on the map."""

_MOST_CELLS = 3000
_MAP_PX = 640


@dataclass(frozen=True)
class Cell:
    """A place on the map.

    Attributes:
        box: (left, bottom, right, top), in units of the map.
        share: Share of road, from 0 to 1; None where it is not known.
        title: What is said of it.
        failed: Whether it could not be made.
    """

    box: Box
    share: float | None
    title: str
    failed: bool = False


def histogram(values: NDArray[np.float64], unit: str, scale: float = 1.0) -> Html:
    """How often which values are, as bars of equal width.

    Args:
        values: (n,) finite, at least one.
        unit: What is written behind the numbers of the axis.
        scale: What the numbers of the axis are multiplied by.
    """
    low, high = _round_ends(float(values.min()) * scale, float(values.max()) * scale)
    # As many bars as Rice's rule asks for.
    bins = min(30, max(5, round(2 * len(values) ** (1 / 3))))
    found, edges = np.histogram(values * scale, bins=bins, range=(low, high))
    most, wide = max(1, int(found.max())), (_WIDTH - _LEFT - 10) / bins
    parts = [*_axes(str(most))]
    for k, count in enumerate(found.tolist()):
        height = (_HEIGHT - _TOP - _BOTTOM) * count / most
        name = f"{edges[k]:.3g} to {edges[k + 1]:.3g}{unit}: {count}"
        parts.append(
            tag(
                "rect",
                tag("title", name),
                x=_px(_LEFT + k * wide + 0.5),
                y=_px(_HEIGHT - _BOTTOM - height),
                width=_px(max(wide - 1, 1)),
                height=_px(height),
                class_="bar",
            )
        )
    parts += _x_labels(
        [(share, f"{low + share * (high - low):.3g}{unit}") for share in (0, 0.5, 1)]
    )
    return _svg(_WIDTH, _HEIGHT, parts, "Histogram")


def curve(values: Sequence[float], unit: str, ends: tuple[str, str]) -> Html:
    """Values in their order as a line from 0 up.

    Args:
        values: At least two, finite.
        unit: What is written behind the number of the axis.
        ends: What is written below the first and the last.
    """
    most = _round_ends(0, max(values))[1]
    wide, high = _WIDTH - _LEFT - 10, _HEIGHT - _TOP - _BOTTOM
    points = " ".join(
        f"{_px(_LEFT + wide * k / (len(values) - 1))},"
        f"{_px(_HEIGHT - _BOTTOM - high * min(1.0, value / most))}"
        for k, value in enumerate(values)
    )
    parts = [
        *_axes(f"{most:.3g}{unit}"),
        tag("polyline", points=points, class_="line"),
        *_x_labels([(0, ends[0]), (1, ends[1])]),
    ]
    return _svg(_WIDTH, _HEIGHT, parts, "Curve")


def tile_map(cells: Sequence[Cell], metres: float | None) -> Html:
    """Where the tiles lie, north up; many of them are drawn in groups.

    Args:
        cells: At least one.
        metres: Length of a unit of the map in metres; None where that is not known.
    """
    drawn = _grouped(cells)
    boxes = np.array([cell.box for cell in drawn])
    left, bottom = boxes[:, :2].min(axis=0).tolist()
    right, top = boxes[:, 2:].max(axis=0).tolist()
    scale = _MAP_PX / max(right - left, top - bottom)
    wide, high = max(40.0, (right - left) * scale), (top - bottom) * scale
    parts = []
    for cell in drawn:
        name = "failed" if cell.failed else f"t{_step(cell.share)}"
        parts.append(
            tag(
                "rect",
                tag("title", cell.title),
                x=_px((cell.box[0] - left) * scale),
                y=_px((top - cell.box[3]) * scale),
                width=_px(max(0.8, (cell.box[2] - cell.box[0]) * scale)),
                height=_px(max(0.8, (cell.box[3] - cell.box[1]) * scale)),
                class_=name,
            )
        )
    foot = 0
    if metres is not None:
        length = _nice(0.3 * (right - left) * metres)
        reach = length / metres * scale
        y = high + 14
        parts.append(tag("path", d=f"M1,{_px(y - 4)}v4h{_px(reach)}v-4", class_="axis scale"))
        label = f"{length:g} m" if length < 1000 else f"{length / 1000:g} km"
        parts.append(tag("text", label, x=_px(reach + 8), y=_px(y + 2)))
        foot = 24
    return _svg(wide + 2, high + foot, parts, "Map of the tiles")


def legend(failed: bool) -> Html:
    """What the colours of the map say."""
    ends = [0.0, *STEPS]
    names = [f"{100 * a:g} to {100 * b:g} %" for a, b in zip(ends, STEPS, strict=False)]
    names.append(f"over {100 * STEPS[-1]:g} %")
    parts = [tag("span", tag("i", class_=f"k{k}"), f" {name}") for k, name in enumerate(names)]
    if failed:
        parts.append(tag("span", tag("i", class_="kf"), " could not be made"))
    return tag("p", *parts, class_="legend small soft")


STYLE = (
    "".join(f"svg .t{k}{{fill:var(--s{k})}} .k{k}{{background:var(--s{k})}}\n" for k in range(7))
    + "svg rect[class^=t]{stroke:var(--line);stroke-width:.5}"
    "svg .tn{fill:var(--panel)} svg .failed{fill:none;stroke:var(--bad);stroke-width:1.5}"
    "svg .scale{stroke:var(--soft)} .legend{display:flex;flex-wrap:wrap;gap:.2rem .9rem}"
    ".legend i{display:inline-block;width:.8rem;height:.8rem;vertical-align:-.1rem;"
    "border:1px solid var(--line)} .kf{border-color:var(--bad)!important}\n"
)
"""CSS of the map."""


def _grouped(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, or where they are very many, squares of several with their mean share."""
    if len(cells) <= _MOST_CELLS:
        return list(cells)
    boxes = np.array([cell.box for cell in cells])
    side = float(np.median(boxes[:, 2] - boxes[:, 0])) * math.ceil(
        math.sqrt(len(cells) / _MOST_CELLS)
    )
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        x, y = (cell.box[0] + cell.box[2]) / 2, (cell.box[1] + cell.box[3]) / 2
        groups.setdefault((math.floor(x / side), math.floor(y / side)), []).append(cell)
    found = []
    for (col, row), inside in groups.items():
        shares = [cell.share for cell in inside if cell.share is not None]
        share = sum(shares) / len(shares) if shares else None
        title = f"{len(inside)} tiles" + ("" if share is None else f", {100 * share:.1f} % road")
        box = (col * side, row * side, (col + 1) * side, (row + 1) * side)
        found.append(Cell(box, share, title, all(cell.failed for cell in inside)))
    return found


def _step(share: float | None) -> str:
    return "n" if share is None else str(sum(share > step for step in STEPS))


def _axes(most: str) -> list[Html]:
    line = f"M{_LEFT},{_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - 10}"
    return [
        tag("path", d=line, class_="axis"),
        tag("text", most, x=_LEFT - 4, y=_TOP + 8, text_anchor="end"),
        tag("text", "0", x=_LEFT - 4, y=_HEIGHT - _BOTTOM, text_anchor="end"),
    ]


def _x_labels(labels: Sequence[tuple[float, str]]) -> list[Html]:
    anchors = {0: "start", 1: "end"}
    return [
        tag(
            "text",
            label,
            x=_px(_LEFT + share * (_WIDTH - _LEFT - 10)),
            y=_HEIGHT - 8,
            text_anchor=anchors.get(int(share) if share in (0, 1) else -1, "middle"),
        )
        for share, label in labels
    ]


def _svg(width: float, height: float, parts: Sequence[Html], name: str) -> Html:
    box = f"0 0 {_px(width)} {_px(height)}"
    size = {"width": _px(width), "height": _px(height)}
    return tag("svg", join(parts), viewBox=box, role="img", aria_label=name, **size)


def _px(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _round_ends(low: float, high: float) -> tuple[float, float]:
    """Round numbers around two."""
    step = _nice((high - low) / 4 or abs(high) / 4 or 1.0)
    return math.floor(low / step) * step, max(
        math.ceil(high / step), math.floor(low / step) + 1
    ) * step


def _nice(length: float) -> float:
    """The largest of 1, 2, 5, 10, ... below a length."""
    if not length > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(length))
    return next(power * m for m in (5, 2, 1) if power * m <= length * (1 + 1e-9))

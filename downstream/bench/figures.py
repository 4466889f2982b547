"""Pictures of a sweep: learning curves, shares of synthetic tiles, tiles with what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.bench.items import Items
from rsaug.downstream.bench.measures import SCORES
from rsaug.downstream.bench.protocols import Pool
from rsaug.downstream.bench.results import REAL, Cell, Line, Results, by_way, of_protocol
from rsaug.downstream.evaluation.detection import overlay
from rsaug.downstream.evaluation.page import Figure, as_picture, side_by_side
from rsaug.downstream.metrics import confusion_counts, iou
from rsaug.optional import require

_DPI = 150
_SHOWN = 3
# Colours that stay apart for most who see few colours (Okabe and Ito 2008); grey is for real tiles.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3fbf", "#8c6d31")
_GREYS = ("#222222", "#888888", "#bbbbbb")


def curves(lines: Sequence[Line], protocol: str) -> list[Figure]:
    """Scores and gains over the number of label places, of one protocol and score.

    Args:
        lines: Of one split and metric.
        protocol: Which lines are drawn, beside those of real labels alone.

    Raises:
        MissingExtra: without matplotlib.
    """
    ways = by_way(of_protocol(lines, protocol))
    if not ways:
        return []
    first = next(iter(next(iter(ways.values())).values()))
    title = SCORES[first.metric].title
    numbers = sorted({labels for way in ways.values() for labels in way})
    place_of = {labels: k for k, labels in enumerate(numbers)}
    colours = _colours(ways)
    figure, (left, right) = _figure(2)
    for k, (way, by_labels) in enumerate(ways.items()):
        # Beside each other, so that no interval hides another.
        off = 0.5 * (k - (len(ways) - 1) / 2) / max(len(ways), 2)
        x = [place_of[labels] + off for labels in sorted(by_labels)]
        scores = [by_labels[labels].score for labels in sorted(by_labels)]
        gains = [by_labels[labels].gain for labels in sorted(by_labels)]
        _bars(left, x, scores, colours[way], way)
        if not all(math.isnan(gain.value) for gain in gains):
            _bars(right, x, gains, colours[way], way)
    right.axhline(0, color="#222222", linewidth=0.8)
    for axis, what in ((left, title), (right, f"{title}, gain over the baseline")):
        axis.set_xticks(range(len(numbers)), [str(labels) for labels in numbers])
        axis.set_xlim(-0.6, len(numbers) - 0.4)
        axis.set_xlabel("label places")
        axis.set_title(what, fontsize=10)
        axis.grid(axis="y", linewidth=0.4, alpha=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", fontsize=8, frameon=False, ncols=2)
    caption = (
        f"{protocol}, split {first.split}: {title} and its gain over the baseline by number of "
        "label places, 95 % intervals over seeds and places"
    )
    return [Figure(caption, _pixels(figure))]


def ratio_curves(lines: Sequence[Line], protocol: str) -> list[Figure]:
    """Gains over the share of synthetic samples, a curve a number of labels and pool.

    Raises:
        MissingExtra: without matplotlib.
    """
    chosen: dict[tuple[str, str, int], list[tuple[float, Line]]] = {}
    for line in lines:
        cell = line.cell
        if cell.protocol == protocol and cell.ratio is not None:
            chosen.setdefault((cell.arm, cell.pool, cell.labels), []).append((cell.ratio, line))
    chosen = {name: found for name, found in chosen.items() if len(found) > 1}
    if not chosen:
        return []
    figure, (axis,) = _figure(1)
    for k, ((arm, pool, labels), found) in enumerate(chosen.items()):
        found.sort(key=lambda entry: entry[0])
        gains = [line.gain for _, line in found]
        x = [100 * ratio + 0.6 * (k - len(chosen) / 2) for ratio, _ in found]
        colour = _COLOURS[k % len(_COLOURS)]
        _bars(axis, x, gains, colour, f"{arm}, {pool}, {labels} label places")
    axis.axhline(0, color="#222222", linewidth=0.8)
    axis.set_xlabel("synthetic samples in a batch, %")
    title = SCORES[lines[0].metric].title
    axis.set_title(f"{title}, gain over the baseline", fontsize=10)
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", fontsize=8, frameon=False, ncols=2)
    caption = f"{protocol}: gain by share of synthetic samples, 95 % intervals"
    return [Figure(caption, _pixels(figure))]


def tiles_apart(results: Results, items: Items, protocol: str) -> list[Figure]:
    """Tiles in which the arm of the largest gain found most more, and most less, than the baseline.

    Args:
        results: Of the sweep.
        items: Tiles of the first split.
        protocol: Whose arms are looked at.
    """
    cell = _best(results.first_lines(), protocol)
    if cell is None:
        return []
    model, seed = results.config.models[0].name, results.config.seeds[0]
    keys = [results.key(of, model, seed) for of in (cell, results.baseline(cell))]
    ours, theirs = (None if key is None else results.store.masks(key) for key in keys)
    if ours is None or theirs is None or ours.shape != items.masks.shape:
        return []
    scores = [np.nan_to_num(iou(confusion_counts(found, items.masks))) for found in (ours, theirs)]
    gain = np.where(items.masks.any(axis=(1, 2)), scores[0] - scores[1], np.nan)
    order = [k for k in np.argsort(gain, kind="stable") if not math.isnan(gain[k])]
    chosen = dict.fromkeys([*order[::-1][:_SHOWN], *order[:_SHOWN]])
    figures = []
    for k in chosen:
        image = as_picture(items.images[k])
        pictures = [overlay(image, found[k], items.masks[k]) for found in (theirs, ours)]
        caption = (
            f"{items.names[k]}: the tile, the baseline (IoU {scores[1][k]:.2f}), and {cell.way} "
            f"(IoU {scores[0][k]:.2f}), {cell.labels} label places, {model}, seed {seed}; green "
            "found, blue missed, red wrong"
        )
        figures.append(Figure(caption, side_by_side(image, *pictures)))
    return figures


def scored_tiles(pool: Pool, threshold: float) -> list[Figure]:
    """Tiles of a pool of the highest and the lowest scores."""
    scores = pool.scores or {}
    known = [k for k, name in enumerate(pool.items.tiles) if name in scores]
    order = sorted(known, key=lambda k: scores[pool.items.tiles[k]])
    figures = []
    for k in dict.fromkeys([*order[::-1][:_SHOWN], *order[:_SHOWN]]):
        name, image = pool.items.tiles[k], as_picture(pool.items.images[k])
        kept = "kept" if scores[name] >= threshold else "left out"
        roads = np.repeat(255 * pool.items.masks[k][..., None], 3, axis=-1)
        caption = f"{pool.config.name}, {name}: score {scores[name]:.3g}, {kept}"
        figures.append(Figure(caption, side_by_side(image, roads)))
    return figures


def _best(lines: Sequence[Line], protocol: str) -> Cell | None:
    """Of the fewest labels, what gained most."""
    own = [li for li in lines if li.cell.protocol == protocol and not math.isnan(li.gain.value)]
    if not own:
        return None
    fewest = min(line.cell.labels for line in own)
    return max(
        (line for line in own if line.cell.labels == fewest), key=lambda line: line.gain.value
    ).cell


def _colours(ways: Mapping[str, Mapping[int, Line]]) -> dict[str, str]:
    """A colour a way: greys for real labels alone."""
    found, greys, others = {}, 0, 0
    for way, by_labels in ways.items():
        if next(iter(by_labels.values())).cell.protocol == REAL:
            found[way] = _GREYS[greys % len(_GREYS)]
            greys += 1
        else:
            found[way] = _COLOURS[others % len(_COLOURS)]
            others += 1
    return found


def _figure(columns: int) -> tuple[Any, Sequence[Any]]:
    require("matplotlib", extra="view")
    from matplotlib.figure import Figure as Sheet

    figure = Sheet(figsize=(5.0 * columns + 0.6, 4.6), dpi=_DPI, layout="constrained")
    return figure, [figure.add_subplot(1, columns, k + 1) for k in range(columns)]


def _bars(axis: Any, x: Sequence[float], found: Sequence[Any], colour: str, name: str) -> None:
    value = np.array([estimate.value for estimate in found])
    reach = np.nan_to_num([[e.value - e.low for e in found], [e.high - e.value for e in found]])
    axis.errorbar(
        x,
        value,
        yerr=np.maximum(reach, 0),
        color=colour,
        label=name,
        marker="o",
        markersize=4,
        linewidth=1.2,
        elinewidth=0.9,
        capsize=2,
    )


def _pixels(figure: Any) -> NDArray[np.uint8]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])

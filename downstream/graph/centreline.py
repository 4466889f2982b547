"""From a chain of skeleton pixels to the middle of its road and the road's width.

Each pixel of the skeleton has the road's pixels that are nearest to it, which a distance transform
says. Along the chain their number for a pixel of length is the width, and the mean way to them
leads to the middle, both without the bias that the distance itself has: it counts whole pixels.
What is near a junction or an end has a part of another road, or of the cap, and is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.downstream.graph.tracing import Chain, Sketch

Stretch = tuple[NDArray[np.float64], float]
"""Columns and rows (k, 2) of a line, and the width of its road in pixels."""

# Along a chain: how far pixels are looked at together, as a standard deviation in pixels. Of 1.5,
# 2, 3 and 4 the one that gave the mask of examples/helsinki back best.
_SMOOTH_PX = 3.0
# The middle is moved no farther than this: the skeleton is that near to it, where it is one.
_MOST_SHIFT_PX = 1.5
_WINDOW_PX = 9
# Distance to the nearest pixel beside the road, twice, less what that is longer than the road is
# wide: 1 where the road runs along rows, and about 0.7 along diagonals.
_BESIDE_PX = 0.8
# A width changes where the medians of both sides differ by so many pixels and by such a share, each
# side being so many widths long.
_STEP_PX, _STEP_SHARE, _STEP_WIDTHS = 1.5, 0.15, 1.5


def centrelines(sketch: Sketch, chain: Chain, *, split: bool) -> list[Stretch]:
    """The middle of the road of a chain from node to node, and its width.

    Args:
        sketch: Has the nodes.
        chain: The chain.
        split: Whether to cut it where its width changes.
    """
    first, second = sketch.nodes[chain.first], sketch.nodes[chain.second]
    if not len(chain.xy):
        return [(np.stack([first.xy, second.xy]), 2 * min(first.radius, second.radius))]
    # The corner of a cut has no width, but as much as half the road's is missing around it.
    half = float(np.median(chain.radius))
    clear = [np.hypot(*(chain.xy - node.xy).T) - max(node.radius, half) for node in (first, second)]
    good = (np.minimum(*clear) > 0) & ~np.isnan(chain.count)
    count = np.where(good, chain.count, 0.0)
    xy = chain.xy + _to_middle(count, np.where(good[:, None], chain.shift, 0.0))
    line = _smooth_line(np.concatenate([first.xy[None], xy, second.xy[None]]))
    at, width = _profile(line[1:-1], good, count)
    if not len(at):
        return [(line, float(2 * np.median(chain.radius) - _BESIDE_PX))]
    if not split:
        return [(line, float(np.median(width)))]
    cuts = [*_cuts(width, 0, len(width))]
    stretches = []
    for low, high in zip([0, *cuts], [*cuts, len(width)], strict=True):
        start = 0 if low == 0 else int(at[low]) + 1
        stop = len(line) - 1 if high == len(width) else int(at[high]) + 1
        stretches.append((line[start : stop + 1], float(np.median(width[low:high]))))
    return stretches


def _to_middle(count: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Way (k, 2) from each pixel to the middle of its road, from what is known near it."""
    way = _smooth(shift) / np.maximum(_smooth(count), 1e-6)[:, None]
    far = np.hypot(*way.T)
    share = np.minimum(1, _MOST_SHIFT_PX / np.maximum(far, 1e-9))
    nearer: NDArray[np.float64] = way * share[:, None]
    return nearer


def _profile(
    xy: NDArray[np.float64], good: NDArray[np.bool_], count: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Positions where the width is known, and the width there: road pixels over length."""
    at = np.flatnonzero(good)
    if len(at) < 3:
        return at[:0], np.zeros(0)
    step = np.hypot(*np.gradient(xy, axis=0).T)
    size = min(_WINDOW_PX, len(at))
    area = ndimage.uniform_filter1d(count[at], size, mode="nearest")
    length = ndimage.uniform_filter1d(step[at], size, mode="nearest")
    return at, area / np.maximum(length, 1e-9)


def _cuts(width: NDArray[np.float64], low: int, high: int) -> Iterator[int]:
    """Where the width changes between two positions, ascending.

    The cut that leaves the least squares about the means of both sides, if the medians are far
    enough apart; then the same in both sides (binary segmentation, Scott and Knott 1974).
    """
    own = width[low:high]
    least = max(_WINDOW_PX, int(_STEP_WIDTHS * np.median(own)))
    if len(own) < 2 * least:
        return
    n = np.arange(1, len(own))
    total, squares = np.cumsum(own), np.cumsum(own**2)
    left = squares[:-1] - total[:-1] ** 2 / n
    right = squares[-1] - squares[:-1] - (total[-1] - total[:-1]) ** 2 / (len(own) - n)
    cost = (left + right)[least - 1 : len(own) - least]
    cut = low + least + int(np.argmin(cost))
    a, b = np.median(width[low:cut]), np.median(width[cut:high])
    if abs(a - b) < max(_STEP_PX, _STEP_SHARE * max(a, b)):
        return
    yield from _cuts(width, low, cut)
    yield cut
    yield from _cuts(width, cut, high)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = ndimage.gaussian_filter1d(
        values, _SMOOTH_PX, axis=0, mode="constant"
    )
    return smooth


def _smooth_line(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The line without the steps of the pixels; its ends stay where they are."""
    reach = min(len(xy) - 1, int(4 * _SMOOTH_PX))
    before = 2 * xy[0] - xy[reach:0:-1]
    after = 2 * xy[-1] - xy[-2 : -reach - 2 : -1]
    smooth: NDArray[np.float64] = ndimage.gaussian_filter1d(
        np.concatenate([before, xy, after]), _SMOOTH_PX, axis=0
    )[reach : reach + len(xy)]
    smooth[0], smooth[-1] = xy[0], xy[-1]
    return smooth

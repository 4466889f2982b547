"""What else a detector can learn of a road mask: where its centreline is, and which way it runs.

Targets are made of the mask, on the fly: no label besides it is needed. Both tasks ask a network to
see a road as a line, as those of Batra et al. 2019, "Improved road connectivity by joint learning
of orientation and segmentation", do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from rsaug.downstream.graph.skeleton import skeleton
from rsaug.downstream.losses import known_pixels

CHANNELS = 3
"""Maps besides that of roads: the centreline, and two numbers of the direction."""

_SPREAD_PX = 2.0
_SMOOTH_PX = 2.0


def auxiliary_targets(road: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What the further maps of a mask (rows, cols) should be, float32 (3, rows, cols).

    The first is a heat map of the centreline, 1 on it and a Gaussian of 2 pixels beside it. The
    others are the direction as a double angle, so that both ways along a road are one: cosine and
    sine of twice the angle to the rows, counted towards growing rows, from the structure tensor
    (Bigün and Granlund 1987) of the distance to the centreline. They are 0 off the roads.

    Raises:
        MissingExtra: if scikit-image is not installed.
    """
    targets = np.zeros((CHANNELS, *road.shape), dtype=np.float32)
    line = skeleton(road)
    if not line.any():
        return targets
    distance = ndimage.distance_transform_edt(~line)
    targets[0] = np.exp(-(distance**2) / (2 * _SPREAD_PX**2))
    down, right = np.gradient(distance)
    # The gradient points away from the line, across the road: the road's angle is a quarter turn
    # on, and its double angle half a turn, which changes both signs.
    cosine = -ndimage.gaussian_filter(right**2 - down**2, _SMOOTH_PX)
    sine = -ndimage.gaussian_filter(2 * right * down, _SMOOTH_PX)
    length = np.hypot(cosine, sine)
    clear = road & (length > 1e-6)
    targets[1][clear], targets[2][clear] = (v[clear] / length[clear] for v in (cosine, sine))
    return targets


def auxiliary_loss(maps: Tensor, masks: Tensor, ignore_index: int | None = None) -> Tensor:
    """Cross-entropy of the centreline plus squared error of the direction on roads, a scalar.

    Args:
        maps: (n, 3, rows, cols) of a network: a logit, and cosine and sine as they are.
        masks: (n, rows, cols), 1 on road, 0 elsewhere and ``ignore_index`` where nothing is known.
        ignore_index: None where all is known.

    Raises:
        MissingExtra: if scikit-image is not installed.
    """
    known = known_pixels(masks, ignore_index).to(maps)
    roads: NDArray[Any] = (masks * known_pixels(masks, ignore_index)).cpu().numpy() > 0
    targets = torch.from_numpy(np.stack([auxiliary_targets(road) for road in roads])).to(maps)
    heat = binary_cross_entropy_with_logits(maps[:, 0], targets[:, 0], reduction="none")
    wrong = ((maps[:, 1:] - targets[:, 1:]) ** 2).sum(dim=1)
    directed = known * (targets[:, 1:].abs().sum(dim=1) > 0)
    return (heat * known).sum() / known.sum().clamp(min=1) + (wrong * directed).sum() / (
        directed.sum().clamp(min=1)
    )

"""Losses of road masks, alone and added up with weights.

Each takes logits, masks and which pixels are known; pixels that are not have no say. Sums are over
the whole batch, so that tiles without a road do not weigh as much as those with one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d

from rsaug.errors import InputError

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From logits, masks of 0 and 1, and known pixels, each float (n, rows, cols), to a scalar."""

DEFAULT_LOSS = "bce+dice"

SKELETON_STEPS = 10
"""Steps of the soft skeleton: at least half as many as the widest road has pixels across."""

FOCUS = 2.0
"""Exponent of the focal loss, as in Lin et al. 2017."""

REACH_PX = 20.0
"""From this far on a pixel counts as being that far in the boundary loss."""


def bce_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Mean binary cross-entropy of the known pixels."""
    each = binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return _mean(each, known)


def dice_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """One minus soft Dice over the whole batch (Milletari et al. 2016, V-Net), smoothed by 1."""
    probability, masks = torch.sigmoid(logits) * known, masks * known
    overlap = 2 * (probability * masks).sum() + 1
    return 1 - overlap / (probability.sum() + masks.sum() + 1)


def focal_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy in which pixels that are right already count little.

    Lin et al. 2017, "Focal loss for dense object detection", equation 4: (1 - p)^2 times the
    cross-entropy, p being the probability of the true class. There is no weight of classes.
    """
    each = binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return _mean((1 - torch.exp(-each)) ** FOCUS * each, known)


def cldice_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """One minus soft clDice: do soft skeletons lie on each other's roads?

    Shit et al. 2021, "clDice: a novel topology-preserving loss function for tubular structure
    segmentation", algorithm 2, smoothed by 1. It says nothing of how wide a road is, so it needs
    another loss beside it.
    """
    probability, masks = torch.sigmoid(logits) * known, masks * known
    ours, theirs = soft_skeleton(probability), soft_skeleton(masks)
    precision = ((ours * masks).sum() + 1) / (ours.sum() + 1)
    sensitivity = ((theirs * probability).sum() + 1) / (theirs.sum() + 1)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def boundary_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Mean of the probability times how far a pixel is outside of the roads.

    Kervadec et al. 2019, "Boundary loss for highly unbalanced segmentation", equation 5, with
    distances in shares of `REACH_PX`, from -1 inside of roads to 1 far off. Least where exactly the
    roads are found; near a solution it is of use, far from one it needs another loss beside it.
    """
    far = [signed_distance(road) for road in (masks * known).detach().cpu().numpy() > 0.5]
    distance = torch.from_numpy(np.stack(far)).to(logits).clamp(-REACH_PX, REACH_PX) / REACH_PX
    return _mean(torch.sigmoid(logits) * distance, known)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "bce": bce_loss,
        "dice": dice_loss,
        "focal": focal_loss,
        "cldice": cldice_loss,
        "boundary": boundary_loss,
    }
)
"""The losses by name."""


class RoadLoss(nn.Module):
    """Losses of road masks, added up with weights.

    Args:
        terms: Weights by name of the loss, or names joined by ``+``, each of weight 1 or with it in
            front: ``bce+dice``, ``bce+0.5*cldice``.
        ignore_index: Value of masks where nothing is known; None where there is none.

    Raises:
        InputError: if a loss is not known, or a weight is none.
    """

    def __init__(
        self, terms: str | Mapping[str, float] = DEFAULT_LOSS, ignore_index: int | None = None
    ) -> None:
        super().__init__()
        self.terms = read_terms(terms) if isinstance(terms, str) else dict(terms)
        self.ignore_index = ignore_index
        strange = [name for name in self.terms if name not in LOSSES]
        if strange:
            raise InputError(f"No loss is called {strange[0]!r}; there are {', '.join(LOSSES)}.")
        if not self.terms or not all(0 < x < float("inf") for x in self.terms.values()):
            raise InputError(
                f"A loss needs terms with weights above 0, such as {DEFAULT_LOSS!r}, not {terms!r}."
            )

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The weighted sum, a scalar.

        Args:
            logits: (n, rows, cols) of floating point.
            masks: (n, rows, cols), 1 on road, 0 elsewhere, `ignore_index` where not known.
        """
        known = known_pixels(masks, self.ignore_index)
        road = (masks * known).to(logits.dtype)
        parts = [x * LOSSES[name](logits, road, known.to(logits)) for name, x in self.terms.items()]
        return torch.stack(parts).sum()


def road_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice over the whole batch.

    Args:
        logits: (n, rows, cols).
        masks: (n, rows, cols) float 0/1.
    """
    known = torch.ones_like(masks)
    return bce_loss(logits, masks, known) + dice_loss(logits, masks, known)


def read_terms(text: str) -> dict[str, float]:
    """Weights by name of ``bce+0.5*cldice``.

    Raises:
        InputError: if it is none such.
    """
    terms: dict[str, float] = {}
    for part in text.split("+"):
        weight, _, name = part.strip().rpartition("*")
        try:
            terms[name.strip()] = float(weight) if weight else 1.0
        except ValueError as error:
            raise InputError(
                f"{part.strip()!r} is no term of a loss; write name or weight*name, as in "
                "bce+0.5*cldice."
            ) from error
    return terms


def known_pixels(masks: Tensor, ignore_index: int | None) -> Tensor:
    """1 where a mask says something and 0 where it has ``ignore_index``, of the type of masks."""
    return torch.ones_like(masks) if ignore_index is None else (masks != ignore_index).to(masks)


def soft_skeleton(roads: Tensor, steps: int = SKELETON_STEPS) -> Tensor:
    """Skeletons of masks or probabilities (n, rows, cols) by pooling alone, so with a gradient.

    Shit et al. 2021, algorithm 1: what an opening takes away, of ever more eroded roads.
    """
    x = roads[:, None]
    skeleton = torch.relu(x - _open(x))
    for _ in range(steps):
        x = _erode(x)
        more = torch.relu(x - _open(x))
        skeleton = skeleton + torch.relu(more - skeleton * more)
    return skeleton[:, 0]


def signed_distance(road: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixels to the border of roads, (rows, cols): above 0 outside, below 0 inside.

    Zero everywhere where there is no road, so that such a mask has no border to be far from.
    """
    if not road.any():
        return np.zeros(road.shape)
    outside: NDArray[np.float64] = ndimage.distance_transform_edt(~road)
    inside: NDArray[np.float64] = ndimage.distance_transform_edt(road)
    # The border runs between pixels, half of one away from the centres on either side.
    return np.where(road, 0.5 - inside, outside - 0.5)


def _erode(x: Tensor) -> Tensor:
    """Least of a pixel and its four neighbours."""
    down, across = -max_pool2d(-x, (3, 1), 1, (1, 0)), -max_pool2d(-x, (1, 3), 1, (0, 1))
    return torch.minimum(down, across)


def _open(x: Tensor) -> Tensor:
    return max_pool2d(_erode(x), 3, 1, 1)


def _mean(each: Tensor, known: Tensor) -> Tensor:
    """Mean over the known pixels; 0 where there is none."""
    return (each * known).sum() / known.sum().clamp(min=1)

"""clDice: do skeletons of found and true roads lie on each other's roads?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.graph.skeleton import skeleton
from rsaug.downstream.metrics.pixels import confusion_counts


def cldice_counts(predicted: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers behind clDice of each tile, int64 (n, 4): add up tiles, then `relaxed_scores`.

    Shit et al. 2021, "clDice: a novel topology-preserving loss function for tubular structure
    segmentation", equations 1 and 2: topology precision is the share of the found skeleton on the
    true mask, topology sensitivity the share of the true skeleton on the found mask, and clDice
    their harmonic mean. `relaxed_scores` gives the three in this order. The skeleton is that of
    Zhang and Suen 1984 as in scikit-image, one pixel wide; the paper's own soft skeleton is for the
    loss, which has to have a gradient.

    Args:
        predicted: (n, rows, cols), 1 on road and 0 elsewhere.
        truth: The same, from the labels.

    Returns:
        (n, 4): found skeleton pixels on the true mask, found skeleton pixels, true skeleton pixels
        on the found mask, true skeleton pixels.

    Raises:
        InputError: as `confusion_counts`.
        MissingExtra: if scikit-image is not installed.
    """
    confusion_counts(predicted, truth)
    counts = np.zeros((len(truth), 4), dtype=np.int64)
    for k, (found, labelled) in enumerate(zip(predicted > 0, truth > 0, strict=True)):
        ours, theirs = skeleton(found), skeleton(labelled)
        counts[k] = (
            (ours & labelled).sum(),
            ours.sum(),
            (theirs & found).sum(),
            theirs.sum(),
        )
    return counts

"""How far a single image is from real ones: membership of the manifold of their features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsaug.errors import InputError

NEIGHBOURS = 3
"""k of the k-th neighbour, as in Kynkaanniemi et al. 2019."""

# Rows of distances that are held at once.
_ROWS = 512
# Below this a feature is the same, and the quotient means nothing more.
_SAME = 1e-4


@dataclass(frozen=True, eq=False)
class Manifold:
    """Real features, each with a ball that reaches to its k-th neighbour of another place.

    Attributes:
        features: (m, d) float32, unit vectors.
        radii: (m,) distance to the k-th nearest of another place.
    """

    features: NDArray[np.float32]
    radii: NDArray[np.float32]

    @classmethod
    def of(
        cls, features: NDArray[np.float32], places: NDArray[np.str_], k: int = NEIGHBOURS
    ) -> Manifold:
        """The manifold of real features.

        Args:
            features: (m, d) unit vectors.
            places: (m,) where each is from; one place is one witness, however often it was taken.
            k: Which neighbour.

        Raises:
            InputError: if there are too few places.
        """
        _, place_of = np.unique(places, return_inverse=True)
        if len(np.unique(place_of)) <= k:
            raise InputError(
                f"There are real tiles of {len(np.unique(place_of))} places; more than {k} are "
                "needed to tell how near to each other real tiles lie."
            )
        radii = np.empty(len(features), dtype=np.float32)
        for first in range(0, len(features), _ROWS):
            part = slice(first, first + _ROWS)
            distances = _distances(features[part], features)
            distances[place_of[part, None] == place_of[None, :]] = np.inf
            radii[part] = np.partition(distances, k - 1, axis=1)[:, k - 1]
        return cls(features, radii)

    def realism(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Realism score of each feature, (n,); at least 1 within the manifold.

        The largest quotient of a real feature's radius over the distance to it, taken over the half
        of the real features with the smaller radii, since a few outliers would let anything pass
        (Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative
        Models", equation 3).
        """
        dense = self.radii <= np.median(self.radii)
        return np.concatenate(
            [
                (self.radii[dense] / np.maximum(distances[:, dense], _SAME)).max(axis=1)
                for distances in self._blocks(features)
            ]
        ).astype(np.float64)

    def density(self, features: NDArray[np.float32], k: int = NEIGHBOURS) -> NDArray[np.float64]:
        """In how many balls each feature lies, over k, (n,).

        Its mean is the density of Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for
        Generative Models", equation 5.
        """
        return np.concatenate(
            [(distances <= self.radii).sum(axis=1) / k for distances in self._blocks(features)]
        ).astype(np.float64)

    def _blocks(self, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [
            _distances(features[first : first + _ROWS], self.features)
            for first in range(0, len(features), _ROWS)
        ]


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distances of unit vectors, (n, m)."""
    cosine = a.astype(np.float64) @ b.astype(np.float64).T
    return np.sqrt(np.maximum(2 - 2 * cosine, 0)).astype(np.float32)

"""Looks: how far the distribution of synthetic tiles is from that of real ones."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from rsaug.downstream.evaluation.autoencoder import Autoencoder
from rsaug.downstream.evaluation.features import AerialEncoder, cut
from rsaug.downstream.evaluation.report import Row, Section
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.errors import InputError
from rsaug.optional import require

SUBSETS = 200
"""Pairs of subsets behind each distance."""

_OWN, _TRAIN = "synthetic - real val", "real train - real val"
_HALVES = "half of real val - other half"
_FLOOR, _ABOVE = "real val rebuilt - real val", "synthetic - real val rebuilt"

_ENOUGH_FOR_FID = 2048
# Kernels of all pairs of so many windows take 400 MB.
_MOST_WINDOWS = 4000


@dataclass(frozen=True, eq=False)
class Sample:
    """Features of windows of tiles.

    Attributes:
        features: (n, d) float32.
        places: (n,) where each is from.
    """

    features: NDArray[np.float32]
    places: NDArray[np.str_]

    def within(self, places: NDArray[np.str_]) -> Sample:
        """Those from some places."""
        here = np.isin(self.places, places)
        return Sample(self.features[here], self.places[here])


def kernel_distance(x: Sample, y: Sample) -> float:
    """Unbiased squared maximum mean discrepancy with KID's kernel (Binkowski et al. 2018).

    The kernel is (x·y / d + 1)^3 on features of length √d, the length that features of unit
    variance have; so of unit vectors it is (cosine + 1)^3. Pairs from one place are left out of
    every mean: they are alike for a reason that says nothing of the distributions.

    Returns:
        About 0 where both are drawn from one distribution, then as often below as above; NaN where
        a side has but one place.
    """
    return _mmd(_kernel(x, x), _kernel(y, y), _kernel(x, y))


def _mmd(xx: NDArray[np.float64], yy: NDArray[np.float64], xy: NDArray[np.float64]) -> float:
    if any(np.isnan(k).all() for k in (xx, yy, xy)):
        return np.nan
    return float(np.nanmean(xx) + np.nanmean(yy) - 2 * np.nanmean(xy))


def _kernel(x: Sample, y: Sample) -> NDArray[np.float64]:
    """Kernel of all pairs, (n, m); NaN for pairs from one place."""
    a, b = (_unit(side.features) for side in (x, y))
    kernel: NDArray[np.float64] = (a @ b.T + 1) ** 3
    kernel[x.places[:, None] == y.places[None, :]] = np.nan
    return kernel


def _unit(features: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = features.astype(np.float64)
    unit: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit


def subset_distances(
    x: Sample, y: Sample, size: int, *, disjoint: bool, seed: int = 0, subsets: int = SUBSETS
) -> NDArray[np.float64]:
    """Kernel distances of subsets of ``size`` places of each side, (subsets,).

    Args:
        x: One side.
        y: The other; the same as ``x`` for the distance between halves.
        size: Places in a subset.
        disjoint: Whether the two subsets of a pair share no place; for halves of one sample.
        seed: Of the draws.
        subsets: How many pairs.
    """
    rng = np.random.default_rng(seed)
    of_x, of_y = np.unique(x.places), np.unique(y.places)
    kernels = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    distances = np.empty(subsets)
    for k in range(subsets):
        first = rng.permutation(of_x)
        second = first[size:] if disjoint else rng.permutation(of_y)
        rows, cols = np.isin(x.places, first[:size]), np.isin(y.places, second[:size])
        xx, yy, xy = (
            kernel[np.ix_(a, b)]
            for kernel, a, b in zip(kernels, (rows, cols, rows), (rows, cols, cols), strict=True)
        )
        distances[k] = _mmd(xx, yy, xy)
    return distances


def sample_of(encoder: AerialEncoder, tiles: Tiles) -> Sample:
    """Features of windows of tiles, at the size of their own pixels.

    All of them, up to 4000; of more, those of tiles that are spread evenly.
    """
    each = len(cut(tiles.images[:1])[0])
    tiles = spread(tiles, max(1, _MOST_WINDOWS // each))
    windows, tile_of = cut(tiles.images)
    return Sample(encoder.embed(windows), tiles.places[tile_of])


def spread(tiles: Tiles, most: int) -> Tiles:
    """At most so many of the tiles, spread evenly."""
    if len(tiles) <= most:
        return tiles
    return tiles.take(np.linspace(0, len(tiles) - 1, most).round().astype(int))


def judge_looks(
    encoder: AerialEncoder,
    synthetic: Tiles,
    real: Tiles,
    photos: Tiles,
    *,
    inception: Path | None = None,
    autoencoder: Autoencoder | None = None,
    seed: int = 0,
    note: Callable[[str], None] = lambda text: None,
) -> Section:
    """Kernel distance of synthetic to real tiles, beside that of real to real tiles.

    Args:
        encoder: What features are of.
        synthetic: Tiles of the run.
        real: Real tiles.
        photos: Real tiles of other places, of the training split.
        inception: Weights for FID; without them it is left out.
        autoencoder: Of the model; with it, how far real tiles are from themselves after it, which
            no denoiser gets under, and how far synthetic tiles are from those.
        seed: Of the subsets.
        note: Called with what is being done.
    """
    counts = [len(np.unique(tiles.places)) for tiles in (synthetic, real, photos)]
    size = min(counts) // 2
    if size < 2:
        text = f"Kernel distance, which needs 4 places on each side; there are {counts}."
        return Section("looks", "Looks", missing=(text,))
    note("Features of windows")
    ours, theirs = sample_of(encoder, synthetic), sample_of(encoder, real)
    others = sample_of(encoder, spread(photos, len(real)))
    pairs = {
        _OWN: (ours, theirs, False),
        _TRAIN: (others, theirs, False),
        _HALVES: (theirs, theirs, True),
    }
    if autoencoder is not None:
        note("Real tiles through the autoencoder")
        images = autoencoder.rebuild(real.images)
        rebuilt = sample_of(encoder, replace(real, images=images))
        pairs |= {_FLOOR: (rebuilt, theirs, False), _ABOVE: (ours, rebuilt, False)}
    rows: dict[str, Row] = {}
    facts = {}
    for of, (x, y, disjoint) in pairs.items():
        d = subset_distances(x, y, size, disjoint=disjoint, seed=seed)
        low, high = np.quantile(d, [0.025, 0.975])
        n = f"{len(x.features)} : {len(y.features)} windows"
        rows[of] = Row("kernel distance", of, float(d.mean()), low, high, n, encoder.name)
        facts[of] = {"mean": float(d.mean()), "deviation": float(d.std()), "n": n}
    times = rows[_OWN].value / max(rows[_TRAIN].value, rows[_HALVES].high)
    says = (
        "Kernel distance (KID's, unbiased) between features of windows of 128 x 128 pixels, nothing"
        f" resampled: mean and middle 95 % of {SUBSETS} pairs of subsets of {size} places each. "
        "Halves of one sample are 0 apart on average; their interval says what subsets of that "
        "size cannot tell from 0.",
        f"Synthetic to real is {times:.1f} times the larger of real train to real val and the upper"
        " end of the halves.",
        *_floor(rows, autoencoder),
    )
    frechet, missing = _fid(inception, synthetic, real)
    return Section(
        name="looks",
        title="Looks",
        says=says,
        rows=(*rows.values(), *frechet),
        facts={
            "extractor": encoder.name,
            "weights_sha256": encoder.sha256,
            "subset_places": size,
            "subsets": SUBSETS,
            "distances": facts,
            "times_real_to_real": times,
        },
        missing=missing,
    )


def _floor(rows: Mapping[str, Row], autoencoder: Autoencoder | None) -> list[str]:
    """A sentence on how much of the distance the autoencoder brings alone."""
    if autoencoder is None:
        return []
    own, floor, above = (rows[of].value for of in (_OWN, _FLOOR, _ABOVE))
    return [
        f"Real val tiles through the {autoencoder.name} alone are {floor:.2f} from real val tiles, "
        f"where synthetic ones are {own:.2f}; no denoiser gets under that. From what the "
        f"autoencoder makes of real tiles the synthetic ones are {above:.2f} away, which is the "
        "denoiser's part. Distances of this kind do not add up."
    ]


def _fid(
    inception: Path | None, synthetic: Tiles, real: Tiles
) -> tuple[list[Row], tuple[str, ...]]:
    """FID where there are weights of Inception, else a sentence that says so."""
    if inception is None:
        return [], (
            "FID, which needs the weights of Inception that torch-fidelity uses; name them with "
            "--inception.",
        )
    half = real.take(np.arange(len(real)) % 2 == 0), real.take(np.arange(len(real)) % 2 == 1)
    by = f"Inception v3, 2048 wide; biased below {_ENOUGH_FOR_FID} images"
    rows = [
        Row("FID", of, fid(inception, x, y), n=f"{len(x)} : {len(y)} tiles", by=by)
        for of, x, y in (
            (_OWN, synthetic, real),
            (_HALVES, *half),
        )
    ]
    return rows, ()


def fid(inception: Path, x: Tiles, y: Tiles, batch: int = 8) -> float:
    """Fréchet distance of Inception features of whole tiles (Heusel et al. 2017), by torchmetrics.

    Args:
        inception: Inception weights as torch-fidelity has them, as .pth or .safetensors.
        x: Tiles of one side.
        y: Tiles of the other.
        batch: How many are looked at together.

    Raises:
        InputError: if the file holds no weights of Inception.
        MissingExtra: if torchmetrics or torch-fidelity is not installed.
    """
    import torch

    require("torch_fidelity", extra="eval")
    metrics: Any = require("torchmetrics.image.fid", extra="eval")
    with tempfile.TemporaryDirectory() as folder:
        # torch-fidelity unpickles its file without care, so it is given one that was read with it.
        path = Path(folder) / "inception.pth"
        try:
            torch.save(_weights(inception), path)
            metric = metrics.FrechetInceptionDistance(feature_extractor_weights_path=str(path))
        except (OSError, ValueError, TypeError, RuntimeError, EOFError) as error:
            raise InputError(f"{inception} holds no weights of Inception ({error}).") from error
        except (pickle.UnpicklingError, SafetensorError) as error:
            raise InputError(f"{inception} holds no weights alone ({error}).") from error
    for tiles, is_real in ((x, False), (y, True)):
        for first in range(0, len(tiles), batch):
            metric.update(torch.from_numpy(tiles.images[first : first + batch]), real=is_real)
    return float(metric.compute())


def _weights(path: Path) -> dict[str, Any]:
    """Tensors of a file; nothing in it is run."""
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return dict(load_file(path))
    return dict(torch.load(path, map_location="cpu", weights_only=True))

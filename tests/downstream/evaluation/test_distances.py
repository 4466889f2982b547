"""Kernel distance against plain loops, and what it is on samples of known distance."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runfolder import random_masks, tiles_with
from safetensors.torch import save_file
from toy import toy_pipeline

from rsaug.downstream.evaluation.autoencoder import Autoencoder
from rsaug.downstream.evaluation.distances import (
    Sample,
    fid,
    judge_looks,
    kernel_distance,
    sample_of,
    subset_distances,
)
from rsaug.downstream.evaluation.features import AerialEncoder, find_weights
from rsaug.errors import InputError


def sample(count: int, places: int, seed: int, shift: float = 0.0, width: int = 5) -> Sample:
    """Features around 0 and ``shift`` in the first number, of so many places."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width)).astype(np.float32)
    features[:, 0] += shift
    return Sample(features, np.array([f"{seed}-{k % places}" for k in range(count)]))


def by_loops(x: Sample, y: Sample) -> float:
    """The same in plain Python."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        cosine = float(a.astype(float) @ b.astype(float))
        return (cosine / float(np.linalg.norm(a) * np.linalg.norm(b)) + 1) ** 3

    def mean(p: Sample, q: Sample) -> float:
        values = [
            kernel(p.features[i], q.features[j])
            for i in range(len(p.features))
            for j in range(len(q.features))
            if p.places[i] != q.places[j]
        ]
        return sum(values) / len(values)

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@settings(deadline=None, max_examples=25)
@given(st.integers(4, 9), st.integers(4, 9), st.integers(2, 4), st.integers(0, 99))
def test_the_distance_is_that_of_plain_loops(n: int, m: int, places: int, seed: int) -> None:
    x, y = sample(n, places, seed), sample(m, places, seed + 1, shift=1.0)
    assert kernel_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-5, abs=1e-5)
    # Also where both sides have images of one place.
    y = Sample(y.features, np.array([f"{seed}-{k % 3}" for k in range(m)]))
    assert kernel_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-5, abs=1e-5)


def test_order_and_side_do_not_matter() -> None:
    x, y = sample(20, 5, 1), sample(16, 4, 2, shift=1.0)
    turned = Sample(x.features[::-1], x.places[::-1])
    assert kernel_distance(turned, y) == pytest.approx(kernel_distance(x, y))
    assert kernel_distance(y, x) == pytest.approx(kernel_distance(x, y))


def test_one_distribution_is_0_apart_on_average_and_others_are_not() -> None:
    pairs = [(sample(12, 12, k), sample(12, 12, k + 999)) for k in range(99)]
    same = np.array([kernel_distance(*pair) for pair in pairs])
    error = same.std() / np.sqrt(len(same))
    assert abs(same.mean()) < 3 * error
    assert (same < 0).any()
    assert kernel_distance(sample(60, 60, 1), sample(60, 60, 2, shift=2.0)) > 3 * same.std()


def test_images_of_one_place_feign_no_distance() -> None:
    """Many windows of a place are alike; counted as draws they would look like a narrow side."""
    alike = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sides = []
        for side in range(2):
            centres = np.repeat(rng.normal(size=(10, 5)), 6, axis=0)
            features = (centres + 0.1 * rng.normal(size=centres.shape)).astype(np.float32)
            places = np.repeat([f"{side}-{k}" for k in range(10)], 6)
            sides.append(Sample(features, places))
        alike.append(kernel_distance(*sides))
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(len(alike))


def test_one_place_alone_has_no_distance() -> None:
    assert np.isnan(kernel_distance(sample(5, 1, 1), sample(5, 2, 2)))


def test_halves_are_disjoint_and_0_apart_on_average() -> None:
    x = sample(48, 24, 3)
    halves = subset_distances(x, x, 12, disjoint=True)
    assert abs(halves.mean()) < 4 * halves.std() / np.sqrt(len(halves))
    far = subset_distances(x, sample(48, 24, 4, shift=1.5), 12, disjoint=False)
    assert far.mean() > np.quantile(halves, 0.975)
    np.testing.assert_array_equal(halves, subset_distances(x, x, 12, disjoint=True))


def test_what_the_autoencoder_costs_is_told_apart() -> None:
    weights = find_weights()
    if weights is None:
        pytest.skip("needs the package geoembed")
    masks = random_masks(4)
    ours, theirs, others = (
        tiles_with(masks, np.roll(masks, k, axis=2), [f"{side}{k}" for k in range(4)])
        for k, side in enumerate("abc")
    )
    autoencoder = Autoencoder(toy_pipeline(), "0" * 64)
    section = judge_looks(AerialEncoder(weights), ours, theirs, others, autoencoder=autoencoder)
    rows = {row.of: row for row in section.rows}
    rebuilt = replace(theirs, images=autoencoder.rebuild(theirs.images))
    encoder = AerialEncoder(weights)
    expected = subset_distances(
        sample_of(encoder, rebuilt), sample_of(encoder, theirs), 2, disjoint=False
    ).mean()
    # An untrained autoencoder leaves nothing of an image.
    assert rows["real val rebuilt - real val"].value == pytest.approx(expected)
    assert expected > rows["half of real val - other half"].high
    assert rows["synthetic - real val rebuilt"].value > rows["synthetic - real val"].value
    assert all(row.n for row in section.rows)
    assert f"alone are {expected:.2f} from real val tiles" in section.says[-1]


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("sprung"),))


def test_nothing_in_a_file_of_weights_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_fidelity", reason="needs the extra `eval`")
    monkeypatch.chdir(tmp_path)
    masks = random_masks(2)
    tiles = tiles_with(masks, masks, ["a", "b"])
    Path("trap.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    torch.save({"conv": Trap()}, "trap2.pth")
    save_file({"conv": torch.zeros(1)}, "other.safetensors")
    Path("empty.pth").touch()
    for name in ("trap.pth", "trap2.pth", "other.safetensors", "empty.pth"):
        with pytest.raises(InputError, match="holds no weights"):
            fid(Path(name), tiles, tiles)
    assert not Path("sprung").exists()

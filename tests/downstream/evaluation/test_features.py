"""The aerial encoder, with its real weights where they are installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runfolder import tiles_with

pytest.importorskip("torchvision", reason="needs the extra `eval`")

from rsaug.downstream.evaluation.features import SIDE, AerialEncoder, cut, find_weights
from rsaug.downstream.evaluation.novelty import judge_memory, nearest, turned
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.errors import InputError


@pytest.fixture(scope="session")
def encoder() -> AerialEncoder:
    """The real one; skips where its weights are not installed."""
    path = find_weights()
    if path is None:
        pytest.skip("the package geoembed is not installed")
    return AerialEncoder(path)


def scenes(count: int) -> np.ndarray:
    """Images of blocks in colours, unlike each other in every orientation."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 255, (count, 3, 8, 8), dtype=np.uint8)
    return np.kron(blocks, np.ones((1, 1, SIDE // 8, SIDE // 8), dtype=np.uint8))


def test_features_are_unit_vectors_that_tell_scenes_apart(encoder: AerialEncoder) -> None:
    images = scenes(2)
    noise = np.random.default_rng(0).integers(-3, 4, images.shape)
    noisy = np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)
    a, b = encoder.embed(images), encoder.embed(noisy)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
    cosine = a @ b.T
    assert np.diagonal(cosine).min() > 0.98 > max(cosine[0, 1], cosine[1, 0])


def test_batches_do_not_matter(encoder: AerialEncoder) -> None:
    images = scenes(3)
    np.testing.assert_allclose(encoder.embed(images), encoder.embed(images, batch=2), atol=1e-5)


def test_a_copy_is_found_however_it_is_turned(encoder: AerialEncoder) -> None:
    training = scenes(3)
    copies = np.concatenate([turned(training[[1]], turn) for turn in (0, 5)])
    found = nearest(encoder, copies, encoder.embed(training))
    assert found.which.tolist() == [1, 1]
    assert found.distances.max() < 1e-4
    for copy, turn in zip(copies, found.turns, strict=True):
        np.testing.assert_array_equal(turned(copy[None], int(turn))[0], training[1])


def test_a_copy_among_synthetic_tiles_is_shown_first(encoder: AerialEncoder) -> None:
    images = scenes(6)

    def tiles(which: list[int], images: np.ndarray) -> Tiles:
        masks = np.zeros((len(which), SIDE, SIDE), dtype=np.uint8)
        return replace(tiles_with(masks, masks, [f"p{k}" for k in which]), images=images)

    photos = tiles([0, 1], images[:2])
    synthetic = tiles([2, 3], np.concatenate([images[[2]], turned(images[[1]], 3)]))
    section = judge_memory(encoder, synthetic, tiles([4, 5], images[4:]), photos)
    first, second = section.facts["nearest"]
    assert (first["tile"], first["training_tile"]) == ("n1", "n1")
    assert first["distance"] < 1e-4 < second["distance"]
    shares = [row.value for row in section.rows if row.measure.startswith("nearer")]
    assert shares[0] >= 0.5
    assert section.figures[0].caption.startswith("n1, turned as it fits")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npz").write_text("no weights")
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    np.savez(tmp_path / "objects.npz", weight=np.array([{}], dtype=object))
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=path.name):
            AerialEncoder(path)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(100, 300), st.integers(100, 300))
def test_windows_are_whole_and_from_where_they_say(count: int, rows: int, cols: int) -> None:
    images = np.zeros((count, 3, rows, cols), dtype=np.uint8)
    images += np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None]
    windows, source = cut(images)
    assert len(windows) == len(source) == count * max(1, (rows // SIDE) * (cols // SIDE))
    for window, k in zip(windows, source, strict=True):
        assert set(np.unique(window)) == {k + 1}
    if rows >= SIDE <= cols:
        assert windows.shape[1:] == (3, SIDE, SIDE)

"""Training at toy size: it learns, it repeats, it resumes, it keeps to its split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tilefolder import make_tile_folder

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.downstream.losses import road_loss
from rsaug.downstream.metrics import road_scores
from rsaug.downstream.roadtiles import RoadTiles, read_road_tiles
from rsaug.downstream.segmenter import RoadSegmenter, SegmenterConfig
from rsaug.downstream.training import SegmenterRecipe, draw_batch, train_segmenter
from rsaug.errors import InputError

TOY = SegmenterConfig(encoder="tu-resnet10t", decoder_channels=(16, 8, 8))
SHORT = SegmenterRecipe(steps=4, batch=2, warmup=1, report_every=2)


class Interrupted(Exception):
    """Stands for whatever ends a run half-way."""


@pytest.fixture(scope="module")
def tile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small folder."""
    return make_tile_folder(tmp_path_factory.mktemp("made") / "tiles")


@pytest.fixture(scope="module")
def tiles(tile_folder: Path) -> RoadTiles:
    """The training tiles of the small folder."""
    return read_road_tiles(tile_folder, "train")


def weights(model: RoadSegmenter) -> torch.Tensor:
    """All weights and batch statistics in one vector."""
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def test_it_finds_the_roads_of_tiles_that_it_has_not_seen(
    tiles: RoadTiles, tile_folder: Path, tmp_path: Path
) -> None:
    val = read_road_tiles(tile_folder, "val")
    recipe = SegmenterRecipe(steps=30, batch=4, warmup=3, learning_rate=5e-3, report_every=10)
    lines: list[str] = []
    model = train_segmenter(tiles, tmp_path / "out", TOY, recipe, lines.append)
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
    assert losses[0] > losses[1] > losses[2]
    assert road_scores(model.predict(val.images), val.masks).iou > 0.8
    loaded = RoadSegmenter.load(tmp_path / "out")
    np.testing.assert_array_equal(loaded.predict(val.images), model.predict(val.images))


def test_a_seed_gives_one_segmenter(tiles: RoadTiles, tmp_path: Path) -> None:
    first = weights(train_segmenter(tiles, tmp_path / "first", TOY, SHORT))
    torch.manual_seed(99)
    second = weights(train_segmenter(tiles, str(tmp_path / "second"), TOY, SHORT))
    other = weights(train_segmenter(tiles, tmp_path / "other", TOY, replace(SHORT, seed=1)))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    tiles: RoadTiles, tmp_path: Path
) -> None:
    def interrupt(line: str) -> None:
        raise Interrupted(line)

    with pytest.raises(Interrupted, match="step 2"):
        train_segmenter(tiles, tmp_path / "resumed", TOY, SHORT, interrupt)
    lines: list[str] = []
    resumed = train_segmenter(tiles, tmp_path / "resumed", TOY, SHORT, lines.append)
    assert len(lines) == 1
    assert "step 4" in lines[0]
    whole = train_segmenter(tiles, tmp_path / "whole", TOY, SHORT)
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("split", ["test", "val"])
def test_held_out_tiles_are_refused(tiles: RoadTiles, tmp_path: Path, split: str) -> None:
    with pytest.raises(InputError, match=f"split 'train' only, not on '{split}'"):
        train_segmenter(replace(tiles, split=split), tmp_path / "out", TOY, SHORT)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_recipe_is_refused(tiles: RoadTiles, tmp_path: Path) -> None:
    train_segmenter(tiles, tmp_path / "out", TOY, SHORT)
    with pytest.raises(InputError, match="another recipe"):
        train_segmenter(tiles, tmp_path / "out", TOY, replace(SHORT, steps=6))


def test_image_and_mask_are_turned_together() -> None:
    masks = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (6, 16, 16), dtype=np.uint8))
    images = masks[:, None].expand(-1, 3, -1, -1) * 255
    recipe = SegmenterRecipe(batch=32, gain=0.0, shift=0.0)
    x, y = draw_batch(images, masks, recipe, np.random.default_rng(1))
    assert torch.equal(x, 255 * y[:, None].expand_as(x))
    assert len({bytes(turned.numpy().astype(np.uint8)) for turned in y}) > 6


def test_colours_stay_in_range() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8))
    recipe = SegmenterRecipe(batch=32, gain=0.5, shift=0.5)
    x, _ = draw_batch(images, torch.zeros(2, 8, 8), recipe, np.random.default_rng(1))
    assert x.min() == 0
    assert x.max() == 255


def test_the_loss_is_least_where_the_mask_is_met() -> None:
    masks = torch.zeros(1, 8, 8)
    masks[:, 2:4] = 1
    right, wrong, unsure = 40 * masks - 20, 20 - 40 * masks, 0 * masks
    assert road_loss(right, masks) < 1e-4
    assert road_loss(right, masks) < road_loss(unsure, masks) < road_loss(wrong, masks)

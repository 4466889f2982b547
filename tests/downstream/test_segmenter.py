"""The segmenter as a thing that is saved, loaded and asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.downstream.segmenter import CONFIG_FILE, WEIGHTS_FILE, RoadSegmenter, SegmenterConfig
from rsaug.errors import InputError

TOY = SegmenterConfig(encoder="tu-resnet10t", decoder_channels=(16, 8, 8))


@pytest.fixture
def segmenter() -> RoadSegmenter:
    """An untrained segmenter at toy size."""
    torch.manual_seed(0)
    return RoadSegmenter(TOY)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Five images of noise."""
    return np.random.default_rng(0).integers(0, 256, (5, 3, 32, 48), dtype=np.uint8)


def test_masks_have_the_size_of_the_images(
    segmenter: RoadSegmenter, images: NDArray[np.uint8]
) -> None:
    masks = segmenter.predict(images)
    assert masks.shape == (5, 32, 48)
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 1}


def test_a_tile_is_judged_alone(segmenter: RoadSegmenter, images: NDArray[np.uint8]) -> None:
    together = segmenter.predict(images)
    np.testing.assert_array_equal(segmenter.predict(images, batch=2), together)
    np.testing.assert_array_equal(segmenter.predict(images[::-1])[::-1], together)


def test_the_threshold_decides(images: NDArray[np.uint8]) -> None:
    torch.manual_seed(0)
    everything = RoadSegmenter(replace(TOY, threshold=0.0))
    assert everything.predict(images).all()


def test_a_loaded_segmenter_answers_as_the_saved_one(
    segmenter: RoadSegmenter, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    # Batch statistics other than the initial ones must travel, too.
    segmenter.train()(torch.from_numpy(images))
    segmenter.save(tmp_path)
    loaded = RoadSegmenter.load(tmp_path)
    assert loaded.config == segmenter.config
    np.testing.assert_array_equal(loaded.predict(images), segmenter.predict(images))


def test_folders_may_be_named_by_texts(segmenter: RoadSegmenter, tmp_path: Path) -> None:
    segmenter.save(str(tmp_path / "segmenter"))
    assert RoadSegmenter.load(str(tmp_path / "segmenter")).config == segmenter.config
    with pytest.raises(InputError, match=r"none/config\.json is no segmenter config"):
        RoadSegmenter.load("none")


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 3, 32, 32), dtype=np.float32),
        np.zeros((1, 32, 32, 3), dtype=np.uint8),
        np.zeros((3, 32, 32), dtype=np.uint8),
        np.zeros((1, 3, 32, 36), dtype=np.uint8),
    ],
    ids=["float", "channels last", "one image", "size"],
)
def test_other_images_are_refused(segmenter: RoadSegmenter, images: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="The segmenter takes"):
        segmenter.predict(images)


@pytest.mark.parametrize("content", ["", "[]", '{"encoder": "resnet18", "depth": 3}'])
def test_a_damaged_config_is_named(segmenter: RoadSegmenter, tmp_path: Path, content: str) -> None:
    segmenter.save(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(content)
    with pytest.raises(InputError, match="is no segmenter config"):
        RoadSegmenter.load(tmp_path)


def test_weights_that_do_not_fit_are_named(segmenter: RoadSegmenter, tmp_path: Path) -> None:
    segmenter.save(tmp_path)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    (tmp_path / CONFIG_FILE).write_text(json.dumps({**config, "decoder_channels": [16, 8, 4]}))
    with pytest.raises(InputError, match="holds no weights of this segmenter"):
        RoadSegmenter.load(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"no tensors")
    with pytest.raises(InputError, match="holds no weights of this segmenter"):
        RoadSegmenter.load(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        SegmenterConfig("fpn", "tu-resnet10t"),
        SegmenterConfig("deeplabv3plus", "tu-mobilenetv3_small_050"),
        SegmenterConfig("segformer", "mit_b0"),
        SegmenterConfig("unetplusplus", "tu-resnet10t", (16, 8, 8)),
    ],
    ids=lambda config: config.architecture,
)
def test_other_architectures_are_saved_and_loaded_alike(
    config: SegmenterConfig, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    segmenter = RoadSegmenter(config)
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 64), dtype=np.uint8)
    masks = segmenter.predict(images)
    assert masks.shape == (2, 32, 64)
    segmenter.save(tmp_path)
    loaded = RoadSegmenter.load(tmp_path)
    assert loaded.config == config
    np.testing.assert_array_equal(loaded.predict(images), masks)
    np.testing.assert_array_equal(segmenter.predict(images[1:])[0], masks[1])


def test_a_segmenter_of_before_there_were_architectures_is_a_unet(
    segmenter: RoadSegmenter, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    segmenter.save(tmp_path)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    del config["architecture"]
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config))
    state = load_file(tmp_path / WEIGHTS_FILE)
    old = {name.replace("network.", "unet.", 1): value for name, value in state.items()}
    save_file(old, tmp_path / WEIGHTS_FILE)
    loaded = RoadSegmenter.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(images), segmenter.predict(images))


def test_the_widths_of_a_unet_are_those_it_always_had() -> None:
    torch.manual_seed(0)
    own = RoadSegmenter(SegmenterConfig(encoder="tu-resnet10t"))
    torch.manual_seed(0)
    widths = (256, 128, 64, 32, 16)
    given = RoadSegmenter(SegmenterConfig(encoder="tu-resnet10t", decoder_channels=widths))
    assert own.config.factor == given.config.factor == 32
    for a, b in zip(own.parameters(), given.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SegmenterConfig("yolo"), "No architecture is called 'yolo'; there are unet, "),
        (SegmenterConfig("fpn", decoder_channels=(8, 8)), "'fpn' takes no widths of levels"),
        (SegmenterConfig("unetplusplus", "mit_b0"), "'unetplusplus' does not go with the encoder"),
    ],
)
def test_what_does_not_go_together_is_named(config: SegmenterConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RoadSegmenter(config)


@pytest.mark.parametrize("encoder", ["resnet1", "tu-resnet1"])
def test_an_unknown_encoder_is_named(encoder: str) -> None:
    with pytest.raises(InputError, match=f"No encoder is called '{encoder}'"):
        RoadSegmenter(SegmenterConfig(encoder=encoder))

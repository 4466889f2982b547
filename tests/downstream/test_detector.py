"""The detector as a thing that is saved, loaded and asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.downstream.architectures import DilatedCentre, architecture_names
from rsaug.downstream.consistency import Segmenter
from rsaug.downstream.detector import (
    TURNS,
    DetectorConfig,
    RoadDetector,
    is_detector,
)
from rsaug.downstream.evaluation.run import load_detector
from rsaug.downstream.segmenter import CONFIG_FILE, WEIGHTS_FILE
from rsaug.errors import InputError
from rsaug.pipelines.train.loop import turn

TOY = DetectorConfig(
    encoder="tu-resnet10t", options={"encoder_depth": 3, "decoder_channels": [16, 8, 8]}, gsd_m=0.6
)


@pytest.fixture
def detector() -> RoadDetector:
    """An untrained detector at toy size."""
    torch.manual_seed(0)
    return RoadDetector(TOY).eval()


def noise(*shape: int) -> torch.Tensor:
    """Numbers from 0 to 1."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def test_any_size_goes(detector: RoadDetector) -> None:
    assert detector.stride == 8
    assert detector(noise(2, 3, 33, 50)).shape == (2, 1, 33, 50)
    found = detector.probabilities(noise(1, 3, 33, 50))
    assert found.shape == (1, 33, 50)
    assert 0 < found.min() < found.max() < 1


def test_beyond_the_image_lies_the_mean_colour(detector: RoadDetector) -> None:
    image = noise(1, 3, 40, 44)
    padded = torch.tensor(TOY.mean)[:, None, None].expand(1, 3, 40, 48).clone()
    padded[..., :44] = image
    torch.testing.assert_close(detector(image), detector(padded)[..., :44])


def test_turns_see_a_turned_image_turned(detector: RoadDetector) -> None:
    image = noise(1, 3, 32, 32)
    found = detector.probabilities(image, turns=True)
    plain = detector.probabilities(image)
    assert not torch.allclose(found, plain, atol=1e-3)
    assert len({*TURNS}) == 8
    for quarter, mirror in TURNS:
        again = detector.probabilities(turn(image, quarter, mirror), turns=True)
        torch.testing.assert_close(again, turn(found, quarter, mirror), atol=1e-5, rtol=0)


def test_turns_of_an_oblong_image_have_its_shape(detector: RoadDetector) -> None:
    assert detector.probabilities(noise(1, 3, 16, 40), turns=True).shape == (1, 16, 40)


def test_a_loaded_detector_answers_as_the_saved_one(detector: RoadDetector, tmp_path: Path) -> None:
    detector.train()(noise(2, 3, 32, 32))
    detector.config = replace(detector.config, threshold=0.4)
    detector.facts = {"data": {"real": {"folder": "tiles"}}}
    detector.eval().save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]
    loaded = RoadDetector.load(tmp_path)
    assert loaded.config == detector.config
    assert loaded.facts == detector.facts
    assert not loaded.training
    torch.testing.assert_close(loaded(noise(1, 3, 32, 32)), detector(noise(1, 3, 32, 32)))
    assert is_detector(tmp_path)
    assert not is_detector(tmp_path / "none")


def test_folders_may_be_named_by_texts(detector: RoadDetector, tmp_path: Path) -> None:
    named = str(tmp_path / "found")
    detector.save(named)
    assert is_detector(named)
    assert RoadDetector.load(named).config == detector.config
    assert load_detector(named).config == detector.config
    with pytest.raises(InputError, match="none holds no road detector"):
        RoadDetector.load("none")


def test_evaluate_takes_it_as_a_judge_unless_it_has_seen_synthetic_tiles(
    detector: RoadDetector, tmp_path: Path
) -> None:
    detector.save(tmp_path)
    judge: Segmenter = load_detector(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 40), dtype=np.uint8)
    masks = judge.predict(images)
    expected = detector.probabilities(torch.from_numpy(images) / 255) >= 0.5
    np.testing.assert_array_equal(masks, expected.numpy())
    detector.facts = {"data": {"synthetic": [{"run": "roads-synth"}]}}
    detector.save(tmp_path)
    with pytest.raises(InputError, match="was trained on synthetic tiles"):
        load_detector(tmp_path)


@pytest.mark.parametrize("name", ["linknet", "dlinknet", "fpn", "deeplabv3plus"])
def test_architectures_with_further_maps_and_bands(name: str, tmp_path: Path) -> None:
    assert name in architecture_names()
    encoder = "tu-mobilenetv3_small_050" if name != "dlinknet" else "tu-resnet10t"
    bands: dict[str, Any] = {"in_channels": 4, "mean": (0.5,) * 4, "std": (0.2,) * 4}
    config = DetectorConfig(name, encoder, auxiliary=True, **bands)
    detector = RoadDetector(config).eval()
    assert detector(noise(1, 4, 64, 32)).shape == (1, 4, 64, 32)
    detector.save(tmp_path)
    loaded = RoadDetector.load(tmp_path)
    assert loaded.config == config
    torch.testing.assert_close(loaded(noise(1, 4, 64, 32)), detector(noise(1, 4, 64, 32)))


def test_a_dilated_centre_sees_fifteen_pixels_around() -> None:
    centre = DilatedCentre(4)
    features = torch.zeros(1, 4, 41, 41)
    features[..., 20, 20] = 5
    for weight in centre.parameters():
        torch.nn.init.constant_(weight, 0.1 * (weight.ndim > 1))
    seen = centre(features)[0].sum(0) > 0
    assert seen.nonzero().min() == 5
    assert seen.nonzero().max() == 35


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "yolo"}, "No architecture is called 'yolo'; there are .*dlinknet"),
        ({"encoder": "resnet1"}, "No encoder is called 'resnet1'"),
        ({"options": {"depth": 3}}, "does not go with the encoder"),
        ({"in_channels": 4}, "3 numbers in 'mean' for 4 bands"),
        ({"std": (0.1, 0.0, 0.1)}, "'std' must be above 0"),
        ({"threshold": 1.5}, "threshold must lie between"),
        ({"gsd_m": -1.0}, "'gsd_m' must be"),
    ],
)
def test_what_cannot_be_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RoadDetector(replace(TOY, **change))


def test_other_images_are_refused(detector: RoadDetector) -> None:
    with pytest.raises(InputError, match=r"images \(n, 3, rows, cols\), not \(1, 4, 32, 32\)"):
        detector(noise(1, 4, 32, 32))
    with pytest.raises(InputError, match="images of uint8, not float32"):
        detector.predict(np.zeros((1, 3, 32, 32), np.float32))


def test_damaged_folders_are_named(detector: RoadDetector, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no road detector: .* rsaug train roads"):
        RoadDetector.load(tmp_path / "none")
    detector.save(tmp_path)
    said = json.loads((tmp_path / CONFIG_FILE).read_text())
    wrong: object
    for wrong in ([], {"format": "another"}, {**said, "mean": "grey"}, {**said, "std": [1]}):
        (tmp_path / CONFIG_FILE).write_text(json.dumps(wrong))
        with pytest.raises(InputError, match="is no config of a road detector"):
            RoadDetector.load(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(json.dumps({**said, "auxiliary": True}))
    with pytest.raises(InputError, match="holds no weights of this detector"):
        RoadDetector.load(tmp_path)

"""What a model's autoencoder leaves of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import toy_pipeline

from rsaug.downstream.evaluation.autoencoder import Autoencoder
from rsaug.errors import InputError
from rsaug.modelfiles import folder_digest
from rsaug.pipelines.content import latent_statistics


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model."""
    folder = tmp_path_factory.mktemp("model")
    toy_pipeline().save_pretrained(folder)
    return folder


def noise(count: int, rows: int = 32, cols: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, rows, cols), dtype=np.uint8)


def test_images_are_encoded_and_decoded(folder: Path) -> None:
    autoencoder, pipe = Autoencoder.load(str(folder)), toy_pipeline()
    assert autoencoder.digest == folder_digest(folder)
    images = noise(3)
    scaled = torch.from_numpy(images).float() / 127.5 - 1
    with torch.inference_mode():
        latents = pipe.encode_images(scaled)
        decoded = pipe.decode_latents(latents)
    expected = ((decoded + 1) * 127.5).clamp(0, 255).round().numpy()
    rebuilt = autoencoder.rebuild(images)
    assert rebuilt.dtype == np.uint8
    assert rebuilt.shape == images.shape
    # Rounding may fall to either side.
    assert np.abs(rebuilt - expected).max() <= 1
    statistics = autoencoder.statistics(images)
    np.testing.assert_allclose(statistics, latent_statistics(latents).numpy(), atol=1e-5)
    # An image is looked at alone.
    np.testing.assert_array_equal(autoencoder.rebuild(images[::-1]), rebuilt[::-1])


def test_sides_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="multiples of 8 pixels, not 32 x 44"):
        Autoencoder.load(str(folder)).rebuild(noise(1, cols=44))


def test_no_model_is_named() -> None:
    with pytest.raises(InputError, match="no model folder"):
        Autoencoder.load("no such/model/here")

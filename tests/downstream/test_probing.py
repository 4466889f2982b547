"""Large images window by window against one pass over all of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.downstream.detector import DetectorConfig, RoadDetector
from rsaug.downstream.graph.skeleton import Window
from rsaug.downstream.probing import Looking, scale_of, strips
from rsaug.downstream.windows import Axis
from rsaug.errors import InputError


@dataclass
class Picture:
    """An image in memory that keeps count of what is read of it."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    most: int = field(default=0)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        rows, cols = self.valid.shape
        return rows, cols

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A part of it."""
        top, bottom, left, right = window
        assert 0 <= top < bottom <= self.shape[0]
        assert 0 <= left < right <= self.shape[1]
        self.most = max(self.most, (bottom - top) * (right - left))
        at = slice(top, bottom), slice(left, right)
        return self.values[:, *at], self.valid[at]

    def known(self, window: Window) -> NDArray[np.bool_]:
        """Where a part of it is known."""
        top, bottom, left, right = window
        return self.valid[top:bottom, left:right]


def picture(rows: int, cols: int) -> Picture:
    """Noise, known everywhere."""
    values = np.random.default_rng(0).random((3, rows, cols), dtype=np.float32)
    return Picture(values, np.ones((rows, cols), bool))


@pytest.fixture(scope="module")
def detector() -> RoadDetector:
    """An untrained detector whose pixels see 32 pixels around them at most, with a stride of 4."""
    torch.manual_seed(0)
    shallow = {"encoder_depth": 2, "decoder_channels": [8, 4]}
    return RoadDetector(DetectorConfig("unet", "resnet18", options=shallow)).eval()


def found(
    detector: RoadDetector, image: Picture, looking: Looking, scale: float = 1.0
) -> NDArray[np.float32]:
    """The probabilities of all strips, which follow each other."""
    made = [*strips(detector, image, looking, scale)]
    assert [strip.row for strip in made] == np.cumsum(
        [0, *(len(strip.probability) for strip in made[:-1])]
    ).tolist()
    for strip in made:
        bottom = strip.row + len(strip.known)
        np.testing.assert_array_equal(strip.known, image.valid[strip.row : bottom])
    whole = np.concatenate([strip.probability for strip in made])
    assert whole.shape == image.shape
    return whole


def one_pass(detector: RoadDetector, image: Picture) -> NDArray[np.float32]:
    """All of it at once."""
    seen: NDArray[np.float32]
    (seen,) = detector.probabilities(torch.from_numpy(image.values)[None]).numpy()
    return seen


def test_what_fits_into_a_window_is_one_pass(detector: RoadDetector) -> None:
    image = picture(61, 90)
    np.testing.assert_allclose(
        found(detector, image, Looking(128, 32)), one_pass(detector, image), atol=1e-6
    )


def test_windows_equal_one_pass_where_the_unused_edge_is_as_wide_as_a_pixel_sees(
    detector: RoadDetector,
) -> None:
    image = picture(90, 600)
    expected = one_pass(detector, image)
    wide = found(detector, image, Looking(256, 128))
    np.testing.assert_allclose(wide, expected, atol=1e-6)
    narrow = found(detector, image, Looking(64, 32))
    assert np.abs(narrow - expected).max() > 1e-3


def test_blending_is_the_weighted_mean_of_all_windows_in_any_order(
    detector: RoadDetector,
) -> None:
    image = picture(150, 200)
    rows, cols = (Axis(size, 64, 16, detector.stride) for size in image.shape)
    total = np.zeros((rows.padded, cols.padded))
    weights = np.zeros_like(total)
    padded = np.broadcast_to(np.array(detector.config.mean)[:, None, None], (3, *total.shape))
    padded = padded.astype(np.float32)
    padded[:, :150, :200] = image.values
    places = [(top, left) for top in rows.starts for left in cols.starts]
    for k in np.random.default_rng(1).permutation(len(places)):
        top, left = places[k]
        at = slice(top, top + 64), slice(left, left + 64)
        weight = np.outer(rows.weight(top), cols.weight(left))
        seen = detector.probabilities(torch.from_numpy(padded[:, *at].copy())[None])
        total[at] += weight * np.asarray(seen)[0]
        weights[at] += weight
    expected = (total / weights)[:150, :200]
    for batch in (1, 3):
        again = found(detector, image, Looking(64, 16, batch))
        np.testing.assert_allclose(again, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 1.37, 2.0])
def test_at_another_pixel_size_windows_change_nothing_either(
    detector: RoadDetector, scale: float
) -> None:
    image = picture(70, 290)
    # One window is as large as all of it in the detector's pixels.
    whole = found(detector, image, Looking(1024, 0), scale)
    np.testing.assert_allclose(found(detector, image, Looking(256, 128), scale), whole, atol=1e-6)


def test_an_image_enlarged_is_looked_at_as_it_was(detector: RoadDetector) -> None:
    small = picture(48, 64)
    large = Picture(small.values.repeat(2, 1).repeat(2, 2), np.ones((96, 128), bool))
    seen = found(detector, large, Looking(128, 0), scale=2.0)
    expected = found(detector, small, Looking(128, 0))
    middle = (seen[::2, ::2] + seen[1::2, ::2] + seen[::2, 1::2] + seen[1::2, 1::2]) / 4
    assert np.abs(middle - expected)[2:-2, 2:-2].max() < np.abs(expected - 0.5).max()
    assert np.corrcoef(middle.ravel(), expected.ravel())[0, 1] > 0.5


def test_what_is_unknown_is_the_mean_colour_to_the_detector(detector: RoadDetector) -> None:
    image = picture(64, 64)
    image.valid[:, 40:] = False
    first = found(detector, image, Looking(128, 0))
    image.values[:, :, 40:] = 0.9
    np.testing.assert_array_equal(found(detector, image, Looking(128, 0)), first)
    resampled = found(detector, image, Looking(128, 0), 1.5)
    image.values[:, :, 40:] = np.nan
    np.testing.assert_array_equal(found(detector, image, Looking(128, 0), 1.5), resampled)


def test_no_more_is_read_at_once_than_a_window_or_a_row_of_them(detector: RoadDetector) -> None:
    image = picture(700, 64)
    found(detector, image, Looking(64, 16))
    assert image.most <= 64 * 64
    assert max(len(strip.probability) for strip in strips(detector, image, Looking(64, 16))) <= 64


@pytest.mark.parametrize(
    ("gsd_m", "trained", "scale"),
    [
        (0.6, 0.6, 1),
        (0.595, 0.6, 1),
        (0.3, 0.6, 2),
        (1.2, 0.6, 0.5),
        (None, 0.6, 1),
        (0.6, None, 1),
    ],
)
def test_scale_is_that_of_the_pixels(
    gsd_m: float | None, trained: float | None, scale: float
) -> None:
    assert scale_of(gsd_m, trained) == pytest.approx(scale)


def test_windows_that_do_not_go_with_the_detector(detector: RoadDetector) -> None:
    with pytest.raises(InputError, match="multiples of 4 pixels for this detector, not 62"):
        next(strips(detector, picture(8, 8), Looking(62, 0)))
    with pytest.raises(InputError, match="at least one window"):
        Looking(batch=0)

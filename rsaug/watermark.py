"""An invisible watermark: a name in the pixels, that is still there when every tag is gone.

The name decides a pattern of `PERIOD` by `PERIOD` pixels, which repeats over the ground: each pixel
of the grid of a run has its value, so a tile by itself and the same tile in a mosaic are marked
alike, and there is no seam. The pattern is a sum of waves of a middle length, all of one height,
their phases drawn from SHAKE-256 of the name; it is added to the image (spread spectrum, Cox et al.
1997). Whoever looks for a name sums the image up over the period and compares phases for every
shift, which is one Fourier transform (phase-only matched filtering, Kalker & Janssen 1999).

How often a name is found where it is not is bounded for any image whatever. For a name that has
nothing to do with the image the phases t_k are independent and uniform, so of the agreement
c = sum of a_k cos(t_k - p_k), with weights a_k and phases p_k of the image,
E exp(s a_k cos t_k) = I_0(s a_k) <= exp(s² a_k² / 4), and by Chernoff P(c >= z sqrt(sum a_k² / 2))
<= exp(-z² / 2). All shifts together make it at most `PERIOD`² times that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.errors import InputError

PERIOD = 128
"""Pixels after which the pattern repeats."""

STRENGTH = 1.5
"""Standard deviation of the pattern in levels of 0 to 255, before it is rounded."""

CHANCE = 1e-6
"""A name counts as found where the bound on finding it by chance is lower."""

SCHEME = "spread-spectrum-1"
"""What the watermark is called where it is recorded; another number is another pattern."""

# Cycles a pixel: images have most of their power below, and lose what is above to JPEG.
_BAND = (0.1, 0.3)
_SIGMA = 3.0  # pixels; takes off the brightness of places, which borders would turn into waves
_NEIGHBOURS = 9  # frequencies a side over which the image's power is averaged
_MOST = 2.0  # a wave counts for at most so much more than those around


@dataclass(frozen=True)
class Trace:
    """What a search for a name came to.

    Attributes:
        score: How far the phases agree, in standard deviations of chance.
        chance: Upper bound on the probability that an image without the name scores as high.
        shift: Row and column of the pattern at the image's first pixel.
        scale: Of the scales that were tried, the best one.
    """

    score: float
    chance: float
    shift: tuple[int, int]
    scale: float = 1.0

    @property
    def found(self) -> bool:
        """Whether the image bears the name."""
        return self.chance < CHANCE


def watermark_id(name: str) -> str:
    """How the watermark of a name is recorded: its scheme and half a digest of the name.

    Raises:
        InputError: for a name without a letter.
    """
    if not name.strip():
        raise InputError("A watermark needs a name; give a text with --watermark.")
    return f"{SCHEME}:{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def mark(rgb: NDArray[np.uint8], name: str, row: int = 0, col: int = 0) -> NDArray[np.uint8]:
    """The image with a name in its pixels.

    Args:
        rgb: uint8 (bands, rows, cols); all bands are changed alike, by about 1.5 levels.
        name: What to write.
        row: Row of its first pixel in the grid of all pixels on the ground.
        col: Column of that.
    """
    rows, cols = rgb.shape[1:]
    at = np.ix_(np.arange(row, row + rows) % PERIOD, np.arange(col, col + cols) % PERIOD)
    marked: NDArray[np.uint8] = np.clip(rgb.astype(np.int16) + pattern(name)[at], 0, 255).astype(
        np.uint8
    )
    return marked


def find(rgb: NDArray[np.uint8], name: str, scales: Sequence[float] = (1.0,)) -> Trace:
    """How sure it is that an image bears a name, wherever it was cut out.

    An image turned or mirrored since it was marked has to be turned back first.

    Args:
        rgb: uint8 (bands, rows, cols).
        name: What to look for.
        scales: By how much the image may have been enlarged since, each tried; 0.5 is half the
            rows and columns.

    Raises:
        InputError: for an image of fewer than 32 pixels a side, or a scale that is not positive.
    """
    if min(rgb.shape[1:]) < 32:
        raise InputError(
            f"An image of {rgb.shape[1]} x {rgb.shape[2]} pixels is too small to look for a "
            "watermark; 32 a side are needed."
        )
    if not scales or min(scales) <= 0:
        raise InputError(f"Scales must be above 0, not {', '.join(map(str, scales)) or 'none'}.")
    grey = rgb.mean(axis=0)
    traces = [_search(_scaled(grey, 1 / scale), name, scale, len(scales)) for scale in scales]
    return min(traces, key=lambda trace: (trace.chance, -trace.score))


@lru_cache(maxsize=8)
def pattern(name: str) -> NDArray[np.int16]:
    """What a name adds to the pixels, int16 (`PERIOD`, `PERIOD`), of a mean of about 0."""
    spectrum = np.zeros(_band().shape, dtype=np.complex128)
    spectrum[_band()] = _phases(name)
    waves = np.fft.irfft2(spectrum, s=(PERIOD, PERIOD))
    added: NDArray[np.int16] = np.rint(waves * (STRENGTH / waves.std())).astype(np.int16)
    added.setflags(write=False)
    return added


@lru_cache(maxsize=1)
def _band() -> NDArray[np.bool_]:
    """Which waves there are, in the layout of a real Fourier transform.

    The first and the last column hold each wave twice, which the bound does not allow for, so they
    are left out.
    """
    rows, cols = np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD)[None]
    frequency = np.hypot(rows, cols)
    inside: NDArray[np.bool_] = (frequency >= _BAND[0]) & (frequency <= _BAND[1])
    inside[:, [0, -1]] = False
    return inside


@lru_cache(maxsize=8)
def _phases(name: str) -> NDArray[np.complex128]:
    """A number of length 1 for each wave."""
    count = int(_band().sum())
    digest = hashlib.shake_256(f"{SCHEME} {name}".encode()).digest(4 * count)
    turns = np.frombuffer(digest, dtype="<u4") / 2**32
    numbers: NDArray[np.complex128] = np.exp(2j * np.pi * turns)
    return numbers


def _scaled(grey: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    if factor == 1:
        return grey
    resized: NDArray[np.float64] = ndimage.zoom(grey, factor, grid_mode=True, mode="nearest")
    return resized


def _search(grey: NDArray[np.float64], name: str, scale: float, tries: int) -> Trace:
    """The best shift; ``tries`` is how many searches there are in all."""
    detail = grey - ndimage.gaussian_filter(grey, _SIGMA, mode="reflect")
    seen = np.fft.rfft2(_folded(detail))
    power = np.abs(seen) ** 2
    around = ndimage.uniform_filter(power, _NEIGHBOURS, mode="nearest")
    # The sums of an empty image leave something tiny, which is no wave.
    is_wave = _band() & (around > 1e-9)
    weights = np.zeros_like(power)
    weights[is_wave] = np.minimum(np.sqrt(power[is_wave] / around[is_wave]), _MOST)
    agreement = np.zeros(seen.shape, dtype=np.complex128)
    agreement[_band()] = _phases(name)
    agreement *= weights * np.exp(-1j * np.angle(seen))
    # irfft2 adds each wave twice, and divides by the number of pixels.
    scores = np.fft.irfft2(agreement, s=(PERIOD, PERIOD)) * (PERIOD**2 / 2)
    spread = np.sqrt((weights**2).sum() / 2)
    best = int(scores.argmax())
    score = float(scores.flat[best] / spread) if spread > 0 else 0.0
    chance = min(1.0, tries * PERIOD**2 * float(np.exp(-(score**2) / 2)))
    row, col = divmod(best, PERIOD)
    return Trace(score, chance, (row, col), scale)


def _folded(detail: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over all periods, (`PERIOD`, `PERIOD`)."""
    rows, cols = (-(-side // PERIOD) * PERIOD for side in detail.shape)
    whole = np.zeros((rows, cols))
    whole[: detail.shape[0], : detail.shape[1]] = detail
    sums: NDArray[np.float64] = whole.reshape(rows // PERIOD, PERIOD, cols // PERIOD, PERIOD).sum(
        axis=(0, 2)
    )
    return sums

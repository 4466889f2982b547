"""Roads found in images: probabilities and masks as cloud-optimized GeoTIFFs, and lines."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from rsaug.downstream.detector import RoadDetector, make_folder
from rsaug.downstream.imagery import Imagery, imagery_of
from rsaug.downstream.probing import Looking, scale_of, strips
from rsaug.downstream.vectorize import driver_for, vectorize, write_lines
from rsaug.errors import InputError, OutputError
from rsaug.grid import Tile
from rsaug.provenance import SOFTWARE
from rsaug.rasterfile import without_place

CERTAIN = 250
"""Value in a raster of probabilities that stands for 1; its scale is 1 / 250."""

UNKNOWN = 255
"""Value in both rasters where the image has no data."""

Write = Callable[[int, NDArray[np.uint8]], None]
"""Takes the first row and rows (rows, cols)."""

# Next to none: what GDAL keeps back it cannot tell of when the disk is full.
_CACHE_BYTES = 128


@dataclass(frozen=True)
class Found:
    """What was found in an image.

    Attributes:
        name: Of the image.
        probability: File of the probabilities.
        mask: File of the mask.
        road_fraction: Share of road of the known pixels; NaN where none is known.
        scale: Side of a pixel that the detector was trained on, in those of the image; 1 where the
            image was looked at as it is.
    """

    name: str
    probability: Path
    mask: Path
    road_fraction: float
    scale: float

    def to_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return {
            "name": self.name,
            "probability": str(self.probability),
            "mask": str(self.mask),
            "road_fraction": None if np.isnan(self.road_fraction) else self.road_fraction,
            "scale": self.scale,
        }


@dataclass(frozen=True)
class Predicted:
    """What came of images.

    Attributes:
        images: Of each.
        vectors: File of the lines, if one was asked for.
        lines: What `rsaug.downstream.vectorize.Vectorized.to_dict` says of it.
    """

    images: tuple[Found, ...]
    vectors: Path | None = None
    lines: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        vectors = {} if self.vectors is None else {"vectors": str(self.vectors), **self.lines}
        return {"images": [found.to_dict() for found in self.images], **vectors}


def predict(
    detector: RoadDetector,
    images: Sequence[str | Path],
    out: str | Path,
    *,
    looking: Looking | None = None,
    threshold: float | None = None,
    gsd_m: float | None = None,
    vectors: str | Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Predicted:
    """Find the roads of images and write them, each image by itself.

    Args:
        detector: Ready to predict, on the device that is to be used.
        images: Rasters, or folders of them; see `imagery_of`.
        out: Folder of ``<name>_probability.tif`` and ``<name>_mask.tif``.
        looking: How the detector looks at them.
        threshold: From which probability on a pixel is road; by default the detector's own.
        gsd_m: Metres a pixel of images that do not say it.
        vectors: File of the roads as lines, ``.gpkg`` or ``.geojson``; the images must then be on
            one grid.
        note: Called with what is being done.

    Raises:
        InputError: if an image or a number cannot be used.
        OutputError: if a file cannot be written; nothing partial is left of it.
        MissingExtra: if lines are asked for and scikit-image is not installed.
    """
    out, vectors = Path(out), None if vectors is None else Path(vectors)
    threshold = detector.config.threshold if threshold is None else threshold
    if not 0 <= threshold <= 1:
        raise InputError(f"The threshold must lie between 0 and 1, not {threshold}.")
    if gsd_m is not None and not 0 < gsd_m < float("inf"):
        raise InputError(f"The size of a pixel must be a number of metres above 0, not {gsd_m}.")
    whole = [imagery_of(Path(path), detector.config.in_channels) for path in images]
    _check_names(whole)
    if vectors is not None:
        driver_for(vectors)
        without = next((image.name for image in whole if image.tile is None), None)
        if without is not None:
            raise InputError(
                f"The image {without} has no place on Earth, so its roads cannot be lines there; "
                "leave --vectors out, or give it a CRS first, for instance with gdal_edit -a_srs."
            )
    make_folder(out)
    found = []
    for image in whole:
        note(image.name)
        found.append(_find(detector, image, out, looking or Looking(), threshold, gsd_m))
    if vectors is None:
        return Predicted(tuple(found))
    note("lines")
    lines = vectorize([one.mask for one in found], source=f"{detector.config.name} detector")
    write_lines(vectors, lines.lines)
    return Predicted(tuple(found), vectors, lines.to_dict())


def _find(
    detector: RoadDetector,
    image: Imagery,
    out: Path,
    looking: Looking,
    threshold: float,
    gsd_m: float | None,
) -> Found:
    """Write both rasters of an image."""
    scale = scale_of(image.gsd_m or gsd_m, detector.config.gsd_m)
    probability, mask = (out / f"{image.name}_{what}.tif" for what in ("probability", "mask"))
    tags = _tags(detector, image, threshold, scale)
    road = known = 0
    with (
        _growing(probability, image, "road probability", tags, certain=CERTAIN) as write,
        _growing(mask, image, "road", tags) as write_mask,
    ):
        for strip in strips(detector, image, looking, scale):
            is_road = strip.known & (strip.probability >= threshold)
            scaled = np.rint(strip.probability * CERTAIN)
            write(strip.row, np.where(strip.known, scaled, UNKNOWN).astype(np.uint8))
            write_mask(strip.row, np.where(strip.known, is_road, UNKNOWN).astype(np.uint8))
            road, known = road + int(is_road.sum()), known + int(strip.known.sum())
    return Found(image.name, probability, mask, road / known if known else float("nan"), scale)


def _tags(detector: RoadDetector, image: Imagery, threshold: float, scale: float) -> dict[str, str]:
    """What both rasters say of themselves."""
    looked_at = "as it is" if scale == 1 else f"resampled to {detector.config.gsd_m:g} m"
    return {
        "TIFFTAG_SOFTWARE": SOFTWARE,
        "TIFFTAG_IMAGEDESCRIPTION": (
            "Roads found by a detector, not measured. Probability: value / "
            f"{CERTAIN}. Mask: 1 road, 0 elsewhere. Both: {UNKNOWN} where the image has no data."
        ),
        "RSAUG_DETECTOR": detector.config.name,
        "RSAUG_DETECTOR_SHA256": str(detector.facts.get("weights_sha256", "")),
        "RSAUG_THRESHOLD": f"{threshold:g}",
        "RSAUG_IMAGE": f"{image.name}, {looked_at}",
        "RSAUG_IMAGE_SYNTHETIC": "yes" if image.synthetic else "no",
    }


def _check_names(images: Sequence[Imagery]) -> None:
    names = [image.name for image in images]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"Two images are called {twice}, and their results would be one; predict them one by "
            "one, each with its own --out."
        )


@contextmanager
def _growing(
    path: Path, image: Imagery, band: str, tags: Mapping[str, str], certain: int | None = None
) -> Iterator[Write]:
    """What takes the rows of a raster one after another; at the end it appears whole.

    Raises:
        OutputError: if it cannot be written.
    """
    mark = f"{os.getpid()}-{secrets.token_hex(4)}.part"
    rough, whole = (path.with_name(f".{path.name}.{step}-{mark}") for step in ("rough", "whole"))
    try:
        with without_place():
            with rasterio.open(rough, "w", **_profile(image)) as dst:
                dst.set_band_description(1, band)
                dst.update_tags(**tags)
                if certain is not None:
                    dst.scales = (1 / certain,)

                def write(row: int, values: NDArray[np.uint8]) -> None:
                    window = RasterWindow(0, row, values.shape[1], len(values))
                    dst.write(values, 1, window=window)

                yield write
            _finish(rough, whole, "MODE" if certain is None else "AVERAGE")
            whole.replace(path)
    except (rasterio.errors.RasterioError, rasterio.errors.RasterioIOError, OSError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path} could not be written ({error}).") from error
    finally:
        for part in (rough, whole):
            with contextlib.suppress(OSError):
                part.unlink()


def _profile(image: Imagery) -> dict[str, Any]:
    """How the rough file is laid out: by rows, as they come."""
    rows, cols = image.shape
    tile: Tile | None = image.tile
    place = {} if tile is None else {"crs": tile.crs.to_wkt(), "transform": tile.transform}
    return {
        "driver": "GTiff",
        "height": rows,
        "width": cols,
        "count": 1,
        "dtype": "uint8",
        "nodata": UNKNOWN,
        "bigtiff": "IF_SAFER",
        **place,
    }


def _finish(rough: Path, whole: Path, resampling: str) -> None:
    """Make the cloud-optimized file, and read it once: GDAL may end early on a full disk."""
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        rasterio.shutil.copy(
            rough,
            whole,
            driver="COG",
            COMPRESS="DEFLATE",
            PREDICTOR="YES",
            BLOCKSIZE=512,
            OVERVIEW_RESAMPLING=resampling,
            BIGTIFF="IF_SAFER",
            NUM_THREADS="1",
        )
        with rasterio.open(whole) as src:
            for _, window in src.block_windows(1):
                src.read(window=window)

"""Targets: images and rasters."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from affine import Affine
from pyproj import CRS

from fuzz.mutations import Sample, mutated_bytes
from fuzz.targets import Run, Target, sample_of
from rsaug.errors import RsaugError
from rsaug.grid import Tile

_SIDE = 64


def _change(rng: random.Random, content: bytes) -> bytes:
    """Bytes changed, as a rule behind what the format is told by."""
    keep = 4 if rng.random() < 0.95 else 0
    return content[:keep] + mutated_bytes(rng, content[keep:])


def _tile() -> Tile:
    corner = Affine(0.5, 0, 384_000, 0, -0.5, 6_672_000)
    return Tile.from_transform(corner, (_SIDE, _SIDE), CRS.from_epsg(32635))


def _image() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 255, (3, _SIDE, _SIDE), dtype=np.uint8)


def _tiffs(folder: Path) -> list[Sample]:
    """A cloud-optimized image of ours, the same by GDAL's plain writer, and a control stack."""
    import rasterio

    from rsaug.conditions.stack import ControlStack
    from rsaug.raster import write_cog
    from rsaug.stackfile import write_stack

    tile = _tile()
    path = folder / "image.tif"
    samples = []
    tags = {"RSAUG_SYNTHETIC": "YES", "TIFFTAG_SOFTWARE": "rsaug"}
    write_cog(path, _image(), tile, tags=tags, xmp='<x a="b"/>')
    samples.append(sample_of(folder))
    for options in ({"compress": "JPEG", "photometric": "YCBCR"}, {"compress": "LZW"}, {}):
        with rasterio.open(
            path, "w", driver="GTiff", width=_SIDE, height=_SIDE, count=3, dtype="uint8",
            crs=tile.crs.to_wkt(), transform=tile.transform, **options,
        ) as dst:  # fmt: skip
            dst.write(_image())
        samples.append(sample_of(folder))
    road = np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    write_stack(path, ControlStack.from_maps(tile.shape, road=road), tile)
    return [*samples, sample_of(folder)]


def _pictures(folder: Path) -> list[Sample]:
    from PIL import Image

    samples = []
    picture = Image.fromarray(_image().transpose(1, 2, 0))
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 80}), ("WEBP", {"lossless": True}),
                          ("JPEG", {"progressive": True}), ("WEBP", {})):  # fmt: skip
        file = io.BytesIO()
        picture.save(file, format=kind, **options)
        samples.append({"image.tif": file.getvalue()})
    return samples


def _others(folder: Path) -> list[Sample]:
    """JPEG 2000 and Erdas Imagine."""
    import rasterio

    samples = []
    for driver in ("JP2OpenJPEG", "HFA"):
        path = folder / "image.tif"
        with rasterio.open(
            path, "w", driver=driver, width=_SIDE, height=_SIDE, count=3, dtype="uint8",
            crs="EPSG:32635", transform=rasterio.Affine(0.5, 0, 384_000, 0, -0.5, 6_672_000),
        ) as dst:  # fmt: skip
            dst.write(_image())
        samples.append({"image.tif": path.read_bytes()})
        path.unlink()
    return samples


def _prepare(make: partial[list[Sample]], folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.credentials import is_signed
    from rsaug.decoupling import Photo
    from rsaug.downstream.imagery import imagery_of
    from rsaug.mark_verification import look_at_image
    from rsaug.raster import read_rgb
    from rsaug.stackfile import read_stack
    from rsaug.warp import is_raster, raster_info, read_onto

    tile = _tile()

    def windows(path: Path) -> None:
        image = imagery_of(path, 3)
        rows, cols = (min(side, 256) for side in image.shape)
        image.read((0, rows, 0, cols))

    def photo(path: Path) -> None:
        opened = Photo.open(path)
        opened.without_data()
        opened.read()

    def onto(path: Path) -> None:
        if is_raster(path):
            raster_info(path)
            read_onto(path, tile)
            read_onto(path, tile, resampling="bilinear")

    def run(place: Path) -> None:
        path = place / "image.tif"
        for reader in (read_rgb, photo, onto, windows, read_stack, look_at_image, is_signed):
            try:
                reader(path)
            except RsaugError:
                continue

    return make(folder), run


TARGETS = (
    Target("geotiff", "GeoTIFF", partial(_prepare, partial(_tiffs)), {"*": _change}),
    Target("pictures", "PNG, JPEG, WebP", partial(_prepare, partial(_pictures)), {"*": _change}),
    Target("jp2-hfa", "JPEG 2000, Imagine", partial(_prepare, partial(_others)), {"*": _change}),
)

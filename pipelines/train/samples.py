"""Training examples from samples of torchgeo's kind, whatever dataset they are from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.grid import linear_unit_m, to_lonlat
from rsaug.pipelines.train.folder import cut_windows
from rsaug.pipelines.train.pack import Pack, stack_examples
from rsaug.pipelines.train.rows import Look, unmapped_example

_MOST_EMPTY = 0.02
"""Share of pixels without data above which an example is left out."""


def pack_of_samples(
    samples: Iterable[Mapping[str, Any]],
    size: int = 256,
    *,
    road: Collection[int] = (1,),
    classes: Mapping[int, str] | None = None,
    gsd_m: float | None = None,
    look: Look | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Pack:
    """Examples from samples of a torchgeo dataset, or of anything that gives the same.

    A sample is a mapping with ``image`` (bands, h, w), red, green and blue first, 0 to 255, and
    ``mask`` (h, w). Where it has ``crs`` and ``bounds``, as those of a ``GeoDataset`` do, place,
    pixel size and date are learned, too; ``caption`` is taken as its text. Larger samples are cut
    into examples. Those that are empty (0, or 250 and more, in every band) in more than 2 % of
    their pixels are left out and counted in the log.

    Args:
        samples: the dataset itself where it is map-style, else what a sampler picks:
            ``(dataset[query] for query in sampler)``.
        size: side of an example in pixels.
        road: values of the mask that are road surface.
        classes: LoveDA's class by value of the mask, where it holds land cover as well.
        gsd_m: pixel size in metres of samples without a projected CRS.
        look: a network that sees land cover; see `rsaug.pipelines.train.pack.read_pack`.
        log: where the count of what was left out goes.

    Raises:
        InputError: if a sample lacks something or is too small, or none is left.
    """
    table = _class_table(classes)
    rows, seen, left_out = [], 0, 0
    for nth, sample in enumerate(samples):
        rgb, mask = _arrays(sample, nth)
        known = {"gsd": gsd_m, **_metadata(sample, mask.shape)}
        places = cut_windows(mask.shape[0], mask.shape[1], size)
        if not places:
            raise InputError(f"Sample {nth} is {mask.shape} pixels, too small for {size}x{size}.")
        for row, col in places:
            window = np.s_[row : row + size, col : col + size]
            image, values = np.ascontiguousarray(rgb[window]), mask[window]
            seen += 1
            empty = (image.max(axis=2) == 0) | (image.min(axis=2) >= 250)
            if empty.mean() > _MOST_EMPTY:
                left_out += 1
                continue
            roads = np.isin(values, list(road)).astype(np.uint8)
            areas = None if table is None else table[np.clip(values, 0, 255)]
            caption = sample.get("caption")
            texts = (str(caption),) if caption else ()
            rows.append(
                unmapped_example(image, roads, known, areas=areas, captions=texts, look=look)
            )
    if left_out:
        log(f"{left_out} of {seen} examples left out: more than 2 % of their pixels are empty")
    if not rows:
        raise InputError(f"The samples give no {size}x{size} example that is not empty.")
    return stack_examples(rows)


def _arrays(sample: Mapping[str, Any], nth: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Image (h, w, 3) and mask (h, w) of a sample."""
    missing = {"image", "mask"} - sample.keys()
    if missing:
        raise InputError(f"Sample {nth} lacks {sorted(missing)}; it has {sorted(sample)}.")
    image, mask = np.asarray(sample["image"]), np.squeeze(np.asarray(sample["mask"]))
    if image.ndim != 3 or len(image) < 3 or mask.shape != image.shape[1:]:
        raise InputError(
            f"Sample {nth} has an image {image.shape} and a mask {mask.shape}; they must be "
            "(3 or more, h, w) and (h, w)."
        )
    rgb = image[:3].transpose(1, 2, 0)
    low, high = float(rgb.min()), float(rgb.max())
    in_unit = np.issubdtype(rgb.dtype, np.floating) and 0 < high <= 1
    if not (low >= 0 and high <= 255) or in_unit:
        raise InputError(
            f"The image of sample {nth} ranges from {low:g} to {high:g}; it must be 0 to 255. "
            "Scale it with a transform."
        )
    return np.rint(rgb).astype(np.uint8), mask.astype(np.int64)


def _metadata(sample: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, float]:
    """What a sample's CRS and bounds say; the middle of its time, where that is a span."""
    if "crs" not in sample or "bounds" not in sample:
        return {}
    crs = CRS.from_user_input(sample["crs"])
    x, y, *time = sample["bounds"]
    lon, lat = to_lonlat(crs).transform((x.start + x.stop) / 2, (y.start + y.stop) / 2)
    known = {"longitude": float(lon), "latitude": float(lat)}
    if crs.is_projected:
        known["gsd"] = (x.stop - x.start) / shape[1] * linear_unit_m(crs)
    known |= _date(time[0]) if time else {}
    return known


def _date(time: slice) -> dict[str, float]:
    """Year of a span of time; month and day too where it is no longer than a day."""
    first, last = pd.Timestamp(time.start), pd.Timestamp(time.stop)
    # Datasets without dates have all time as their span.
    if first.year != last.year:
        return {}
    if (last - first).days > 1:
        return {"year": first.year}
    return {"year": first.year, "month": first.month, "day": first.day}


def _class_table(classes: Mapping[int, str] | None) -> NDArray[np.uint8] | None:
    """Class index of each value of a mask, (256,); background where nothing is said."""
    if classes is None:
        return None
    table = np.zeros(256, dtype=np.uint8)
    for value, name in classes.items():
        if name not in CLASSES or not 0 <= value <= 255:
            raise InputError(
                f"The class of {value} is {name!r}; values are 0 to 255, classes {CLASSES}."
            )
        table[value] = CLASSES.index(name)
    return table

"""Years: how far real photographs of one place in several years lie apart in appearance.

That is the yardstick of what a date may change in a synthetic tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from rsaug.downstream.evaluation.appearance import (
    BY,
    MEASURES,
    appearance,
    colour_distance,
    over_places,
)
from rsaug.downstream.evaluation.report import Row, counted
from rsaug.downstream.evaluation.tiles import index_of
from rsaug.pipelines.train.folder import image_path
from rsaug.raster import read_rgb

_FEWEST_PLACES = 2


def year_rows(folder: Path, split: str = "val", seed: int = 0) -> list[Row]:
    """Differences in appearance between real photographs of the same places in two years.

    Each year is compared with the next one, and the last with the first, over the places that have
    both; what the camera and the season do is in it as well as what was built.

    Args:
        folder: Tile folder.
        split: ``train`` or ``val``.
        seed: Of the bootstrap over places.

    Returns:
        For every pair of years a row for each of `MEASURES` and one for the distance of the mean
        colours; empty where there are no two years of at least two places.

    Raises:
        InputError: if the folder cannot be read, or the split is ``test``.
    """
    rows = index_of(folder, split)
    if "year" not in rows:
        return []
    table = rows.dropna(subset=["year"]).drop_duplicates(["place", "year"])
    table = table[table.groupby("place")["year"].transform("size") > 1]
    if table.empty:
        return []
    images = [read_rgb(image_path(folder, name))[None] for name in table["id"]]
    # One by one, since tiles of a folder may be of several sizes.
    looks = pd.DataFrame(np.concatenate([appearance(image) for image in images]), columns=MEASURES)
    looks.index = pd.MultiIndex.from_frame(table[["place", "year"]].astype({"year": int}))
    return [row for years in _pairs(looks) for row in _pair_rows(looks, *years, seed)]


def _pairs(looks: pd.DataFrame) -> Iterator[tuple[int, int]]:
    """An earlier and a later year each."""
    years = sorted(set(looks.index.get_level_values("year")))
    yield from pairwise(years)
    if len(years) > 2:
        yield years[0], years[-1]


def _pair_rows(looks: pd.DataFrame, early: int, late: int, seed: int) -> list[Row]:
    before, after = (looks.xs(year, level="year") for year in (early, late))
    places = before.index.intersection(after.index)
    if len(places) < _FEWEST_PLACES:
        return []
    a, b = (side.loc[places].to_numpy() for side in (before, after))
    names = places.to_numpy(dtype=np.str_)
    of, n = f"real, {late} - {early}", f"{counted(len(places), 'place')} in both years"
    result = [
        Row(measure, of, *over_places((b - a)[:, k], names, seed), n, BY)
        for k, measure in enumerate(MEASURES)
    ]
    apart = over_places(colour_distance(a, b), names, seed)
    return [*result, Row("colour distance", f"real, {late} to {early}", *apart, n, BY)]

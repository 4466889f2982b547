"""Obedience: are the other controls, land cover and edges, seen in the tiles?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from rsaug.classes import LOVEDA
from rsaug.conditions.edges import edge_map
from rsaug.conditions.image_edges import soft_edges
from rsaug.conditions.landcover import CLASSES, LandAreas, land_areas, landcover_map
from rsaug.conditions.outlines import Outlines, outlines
from rsaug.conditions.stack import ControlStack
from rsaug.downstream.evaluation.report import Row, Section, counted
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.downstream.metrics import near, relaxed_scores
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.roads import road_surfaces
from rsaug.stackfile import read_stack
from rsaug.vectors import read_vectors

if TYPE_CHECKING:
    from pyproj import CRS

Look = Callable[[NDArray[np.uint8], float | None], NDArray[np.uint8]]
"""From an image (3, rows, cols) and its pixel size in metres to LoveDA's classes (rows, cols)."""

_THRESHOLDS = np.arange(1, 10) / 10
_SLACK_PX = 2.0
_GIVEN_EDGE = 0.5
_UNKNOWN = CLASSES.index("background")


@dataclass(frozen=True)
class EdgeScore:
    """How far edges of images are those of the maps.

    Attributes:
        correlation: Pearson's, of the numbers of all pixels; the mean over tiles.
        by_chance: The same with the maps of other tiles.
        best_f: Best F over thresholds, one threshold for all tiles (ODS of Arbelaez et al. 2011),
            edges within 2 pixels being one.
        best_f_by_chance: The same with the maps of other tiles.
        tiles: How many tiles there are.
    """

    correlation: float
    by_chance: float
    best_f: float
    best_f_by_chance: float
    tiles: int


def class_agreement(
    seen: Sequence[NDArray[np.uint8]], given: Sequence[NDArray[np.uint8]]
) -> NDArray[np.int64]:
    """How often a pixel of each given class is seen as each class, (given, seen) counts.

    Args:
        seen: Class of each pixel as a network sees it, (rows, cols) each.
        given: Class of each pixel of the map; background says nothing and is left out.
    """
    count = len(CLASSES)
    table = np.zeros((count, count), dtype=np.int64)
    for ours, theirs in zip(seen, given, strict=True):
        there = theirs != _UNKNOWN
        pairs = theirs[there].astype(np.intp) * count + ours[there]
        table += np.bincount(pairs, minlength=count**2).reshape(count, count)
    return table


def agreement_scores(table: NDArray[np.int64]) -> tuple[float, float]:
    """Share of pixels seen as given, and mean over the given classes of their shares; NaN if none.

    The mean weighs classes alike, so a map of fields alone does not decide.
    """
    total = table.sum(axis=1)
    there = total > 0
    if not there.any():
        return np.nan, np.nan
    right = np.diagonal(table)
    return float(right.sum() / total.sum()), float((right[there] / total[there]).mean())


def decode_classes(seg: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Class of each pixel, uint8 (rows, cols), of a map in the palette's colours (3, rows, cols).

    Raises:
        InputError: if a colour is none of the palette's.
    """
    colours = np.rint(np.moveaxis(seg, 0, -1) * 255).astype(np.int64)
    code = (colours << np.array([16, 8, 0])).sum(axis=-1)
    values = np.array(sorted(c.value for c in LOVEDA.classes))
    palette = (LOVEDA.palette[values].astype(np.int64) << np.array([16, 8, 0])).sum(axis=-1)
    order = np.argsort(palette)
    at = np.searchsorted(palette[order], code).clip(max=len(order) - 1)
    if (palette[order][at] != code).any():
        raise InputError("A land-cover control has colours that are no LoveDA classes.")
    found: NDArray[np.uint8] = values[order][at].astype(np.uint8)
    return found


def edge_score(
    images: Sequence[NDArray[np.uint8]],
    maps: Sequence[NDArray[np.float32]],
    places: Sequence[str],
) -> EdgeScore:
    """How far the soft edges of images are those of their maps, and by chance.

    Args:
        images: (3, rows, cols) uint8 each.
        maps: (rows, cols) in [0, 1] each, the strength of an edge.
        places: Where each is from; by chance is with the map of the next image of another place.
    """
    edges = [soft_edges(np.moveaxis(image, 0, -1)) for image in images]
    own = list(zip(edges, maps, strict=True))
    other = [
        (edges[k], maps[j]) for k in range(len(edges)) if (j := _elsewhere(places, k)) is not None
    ]
    return EdgeScore(
        correlation=_mean([_correlation(*pair) for pair in own]),
        by_chance=_mean([_correlation(*pair) for pair in other]),
        best_f=_best_f(own),
        best_f_by_chance=_best_f(other),
        tiles=len(images),
    )


def _elsewhere(places: Sequence[str], k: int) -> int | None:
    """The next image, in a circle, that is of another place."""
    circle = [*range(k + 1, len(places)), *range(k)]
    return next((j for j in circle if places[j] != places[k]), None)


def judge_controls(
    run: Path, synthetic: Tiles, real: Tiles | None, real_folder: Path | None, look: Look
) -> Section | None:
    """What a network and an edge filter see in tiles, against the maps they were made from.

    Args:
        run: Folder of the run.
        synthetic: Its tiles, under the names of its own tiles.
        real: Real tiles.
        real_folder: Their folder; its ``landcover.geojson``, where there is one, and its roads are
            what real tiles are compared with.
        look: From an image and its pixel size to LoveDA's classes.

    Returns:
        None where neither land cover nor soft edges were given.
    """
    stacks = list(_stacks(run, synthetic))
    has_seg = np.array(["seg" in stack.given for stack in stacks])
    has_hed = np.array(["hed" in stack.given for stack in stacks])
    if not has_seg.any() and not has_hed.any():
        return None
    mapped = _Mapped(real_folder, real) if real is not None and real_folder is not None else None
    rows: list[Row] = []
    missing: list[str] = []
    if has_seg.any():
        maps = [decode_classes(stack.slot("seg")) for stack in stacks if "seg" in stack.given]
        rows += _class_rows("synthetic", synthetic.take(has_seg), maps, look)
        if mapped is not None and mapped.has_cover:
            rows += _class_rows("real val", mapped.tiles, mapped.covers(), look)
        else:
            missing.append("Land cover of real tiles, which needs a landcover.geojson (--real).")
    if has_hed.any():
        edges = [stack.slot("hed")[0] for stack in stacks if "hed" in stack.given]
        rows += _edge_rows("synthetic", synthetic.take(has_hed), edges)
        if mapped is not None:
            rows += _edge_rows("real val", mapped.tiles, mapped.edges())
    return Section(
        name="controls",
        title="Other controls",
        says=(
            "Land cover: what a network sees where the map has a class; the network was trained on "
            "the same real tiles as the default model, so it is no independent judge. Edges: soft "
            "edges of the image against the map. Real tiles are compared with their own mapped "
            "areas and roads, which are coarser than what is to be seen.",
        ),
        rows=tuple(rows),
        facts={"edge_slack_px": _SLACK_PX},
        missing=tuple(missing),
    )


class _Mapped:
    """What is mapped of real tiles.

    Args:
        folder: Tile folder.
        tiles: Tiles of it.
    """

    def __init__(self, folder: Path, tiles: Tiles) -> None:
        self.tiles = tiles
        cover = folder / "landcover.geojson"
        self.has_cover = cover.is_file()
        areas = self._read(cover) if self.has_cover else None
        self._areas = None if areas is None or areas.empty else areas
        self._lines = self._read(folder / "roads.geojson")
        self._layers: dict[str, tuple[LandAreas | None, Outlines]] = {}

    def covers(self) -> list[NDArray[np.uint8]]:
        """Land cover of each tile with its roads, uint8 (rows, cols)."""
        result = []
        for tile, mask in zip(self.tiles.tiles, self.tiles.masks, strict=True):
            areas, _ = self._of(tile.crs)
            result.append(landcover_map([areas] if areas else [], mask, tile))
        return result

    def edges(self) -> list[NDArray[np.float32]]:
        """Soft edges of what is mapped of each tile, (rows, cols)."""
        return [edge_map(self._of(tile.crs)[1], tile) for tile in self.tiles.tiles]

    def _read(self, path: Path) -> gpd.GeoDataFrame:
        """Features of the places of the tiles alone, where they name theirs."""
        layer = read_vectors(path)
        return layer[layer["place"].isin(self.tiles.places)] if "place" in layer else layer

    def _of(self, crs: CRS) -> tuple[LandAreas | None, Outlines]:
        name = crs.to_wkt()
        if name not in self._layers:
            areas = None if self._areas is None else land_areas(self._areas, crs)
            surfaces = road_surfaces(self._lines, crs).surfaces
            drawn = outlines(areas=[] if areas is None else [areas.areas], roads=surfaces)
            self._layers[name] = areas, drawn
        return self._layers[name]


def _stacks(run: Path, synthetic: Tiles) -> Iterator[ControlStack]:
    """The controls of each image; those of a tile are read once for all its variants."""
    last: tuple[str, ControlStack] | None = None
    for name in synthetic.places.tolist():
        if last is None or last[0] != name:
            last = name, read_stack(RunFolder(run).conditions(name))
        yield last[1]


def _class_rows(of: str, tiles: Tiles, maps: Sequence[NDArray[np.uint8]], look: Look) -> list[Row]:
    table = class_agreement([look(image, tiles.gsd_m) for image in tiles.images], maps)
    share, mean = agreement_scores(table)
    by = "LandcoverNet"
    n = f"{counted(len(tiles), 'tile')}, {table.sum():,} pixels"
    rows = [
        Row("land cover seen as given", of, share, n=n, by=by),
        Row("the same, mean over classes", of, mean, n=n, by=by),
    ]
    for k, name in enumerate(CLASSES):
        if total := int(table[k].sum()):
            share = float(table[k, k] / total)
            rows.append(Row(f"{name} seen as given", of, share, n=f"{total:,} pixels", by=by))
    return rows


def _edge_rows(of: str, tiles: Tiles, maps: Sequence[NDArray[np.float32]]) -> list[Row]:
    score = edge_score([*tiles.images], maps, tiles.places.tolist())
    n, by, other = counted(score.tiles, "tile"), "soft edges", f"{of}, another place's map"
    return [
        Row("correlation of edges", of, score.correlation, n=n, by=by),
        Row("correlation of edges", other, score.by_chance, n=n, by=by),
        Row("best F of edges", of, score.best_f, n=n, by=by),
        Row("best F of edges", other, score.best_f_by_chance, n=n, by=by),
    ]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson's; NaN where one is the same everywhere."""
    x, y = (v.astype(np.float64) - v.mean(dtype=np.float64) for v in (a, b))
    length = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / length) if length > 0 else np.nan


def _best_f(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    counts = np.zeros((len(_THRESHOLDS), 4), dtype=np.int64)
    for ours, theirs in pairs:
        given = theirs >= _GIVEN_EDGE
        near_given = near(given, _SLACK_PX)
        for k, threshold in enumerate(_THRESHOLDS):
            found = ours >= threshold
            reached = given & near(found, _SLACK_PX)
            counts[k] += (found & near_given).sum(), found.sum(), reached.sum(), given.sum()
    return float(np.nanmax(relaxed_scores(counts)[:, 2])) if counts.any() else np.nan


def _mean(values: list[float]) -> float:
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else np.nan

"""Datasets of road tiles, ours against torchgeo's own classes on the same files: time a sample.

    export PYTHONPATH=tests
    python -m benchmarks.road_datasets --features 100000 --run roads-synth --out result.json

``--features`` asks a layer of so many roads for masks of 512 px: `RoadVectors`, which has read the
lines, against torchgeo's VectorDataset, which reads the file of their surfaces at every query. The
masks have to be the same pixels. ``--run`` reads images and masks of a folder of ``rsaug synth``:
whole tiles by `chips` and by query, against two RasterDatasets joined by ``&`` with each of
torchgeo's samplers. All take turns, several times over; given are the median and the range.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.road_maps import GSD_M, TILE_SIZE, UTM, some_tiles, synthetic_roads
from numpy.typing import NDArray
from torchgeo.datasets import RasterDataset, VectorDataset
from torchgeo.samplers import GridGeoSampler, PreChippedGeoSampler

from rsaug.downstream.datasets import RoadVectors, SyntheticRoads
from rsaug.grid import TileGrid

# One core a contender, whatever its library would take.
os.environ |= dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "GDAL_NUM_THREADS"), "1")

EVER = slice(pd.Timestamp.min, pd.Timestamp.max)

Query = tuple[slice, slice, slice]


def measure_vectors(features: int, queries: int, rounds: int) -> dict[str, Any]:
    """Milliseconds a query of a layer of so many roads."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.fgb"
        synthetic_roads(features).to_file(lines)
        began = time.perf_counter()
        ours = RoadVectors(lines, crs=UTM, res=GSD_M)
        grid = TileGrid(UTM, GSD_M, TILE_SIZE)
        surfaces = ours.roads.roads(UTM).surfaces
        asked = [
            _query_of(tile.bounds) for tile in some_tiles(grid, surfaces.total_bounds, queries)
        ]
        _ = ours[asked[0]]
        load_s = time.perf_counter() - began
        areas = Path(folder) / "areas.fgb"
        surfaces.assign(road=1)[["road", "geometry"]].to_file(areas)
        theirs = VectorDataset([areas], res=(GSD_M, GSD_M), label_name="road")

        def masks_of(dataset: Any) -> Callable[[], list[NDArray[np.uint8]]]:
            return lambda: [
                np.asarray(dataset[query]["mask"]).squeeze().astype(np.uint8) for query in asked
            ]

        makers = {"ours": masks_of(ours), "torchgeo": masks_of(theirs)}
        times, first = take_turns(makers, rounds)
    unlike = sum(int((a != b).sum()) for a, b in zip(first["ours"], first["torchgeo"], strict=True))
    return {
        "features": features,
        "queries": queries,
        "load_s": round(load_s, 2),
        "road_share": round(float(np.mean(first["ours"])), 4),
        "pixels_unlike": unlike,
        "ms_a_query": {name: _spread(1000 / queries, taken) for name, taken in times.items()},
        "ratio": round(float(np.median(np.divide(times["torchgeo"], times["ours"]))), 1),
    }


def measure_chips(run: Path, most: int, rounds: int) -> dict[str, Any]:
    """Samples a second of the tiles of a run, image and mask together."""
    ours = SyntheticRoads(run, variants=[0])
    chips = ours.chips()
    masks = RasterDataset(run / "masks")
    masks.is_image = False
    theirs = RasterDataset([str(tile.image) for tile in ours.tiles]) & masks
    size = ours.tiles[0].shape[0]
    queries = list(PreChippedGeoSampler(ours))[:most]
    # By a pixel smaller, since rounding can make a tile a hair smaller than its own size.
    gridded = list(GridGeoSampler(theirs, size - 1, size))[:most]
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "ours, chips": (len(queries), lambda: [chips[k] for k in range(len(queries))]),
        "ours, queries": (len(queries), lambda: [ours[query] for query in queries]),
        "torchgeo, pre-chipped": (len(queries), lambda: [theirs[query] for query in queries]),
        "torchgeo, grid": (len(gridded), lambda: [theirs[query] for query in gridded]),
    }
    times, first = take_turns({name: way for name, (_, way) in ways.items()}, rounds)
    same = [
        float((a["image"] != b["image"]).float().mean())
        for a, b in zip(first["ours, chips"], first["torchgeo, pre-chipped"], strict=True)
    ]
    return {
        "tiles": len(queries),
        "side": size,
        "samples_a_second": {
            name: [round(ways[name][0] / number, 1) for number in _median_and_range(taken)]
            for name, taken in times.items()
        },
        "ratio": round(
            float(np.median(np.divide(times["torchgeo, grid"], times["ours, chips"])))
            * len(queries)
            / max(len(gridded), 1),
            2,
        ),
        "image_values_that_torchgeo_changed": round(float(np.mean(same)), 4),
    }


def take_turns(
    ways: dict[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each way, in rounds, and what the first round, which is not counted, gave."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    first: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            found = way()
            if number:
                times[name].append(time.perf_counter() - began)
            else:
                first[name] = found
    return times, first


def _query_of(bounds: tuple[float, float, float, float]) -> Query:
    left, bottom, right, top = bounds
    return slice(left, right), slice(bottom, top), EVER


def _median_and_range(taken: Sequence[float]) -> tuple[float, float, float]:
    return float(np.median(taken)), max(taken), min(taken)


def _spread(factor: float, taken: Sequence[float]) -> list[float]:
    """Median, lowest and highest."""
    middle, highest, lowest = _median_and_range(taken)
    return [round(factor * number, 3) for number in (middle, lowest, highest)]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="*", default=[])
    parser.add_argument("--queries", type=int, default=9, help="queries of a layer")
    parser.add_argument("--run", type=Path, help="a folder of rsaug synth")
    parser.add_argument("--tiles", type=int, default=100, help="most tiles of the run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    # What torchgeo and rasterio say of newer libraries is no result.
    warnings.simplefilter("ignore")
    names = ("torchgeo", "rasterio", "geopandas", "rusterize", "torch")
    report: dict[str, Any] = {
        "machine": {
            "python": platform.python_version(),
            "processor": platform.machine(),
            **{name: version(name) for name in names},
        },
        "rounds": args.rounds,
        "vectors": [measure_vectors(n, args.queries, args.rounds) for n in args.features],
    }
    if args.run:
        report["chips"] = measure_chips(args.run, args.tiles, args.rounds)
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

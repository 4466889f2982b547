"""Road maps of tiles, ours against what users have: time a tile and memory, side by side.

    python tests/benchmarks/road_maps.py --features 10000 100000 1000000 5000000 --out result.json
    python tests/benchmarks/road_maps.py --roads roads.osm.pbf

Every contender is given the same surfaces and the same tiles of 512 px, and its maps have to be the
same pixels. Layers lie in a FlatGeobuf file; each size is measured in a process of its own. All
contenders take turns on the same tiles, several times over; given are the median and the range of
the rounds, of which the ratios are made as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.burning import default_engine
from rsaug.conditions.road import road_mask
from rsaug.grid import Tile, TileGrid, utm_crs
from rsaug.layers import BLOCK_TILES, Blocks, block_of
from rsaug.roads import Roads, road_surfaces
from rsaug.sources import open_source

UTM = CRS.from_epsg(32635)
GSD_M, TILE_SIZE = 1.0, 512
_EAST, _NORTH = 300_000.0, 6_600_000.0
_POINTS, _STEP_M = 9, 30.0
# So many features of that length a square kilometre that about 160 meet a tile.
_A_SQUARE_KM = 400

# One core a contender, whatever its library would take.
_ONE_CORE = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "GDAL_NUM_THREADS"), "1")

Maps = list[NDArray[np.uint8]]


def synthetic_roads(features: int, seed: int = 0) -> gpd.GeoDataFrame:
    """Winding lines of nine points, 240 m long and 3 to 12 m wide, evenly over a square."""
    rng = np.random.default_rng(seed)
    side = 1000 * np.sqrt(features / _A_SQUARE_KM)
    start = rng.uniform(0, side, (features, 1, 2)) + np.array([_EAST, _NORTH])
    turns = np.cumsum(rng.normal(0, 0.2, (features, _POINTS - 1)), axis=1)
    heading = rng.uniform(0, 2 * np.pi, (features, 1)) + turns
    steps = _STEP_M * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    points = np.concatenate([start, start + np.cumsum(steps, axis=1)], axis=1)
    widths = rng.choice([3.0, 5.0, 7.0, 12.0], features)
    return gpd.GeoDataFrame({"width": widths}, geometry=shapely.linestrings(points), crs=UTM)


def some_tiles(grid: TileGrid, bounds: NDArray[np.float64], number: int) -> list[Tile]:
    """Tiles in a square around the middle of the bounds."""
    side = int(np.ceil(np.sqrt(number)))
    left, bottom, right, top = bounds
    pixels = grid.tile_size * grid.resolution
    col = int((left + right) / 2 / pixels) - side // 2
    row = int(-(bottom + top) / 2 / pixels) - side // 2
    tiles = [grid.tile(row + i // side, col + i % side) for i in range(number)]
    return tiles


def ours(roads: Roads) -> Callable[[Tile], NDArray[np.uint8]]:
    """Rsaug on a layer that is prepared."""
    return lambda tile: road_mask(roads, tile)


def rasterio_loop(roads: Roads) -> Callable[[Tile], NDArray[np.uint8]]:
    """What one writes by hand: rasterio on what a spatial index finds."""
    import rasterio.features

    shapes = roads.surfaces.geometry.to_numpy()
    tree = shapely.STRtree(shapes)

    def burn(tile: Tile) -> NDArray[np.uint8]:
        found = shapes[tree.query(tile.polygon)]
        if not len(found):
            return np.zeros(tile.shape, np.uint8)
        burned: NDArray[np.uint8] = rasterio.features.rasterize(
            found, tile.shape, transform=tile.transform, default_value=1, dtype=np.uint8
        )
        return burned

    return burn


def geocube_loop(roads: Roads) -> Callable[[Tile], NDArray[np.uint8]]:
    """Geocube on what geopandas' spatial index finds."""
    from geocube.api.core import make_geocube

    frame = roads.surfaces.assign(road=1)[["road", "geometry"]]
    named = {"crs": {"properties": {"name": frame.crs.to_string()}}}

    def burn(tile: Tile) -> NDArray[np.uint8]:
        part = frame.iloc[frame.sindex.query(tile.polygon)]
        if part.empty:
            return np.zeros(tile.shape, np.uint8)
        cube = make_geocube(
            part,
            measurements=["road"],
            resolution=(-tile.transform.a, tile.transform.a),
            geom=json.dumps(shapely.geometry.mapping(tile.polygon) | named),
            fill=0,
        )
        return np.asarray(cube["road"].values).astype(np.uint8)

    return burn


def torchgeo_dataset(roads: Roads, path: Path) -> Callable[[Tile], NDArray[np.uint8]]:
    """Torchgeo's VectorDataset on a file of the surfaces."""
    import pandas as pd
    from torchgeo.datasets import VectorDataset

    if not path.exists():
        roads.surfaces.assign(road=1)[["road", "geometry"]].to_file(path)
    dataset = VectorDataset([path], res=(GSD_M, GSD_M), label_name="road")

    def burn(tile: Tile) -> NDArray[np.uint8]:
        left, bottom, right, top = tile.bounds
        when = slice(pd.Timestamp.min, pd.Timestamp.max)
        sample = dataset[left:right, bottom:top, when]
        return np.asarray(sample["mask"]).squeeze().astype(np.uint8)

    return burn


def take_turns(
    contenders: dict[str, Callable[[Tile], NDArray[np.uint8]]], tiles: list[Tile], rounds: int
) -> dict[str, Any]:
    """Milliseconds a tile of each contender, in rounds; the first, for warmth, is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    first: dict[str, Maps] = {}
    for number in range(rounds + 1):
        for name, burn in contenders.items():
            began = time.perf_counter()
            maps = [burn(tile) for tile in tiles]
            taken = (time.perf_counter() - began) / len(tiles) * 1000
            if number:
                times[name].append(taken)
            else:
                first[name] = maps
    reference = first["ours"]
    differing = {
        name: int(sum((a != b).sum() for a, b in zip(maps, reference, strict=True)))
        for name, maps in first.items()
    }
    return {
        name: {
            "ms_a_tile": round(float(np.median(taken)), 3),
            "range": [round(min(taken), 3), round(max(taken), 3)],
            "ratio_to_ours": round(float(np.median(np.divide(taken, times["ours"]))), 2),
            "pixels_unlike_ours": differing[name],
        }
        for name, taken in times.items()
    }


def measure(path: Path, number: int, rounds: int, peers: set[str]) -> dict[str, Any]:
    """One layer: load it, let the contenders take turns."""
    source = open_source(path, kind="lines")
    began = time.perf_counter()
    lines = source.read()
    crs = lines.crs if lines.crs.is_projected else utm_crs(lines)
    roads = road_surfaces(lines, crs)
    read = time.perf_counter() - began
    grid = TileGrid(crs, GSD_M, TILE_SIZE)
    tiles = some_tiles(grid, roads.surfaces.total_bounds, number)
    tiles = [tile for tile in tiles if len(roads.shapes.near(tile))]
    contenders = {"ours": ours(roads)}
    road_mask(roads, tiles[0])
    loaded = time.perf_counter() - began
    makers: dict[str, Callable[[Roads], Callable[[Tile], NDArray[np.uint8]]]] = {
        "rasterio": rasterio_loop,
        "geocube": geocube_loop,
    }
    for name, make in makers.items():
        if name in peers:
            contenders[name] = make(roads)
    result: dict[str, Any] = {
        "features": len(lines),
        "tiles": len(tiles),
        "features_a_tile": round(float(np.mean([len(roads.shapes.near(t)) for t in tiles])), 1),
        "read_s": round(read, 2),
        "load_s": round(loaded, 2),
        "contenders": take_turns(contenders, tiles, rounds),
    }
    if "torchgeo" in peers:
        slow = {
            "ours": ours(roads),
            "torchgeo": torchgeo_dataset(roads, path.with_suffix(".surfaces.fgb")),
        }
        result["torchgeo"] = take_turns(slow, tiles[:2], 3)
    return result


def measure_windowed(path: Path, number: int, rounds: int) -> dict[str, Any]:
    """One layer read block by block: time a block and a tile, memory above an empty process."""
    empty = _peak_mib()
    source = open_source(path, kind="lines")
    grid = TileGrid(UTM, GSD_M, TILE_SIZE)
    info = source.info()
    box = gpd.GeoSeries([shapely.box(*(info.bounds or (0, 0, 0, 0)))], crs=4326).to_crs(UTM)
    tiles = some_tiles(grid, box.total_bounds, number)
    # All in one block, that of the middle.
    block = block_of(tiles[len(tiles) // 2 + round(np.sqrt(number)) // 2])
    tiles = [tile for tile in tiles if block_of(tile) == block]
    layer = Blocks(
        source, grid, lambda part: road_surfaces(part, UTM, allow_none=True), margin_m=100
    )
    began = time.perf_counter()
    layer.at(tiles[0])
    block_s = time.perf_counter() - began
    turns = take_turns({"ours": lambda tile: road_mask(layer.at(tile), tile)}, tiles, rounds)
    # As a run over a wide area does: more blocks than are kept.
    for step in range(1, 6):
        layer.at(grid.tile(tiles[0].row, tiles[0].col + step * BLOCK_TILES))
    return {
        "features": info.count,
        "tiles": len(tiles),
        "block_s": round(block_s, 2),
        "ms_a_tile": turns["ours"]["ms_a_tile"],
        "range": turns["ours"]["range"],
        "features_a_tile": round(
            float(np.mean([len(layer.at(t).shapes.near(t)) for t in tiles[:9]])), 1
        ),
        "peak_mib_above_empty": round(_peak_mib() - empty),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(job: dict[str, Any]) -> dict[str, Any]:
    """The result of a measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps(job)],
        stdout=subprocess.PIPE,
        env=os.environ | _ONE_CORE,
        check=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own does."""
    path = Path(job["path"])
    if job["what"] == "write":
        frame = synthetic_roads(job["features"])
        frame.to_file(path, driver="FlatGeobuf")
        return {"mib": path.stat().st_size >> 20}
    if job["what"] == "windowed":
        return measure_windowed(path, job["tiles"], job["rounds"])
    return measure(path, job["tiles"], job["rounds"], set(job["peers"]))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="*", default=[])
    parser.add_argument("--roads", type=Path, nargs="*", default=[], help="real layers")
    parser.add_argument("--whole", type=int, default=1_000_000, help="most features held at once")
    parser.add_argument("--torchgeo", type=int, default=100_000, help="most features for torchgeo")
    parser.add_argument("--tiles", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(run_job(args.job)))  # noqa: T201 - read by the process above
        return
    layers: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for features in args.features:
            path = str(Path(folder) / f"{features}.fgb")
            in_a_process({"what": "write", "path": path, "features": features})
            entry: dict[str, Any] = {"layer": f"{features} synthetic"}
            if features <= args.whole:
                peers = ["rasterio", "geocube"] + ["torchgeo"] * (features <= args.torchgeo)
                entry |= in_a_process(_job("whole", path, args, peers))
            entry["windowed"] = in_a_process(_job("windowed", path, args, []))
            layers.append(_say(entry))
            Path(path).unlink()
        for roads in args.roads:
            peers = ["rasterio", "geocube", "torchgeo"]
            copy = Path(folder) / roads.name
            copy.write_bytes(roads.read_bytes())
            entry = {"layer": roads.name} | in_a_process(_job("whole", str(copy), args, peers))
            layers.append(_say(entry))
    report = {"machine": _machine(), "tiles": args.tiles, "rounds": args.rounds, "layers": layers}
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


def _job(what: str, path: str, args: argparse.Namespace, peers: list[str]) -> dict[str, Any]:
    return {"what": what, "path": path, "tiles": args.tiles, "rounds": args.rounds, "peers": peers}


def _say(entry: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(entry), flush=True)  # noqa: T201 - the result
    return entry


def _machine() -> dict[str, Any]:
    names = ("rusterize", "rasterio", "geocube", "torchgeo", "shapely", "geopandas", "numpy")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    return {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "engine": default_engine(),
        **versions,
    }


if __name__ == "__main__":
    main()

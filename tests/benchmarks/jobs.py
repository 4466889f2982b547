"""What a run costs besides making images: time and memory of plans, files and catalogues.

    PYTHONPATH=tests python tests/benchmarks/jobs.py --out result.json

Three parts, each in a process of its own. The plan: reading roads and finding the tiles they meet.
The catalogue: collection and manifest over items that are there. The images: a whole run of a
generator that takes no time, whose time is thus all overhead.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from painter import Painter

from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.options import SynthOptions
from rsaug.requests import TileRequest
from rsaug.stac import Description, write_catalogue
from rsaug.synthesis import make_plan, run

_EAST, _NORTH = 300_000.0, 6_600_000.0
_TILE_M = 256 * 0.6
_LIBRARIES = ("geopandas", "rasterio", "stac-geoparquet", "pyarrow", "numpy")


class Still(Painter):
    """Images that are there at once, as large as noisy photographs when compressed."""

    def __init__(self) -> None:
        super().__init__(batch_size=2)
        noise = np.random.default_rng(0).normal(110, 12, (3, 256, 256))
        self._image = noise.clip(0, 255).astype(np.uint8)

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """The same image for each."""
        return [self._image for _ in requests]


def write_streets(path: Path, tiles: int) -> None:
    """A street through every row of tiles of a square of so many, and a wide one across."""
    side = int(np.ceil(np.sqrt(tiles)))
    rows = _NORTH - _TILE_M * (np.arange(side) + 0.4)
    west, east = _EAST + 5, _EAST + _TILE_M * side - 5
    xs = np.linspace(west, east, 12 * side)
    lines = [shapely.linestrings(np.column_stack([xs, y + 9 * np.sin(xs / 50)])) for y in rows]
    frame = gpd.GeoDataFrame({"width": [8.0] * side}, geometry=lines, crs=32635)
    frame.to_file(path, driver="FlatGeobuf")


def plan(folder: Path, tiles: int) -> dict[str, Any]:
    """Read the roads of a region and find its tiles."""
    asked = SynthOptions(str(folder / "streets.fgb"), all=True, out=str(folder / "out"))
    found = make_plan(asked)
    return {"tiles": len(found.tiles)}


def catalogue(folder: Path, tiles: int) -> dict[str, Any]:
    """Write collection and manifest over items that are there."""
    out = RunFolder(folder / "many")
    names = out.item_names()
    about = Description.of_images("many", "streets.fgb", Still().describe())
    write_catalogue(out, names, about)
    return {
        "items": len(names),
        "manifest_bytes": out.root.joinpath("manifest.parquet").stat().st_size,
    }


def images(folder: Path, tiles: int) -> dict[str, Any]:
    """Make images in no time, and look at them again."""
    asked = SynthOptions(str(folder / "streets.fgb"), limit=tiles, out=str(folder / "out"))
    found = make_plan(asked)
    spent = {}
    for name in ("made", "found_there"):
        began, cpu = time.perf_counter(), time.process_time()
        run(found, Still())
        spent[f"ms_{name}"] = round(1000 * (time.perf_counter() - began) / tiles, 2)
        spent[f"cpu_ms_{name}"] = round(1000 * (time.process_time() - cpu) / tiles, 2)
    return {"images": tiles, **spent}


PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "plan": plan,
    "catalogue": catalogue,
    "images": images,
}


def _many_items(folder: Path, tiles: int) -> None:
    """Items of so many tiles as a run writes them, after the model of one that was made."""
    small = SynthOptions(str(folder / "streets.fgb"), limit=1, out=str(folder / "one"))
    run(make_plan(small), Still())
    (model,) = (folder / "one" / "items").glob("*.json")
    text = model.read_text()
    items = folder / "many" / "items"
    items.mkdir(parents=True)
    grid = make_plan(small).scene.grid
    for k in range(tiles):
        tile: Tile = grid.tile(k // 400, k % 400)
        (items / f"{tile.name}.json").write_text(text.replace(model.stem, tile.name))


def _measured(part: str, folder: Path, tiles: int) -> dict[str, Any]:
    """A part in a process of its own, with its time and the most memory it had."""
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--tiles", str(tiles)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(tiles: int, number: int) -> dict[str, Any]:
    """All parts, for a plan and a catalogue of so many tiles and a run of so many images."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_streets(folder / "streets.fgb", tiles)
        _many_items(folder, tiles)
        parts = {"plan": tiles, "catalogue": tiles, "images": number}
        measured = {part: _measured(part, folder, count) for part, count in parts.items()}
    machine = {name: version(name) for name in _LIBRARIES}
    return {"machine": {"python": platform.python_version(), **machine}, **measured}


def _peak_mib() -> int:
    """Most memory that this process has had; Linux counts it anew for every program."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024)


def _part(name: str, folder: Path, tiles: int) -> None:
    before, began = _peak_mib(), time.perf_counter()
    found = PARTS[name](folder, tiles)
    found["seconds"] = round(time.perf_counter() - began, 2)
    found["mib_empty"], found["mib"] = before, _peak_mib()
    print(json.dumps(found))  # noqa: T201


def main() -> None:
    """Measure, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=[*PARTS])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.part:
        _part(given.part, given.folder, given.tiles)
        return
    text = json.dumps(measure(given.tiles, given.images), indent=1)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()

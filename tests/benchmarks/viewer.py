"""How fast ``rsaug view`` is: until the page is there, until the map is, and tile by tile.

    PYTHONPATH=tests:tests/benchmarks python tests/benchmarks/viewer.py --out result.json

A run is made by rsaug's own writers, of images of another run (``--pool``) or of noise. The server
is a process of its own, asked over HTTP by six threads, as many as a browser has connections. Each
tile of the web over the run is asked for twice: cold, after a start with nothing read ahead but
what the server reads by itself meanwhile, and warm. With Chromium, the page is opened as well.

    PYTHONPATH=tests:tests/benchmarks python tests/benchmarks/viewer.py --mosaic 50000

asks for tiles of a raster of so many pixels a side instead, as the mosaic of a small run and as
real imagery. Seconds are those of a clock; ``cpu`` is processor time, which other work on the
machine hardly changes, and is told where there is a ``/proc``.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from jobs import Still, write_streets  # type: ignore[import-not-found]  # beside this script
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsaug.options import SynthOptions
from rsaug.raster import read_rgb
from rsaug.requests import TileRequest
from rsaug.synthesis import make_plan, run
from rsaug.viewer.view import View
from rsaug.viewer.webtiles import WebTile

_BLOCK, _PATCH = 512, 8
"""Sides of a block of the large raster in pixels, and of a patch that is filled in blocks."""

_SPARSE = 16
"""One of so many patches is filled."""

_THREADS = 6
_ZOOMS_OUT = 7
_DRAWN = (
    "() => Boolean(window.rsaug && rsaug.maps.a.getLayer('frames') && "
    "rsaug.maps.a.queryRenderedFeatures({ layers: ['frames', 'dots'] }).length)"
)
_LIBRARIES = ("rasterio", "rio-tiler", "fastapi", "uvicorn", "numpy")
_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class Copied(Still):  # type: ignore[misc]  # found only when run
    """Images of another run, one after the other and again from the first."""

    def __init__(self, pool: Path) -> None:
        super().__init__()
        self._paths = sorted((pool / "images").glob("*.tif"))
        self._next = 0

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """One for each request."""
        images = []
        for _ in requests:
            images.append(read_rgb(self._paths[self._next % len(self._paths)]))
            self._next += 1
        return images


def make_run(folder: Path, tiles: int, pool: Path | None) -> Path:
    """A run of so many tiles side by side, with land cover."""
    streets = folder / "streets.fgb"
    write_streets(streets, tiles)
    west, south, east, north = gpd.read_file(streets).total_bounds
    woods = [shapely.box(west, south, (west + east) / 2, (south + north) / 2)]
    cover = gpd.GeoDataFrame({"class": ["trees"]}, geometry=woods, crs=32635)
    cover.to_file(folder / "cover.fgb", driver="FlatGeobuf")
    asked = SynthOptions(
        str(streets),
        landcover=str(folder / "cover.fgb"),
        controls="road,seg",
        limit=tiles,
        out=str(folder / "run"),
    )
    run(make_plan(asked), Still() if pool is None else Copied(pool))
    return folder / "run"


def make_mosaic(path: Path, side: int) -> list[tuple[float, float]]:
    """A raster of so many pixels a side around the run: tiled, compressed and with overviews.

    Returns:
        Longitude and latitude of the middle of each patch that is filled; what lies between them
        is not in the file.
    """
    west, south, east, north = gpd.read_file(path.parent.parent / "streets.fgb").total_bounds
    left, top = float(west + east) / 2 - 0.3 * side, float(south + north) / 2 + 0.3 * side
    kind = {"driver": "GTiff", "tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    packed = {"compress": "deflate", "predictor": 2, "zlevel": 1, "sparse_ok": True}
    place = {"crs": "EPSG:32635", "transform": from_origin(left, top, 0.6, 0.6)}
    shape = {"width": side, "height": side, "count": 3, "dtype": "uint8"}
    noise = np.random.default_rng(0).integers(0, 8, (3, _BLOCK, _BLOCK), dtype=np.uint8)
    middles = []
    with rasterio.Env(GDAL_CACHEMAX=64 << 20, SPARSE_OK_OVERVIEW=True):
        with rasterio.open(path, "w", bigtiff="yes", **kind, **packed, **place, **shape) as dst:
            for row, col in filled(side):
                for down in range(_PATCH):
                    for across in range(_PATCH):
                        y, x = (row * _PATCH + down) * _BLOCK, (col * _PATCH + across) * _BLOCK
                        rows, cols = min(_BLOCK, side - y), min(_BLOCK, side - x)
                        if min(rows, cols) > 0:
                            pixels = _painted(noise, x, y)[:, :rows, :cols]
                            dst.write(pixels, window=Window(x, y, cols, rows))
                wide = 0.6 * _PATCH * _BLOCK
                middles.append((left + (col + 0.5) * wide, top - (row + 0.5) * wide))
        with rasterio.open(path, "r+") as dst:
            steps = range(1, max(2, math.ceil(math.log2(side / _BLOCK)) + 1))
            dst.build_overviews([2**step for step in steps], Resampling.average)
    points = gpd.GeoSeries(gpd.points_from_xy(*zip(*middles, strict=True)), crs=32635)
    return [(point.x, point.y) for point in points.to_crs(4326)]


def filled(side: int) -> Iterator[tuple[int, int]]:
    """Patches that are filled, as (row, col)."""
    count = math.ceil(side / (_PATCH * _BLOCK))
    for row in range(count):
        for col in range(count):
            if (5 * row + 3 * col) % _SPARSE == 0:
                yield row, col


def _painted(noise: NDArray[np.uint8], x: int, y: int) -> NDArray[np.uint8]:
    """A block from a place on: slopes over the whole raster, and a little noise."""
    down, across = (np.arange(start, start + _BLOCK)[:, None] for start in (y, x))
    slopes = [down // 256 + 0 * across.T, across.T // 256 + 0 * down, (down + across.T) // 512]
    return np.stack([(slope % 240).astype(np.uint8) for slope in slopes]) + 8 + noise


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, float, int]]:
    """A server of a run: its address, the seconds until it said so, and its process."""
    began = time.perf_counter()
    command = [sys.executable, "-c", "from rsaug.cli import main; main()"]
    command += ["view", str(folder), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            if server.stdout is None:
                raise RuntimeError("the server says nothing")
            address = server.stdout.readline().decode().strip()
            yield address, time.perf_counter() - began, server.pid
        finally:
            server.terminate()


class Asking:
    """Asks a server over connections that stay open, one a thread.

    Args:
        address: Of the page.
    """

    def __init__(self, address: str) -> None:
        self._where = urlsplit(address).netloc
        self._free = [http.client.HTTPConnection(self._where, timeout=300) for _ in range(_THREADS)]

    def get(self, path: str) -> tuple[bytes, float]:
        """Content, and the seconds until it was there."""
        connection = self._free.pop()
        began = time.perf_counter()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError):
            # Nobody asked over it for long, so the server closed it; a browser asks again, too.
            connection.close()
            connection.request("GET", path)
            answer = connection.getresponse()
        content = answer.read()
        spent = time.perf_counter() - began
        self._free.append(connection)
        return content, spent

    def all(self, paths: Sequence[str]) -> list[float]:
        """Seconds of each of several, six at a time."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return [spent for _, spent in pool.map(self.get, paths)]


def paths_of(about: dict[str, Any], layer: str) -> dict[int, list[str]]:
    """Tiles of the web over a run, by zoom, from the scale of the images outwards."""
    west, south, east, north = about["bounds"]
    deepest = next(entry["maxzoom"] for entry in about["layers"] if entry["id"] == layer) - 2
    found = {}
    for zoom in range(deepest, max(0, deepest - _ZOOMS_OUT), -1):
        left, right = (int((lon + 180) / 360 * 2**zoom) for lon in (west, east))
        top, bottom = (int(_down(lat) * 2**zoom) for lat in (north, south))
        cols, rows = range(left, right + 1), range(top, bottom + 1)
        found[zoom] = [f"/tiles/b/{layer}/{zoom}/{x}/{y}" for y in rows for x in cols]
    return found


def _down(lat: float) -> float:
    """How far down the square of Web Mercator a latitude lies, 0 to 1."""
    return (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """How many, and median, 95 % and most in milliseconds."""
    ms = 1000 * np.array(seconds)
    low, mid, high = np.quantile(ms, [0.05, 0.5, 0.95])
    shown = {"p5": low, "p50": mid, "p95": high, "max": ms.max()}
    return {"n": len(ms), **{name: round(float(value), 1) for name, value in shown.items()}}


def latencies(folder: Path) -> dict[str, Any]:
    """Of the page, of the catalogue and of tiles."""
    with served(folder) as (address, started, process):
        ask = Asking(address)
        _, page = ask.get("/")
        content, catalogue = ask.get("/api/run")
        about = json.loads(content)
        tiles: dict[str, Any] = {}
        for layer in ("image-0", "mask", "control-seg"):
            by_zoom = paths_of(about, layer)
            tiles[layer] = {"cold": {}, "warm": {}}
            # From far away first, as whoever opens the page sees it.
            for zoom in sorted(by_zoom):
                tiles[layer]["cold"][str(zoom)] = quantiles(ask.all(by_zoom[zoom]))
            every: list[float] = []
            for zoom in sorted(by_zoom):
                again = ask.all(by_zoom[zoom])
                tiles[layer]["warm"][str(zoom)] = quantiles(again)
                every += again
            tiles[layer]["warm"]["all"] = quantiles(every)
        peak = _peak_mib(process)
    return {
        "server_s": round(started, 2),
        "page_ms": round(1000 * page, 1),
        "catalogue_ms": round(1000 * catalogue, 1),
        "catalogue_bytes": len(content),
        "tiles_ms": tiles,
        **({} if peak is None else {"mib": peak}),
    }


def large(folder: Path, side: int, each: int = 15) -> dict[str, Any]:
    """Of tiles of a large raster, as a mosaic and as real imagery: of each zoom at most so many."""
    made = make_run(folder, 4, None)
    path = made / "mosaic.tif"
    began = time.process_time()
    middles = make_mosaic(path, side)
    report: dict[str, Any] = {
        "pixels_a_side": side,
        "file_mib": round(path.stat().st_size / 2**20),
        "made_cpu_s": round(time.process_time() - began, 1),
    }
    for layer, options in (("mosaic-0", ()), ("real", ("--real", str(path)))):
        with served(made, *options) as (address, _, process):
            ask = Asking(address)
            about = json.loads(ask.get("/api/run")[0])
            told = json.loads(ask.get("/api/real")[0]) if options else {"id": ""}
            seen = next(e for e in [told, *about["layers"]] if e["id"] == layer)
            by_zoom = _sampled(middles, seen, each)
            own = by_zoom[seen["maxzoom"] - 2]
            before = _cpu_s(process)
            _, first = ask.get(own.pop() if len(own) > 1 else own[0])
            report[layer] = {
                "first_tile_s": round(first, 2),
                "first_tile_cpu_s": round(_cpu_s(process) - before, 2),
                "tiles_ms": {str(z): quantiles(ask.all(found)) for z, found in by_zoom.items()},
                "mib": _peak_mib(process),
            }
        view = View(made, path if options else None)
        view.start()
        spent: dict[str, list[float]] = {}
        for zoom, paths in by_zoom.items():
            for one in paths:
                tile = WebTile(*(int(part) for part in one.split("/")[-3:]))
                began = time.thread_time()
                view.png(layer, tile)
                spent.setdefault(str(zoom), []).append(time.thread_time() - began)
        every = [value for values in spent.values() for value in values]
        report[layer]["cpu_ms"] = {z: quantiles(values) for z, values in spent.items()}
        report[layer]["cpu_ms"]["all"] = quantiles(every)
    return report


def _sampled(
    middles: Sequence[tuple[float, float]], layer: dict[str, Any], each: int
) -> dict[int, list[str]]:
    """Tiles at the middles of patches, by zoom, each once, from far away first."""
    found = {}
    for zoom in range(max(6, layer["minzoom"]), layer["maxzoom"] + 1):
        tiles = {
            (int((lon + 180) / 360 * 2**zoom), int(_down(lat) * 2**zoom)) for lon, lat in middles
        }
        found[zoom] = [f"/tiles/b/{layer['id']}/{zoom}/{x}/{y}" for x, y in sorted(tiles)[:each]]
    return found


def _cpu_s(process: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tree_cpu_s() -> float:
    """Processor time of all that this process has started and that still is."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                parent = int(stat.rpartition(") ")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    spent, left = 0.0, [*children.get(os.getpid(), [])]
    while left:
        process = left.pop()
        left += children.get(process, [])
        with contextlib.suppress(OSError):
            spent += _cpu_s(process)
    return spent


def _peak_mib(process: int) -> int | None:
    """Most memory that a process has had; None where the system does not say."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return None
    lines = status.read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024)


def computed(folder: Path, most: int = 150) -> dict[str, Any]:
    """Processor time of a tile, which other work on the machine hardly changes, in one thread.

    Everything is read ahead first. ``new`` tiles are drawn for the first time, of each zoom at most
    so many, and ``again`` at once for the second time.
    """
    view = View(folder)
    about = view.about()
    began = time.process_time()
    view.read_ahead()
    spent = {"read_ahead_s": round(time.process_time() - began, 2)}
    new: list[float] = []
    again: list[float] = []
    for layer in ("image-0", "mask", "control-seg"):
        for paths in paths_of(about, layer).values():
            for path in paths[:: max(1, len(paths) // most)][:most]:
                tile = WebTile(*(int(part) for part in path.split("/")[-3:]))
                for times in (new, again):
                    began = time.process_time()
                    view.png(layer, tile)
                    times.append(time.process_time() - began)
    return {**spent, "new_ms": quantiles(new), "again_ms": quantiles(again)}


def opened(folder: Path, times: int) -> dict[str, Any]:
    """Seconds from opening the page to a first map and to a whole one, in Chromium.

    With them, the processor time of browser and server until the first map: what had to be done
    for it, however busy the machine is.
    """
    from playwright.sync_api import sync_playwright

    first, whole, worked, of_server = [], [], [], []
    with sync_playwright() as play:
        chromium = shutil.which("chromium")
        browser = play.chromium.launch(executable_path=chromium, args=[*_CHROMIUM])
        for _ in range(times):
            with served(folder) as (address, _, process):
                tab = browser.new_page(viewport={"width": 1440, "height": 900})
                before, server_before = _tree_cpu_s(), _cpu_s(process)
                began = time.perf_counter()
                tab.goto(address)
                _until(tab, _DRAWN)
                first.append(round(time.perf_counter() - began, 2))
                worked.append(round(_tree_cpu_s() - before, 2))
                of_server.append(round(_cpu_s(process) - server_before, 2))
                _until(tab, "() => rsaug.maps.a.loaded() && rsaug.maps.a.areTilesLoaded()")
                whole.append(round(time.perf_counter() - began, 2))
                tab.close()
        found = browser.version
        browser.close()
    return {
        "chromium": found,
        "n": times,
        "first_map_s": first,
        "first_map_cpu_s": worked,
        "first_map_cpu_s_of_server": of_server,
        "whole_map_s": whole,
    }


def _until(tab: Any, script: str) -> None:
    while not tab.evaluate(script):
        tab.wait_for_timeout(20)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=1000)
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--folder", type=Path, help="keep the run here, or take the one here")
    parser.add_argument("--browser", type=int, default=0, metavar="TIMES")
    parser.add_argument("--mosaic", type=int, metavar="PIXELS")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place)
        folder.mkdir(exist_ok=True)
        made = folder / "run"
        if given.mosaic:
            report: dict[str, Any] = {"machine": _machine()}
            _tell({**report, "large": large(folder, given.mosaic)}, given.out)
            return
        if not (made / "manifest.parquet").exists():
            make_run(folder, given.tiles, given.pool)
        report = {
            "machine": _machine(),
            "images": len([*(made / "images").iterdir()]),
            "cpu": computed(made),
            "http": latencies(made),
        }
        if given.browser:
            report["browser"] = opened(made, given.browser)
        _tell(report, given.out)


def _machine() -> dict[str, Any]:
    """What is measured on, and how busy it is."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "cores": os.cpu_count(),
        "load_average_before": [round(value, 1) for value in os.getloadavg()],
    }


def _tell(report: dict[str, Any], out: Path | None) -> None:
    report["machine"]["load_average_after"] = [round(value, 1) for value in os.getloadavg()]
    text = json.dumps(report, indent=1)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()

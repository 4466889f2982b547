"""How fast ``rsaug view`` is: until the page is there, until the map is, and tile by tile.

    PYTHONPATH=tests:tests/benchmarks python tests/benchmarks/viewer.py --out result.json

A run is made by rsaug's own writers, of images of another run (``--pool``) or of noise. The server
is a process of its own, asked over HTTP by six threads, as many as a browser has connections. Each
tile of the web over the run is asked for twice: cold, after a start with nothing read ahead but
what the server reads by itself meanwhile, and warm. With Chromium, the page is opened as well.
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
import shapely
from jobs import Still, write_streets  # type: ignore[import-not-found]  # beside this script
from numpy.typing import NDArray

from rsaug.options import SynthOptions
from rsaug.raster import read_rgb
from rsaug.requests import TileRequest
from rsaug.synthesis import make_plan, run
from rsaug.viewer.view import View
from rsaug.viewer.webtiles import WebTile

_THREADS = 6
_ZOOMS_OUT = 7
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


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, float, int]]:
    """A server of a run: its address, the seconds until it said so, and its process."""
    began = time.perf_counter()
    command = [sys.executable, "-c", "from rsaug.cli import main; main()"]
    command += ["view", str(folder), "--port", "0"]
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
    """Seconds from opening the page to a first map and to a whole one, in Chromium."""
    from playwright.sync_api import sync_playwright

    first, whole = [], []
    with sync_playwright() as play:
        chromium = shutil.which("chromium")
        browser = play.chromium.launch(executable_path=chromium, args=[*_CHROMIUM])
        for _ in range(times):
            with served(folder) as (address, _, _):
                tab = browser.new_page(viewport={"width": 1440, "height": 900})
                began = time.perf_counter()
                tab.goto(address)
                drawn = "() => Boolean(window.rsaug && rsaug.maps.a.getLayer('frames'))"
                _until(tab, drawn)
                first.append(round(time.perf_counter() - began, 2))
                _until(tab, "() => rsaug.maps.a.loaded() && rsaug.maps.a.areTilesLoaded()")
                whole.append(round(time.perf_counter() - began, 2))
                tab.close()
        found = browser.version
        browser.close()
    return {"chromium": found, "n": times, "first_map_s": first, "whole_map_s": whole}


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
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place)
        folder.mkdir(exist_ok=True)
        made = folder / "run"
        if not (made / "manifest.parquet").exists():
            make_run(folder, given.tiles, given.pool)
        load = os.getloadavg()
        machine: dict[str, Any] = {
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
            "cores": os.cpu_count(),
            "load_average_before": [round(value, 1) for value in load],
        }
        report: dict[str, Any] = {
            "machine": machine,
            "images": len([*(made / "images").iterdir()]),
            "cpu": computed(made),
            "http": latencies(made),
        }
        if given.browser:
            report["browser"] = opened(made, given.browser)
        machine["load_average_after"] = [round(value, 1) for value in os.getloadavg()]
    text = json.dumps(report, indent=1)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()

"""Whether the machine does what rsaug asks of it: GDAL, PROJ, space, memory, locks, variables."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from rsaug.checks import Check, State, guarded

_RASTER_DRIVERS = ("GTiff", "COG", "PNG", "JPEG")
_VECTOR_DRIVERS = ("GeoJSON", "GPKG", "FlatGeobuf", "ESRI Shapefile", "OSM")

_LEAST_DISK_GB, _LEAST_MEMORY_GB, _LEAST_SHARED_GB = 1.0, 2.0, 0.25
"""A run of a few thousand tiles, the default model at work, and tiles passed between processes."""

VARIABLES = (
    "RSAUG_CACHE",
    "RSAUG_DATA",
    "RSAUG_OVERPASS_URL",
    "RSAUG_NOMINATIM_URL",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "GDAL_DATA",
    "PROJ_DATA",
    "PROJ_LIB",
    "AWS_ENDPOINT_URL",
    "NO_COLOR",
)
"""Variables of the environment that change what rsaug does; none of them holds a secret."""


def check_gdal() -> list[Check]:
    """GDAL of rasterio and of pyogrio, with the drivers that are used, and GeoParquet."""
    return [
        guarded("Geodata", "rasters", "pip install --force-reinstall rasterio", _rasters),
        guarded("Geodata", "vectors", "pip install --force-reinstall pyogrio", _vectors),
        guarded("Geodata", "GeoParquet", "pip install --force-reinstall pyarrow", _parquet),
        guarded("Geodata", "projections", _fix_proj(), _projections),
    ]


def _rasters() -> Check:
    import rasterio

    with rasterio.Env() as env:
        drivers = env.drivers()
    return _drivers("rasters", rasterio.__gdal_version__, drivers, _RASTER_DRIVERS, "rasterio")


def _vectors() -> Check:
    import pyogrio

    drivers = pyogrio.list_drivers()
    return _drivers("vectors", pyogrio.__gdal_version_string__, drivers, _VECTOR_DRIVERS, "pyogrio")


def _drivers(
    name: str, version: str, there: Mapping[str, str], needed: tuple[str, ...], package: str
) -> Check:
    missing = [driver for driver in needed if driver not in there]
    if missing:
        said = f"GDAL {version} without {', '.join(missing)}"
        return Check("Geodata", name, "error", said, f"pip install --force-reinstall {package}")
    return Check("Geodata", name, "ok", f"GDAL {version} with {', '.join(needed)}")


def _parquet() -> Check:
    import pyarrow
    import pyarrow.parquet

    return Check("Geodata", "GeoParquet", "ok", f"pyarrow {pyarrow.__version__}")


def _projections() -> Check:
    import pyproj
    import rasterio.crs

    rasterio.crs.CRS.from_epsg(32635)
    to_utm = pyproj.Transformer.from_crs(4326, 32635, always_xy=True)
    x, y = to_utm.transform(27.0, 0.0)
    # The middle of a UTM zone on the equator, by definition.
    if not (math.isclose(x, 500_000, abs_tol=0.01) and math.isclose(y, 0, abs_tol=0.01)):
        said = f"PROJ {pyproj.proj_version_str} puts 27 E, 0 N at {x:.0f}, {y:.0f}"
        return Check("Geodata", "projections", "error", said, _fix_proj())
    return Check("Geodata", "projections", "ok", f"PROJ {pyproj.proj_version_str}")


def _fix_proj() -> str:
    """What helps where PROJ does not find its data."""
    named = [name for name in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA") if os.environ.get(name)]
    # They point the libraries in the wheels to the data of another release.
    return f"unset {' '.join(named)}" if named else "pip install --force-reinstall pyproj rasterio"


def check_machine(folder: Path, cache: Path) -> list[Check]:
    """Space, memory, folders and locks.

    Args:
        folder: Where results would go.
        cache: Where copies of remote files are kept.
    """
    return [
        _writable("results", folder, "error", "run rsaug in a folder that you may write to"),
        _writable("cache", cache, "warning", "export RSAUG_CACHE=DIR, a folder that you may write"),
        _space("disk", folder, _LEAST_DISK_GB, "make room, or name another disk with --out"),
        _memory(),
        *_shared_memory(),
        _locks(folder),
    ]


def _writable(name: str, folder: Path, worst: State, fix: str) -> Check:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return Check("Machine", name, worst, f"{there} is no folder", fix)
    if not os.access(there, os.W_OK | os.X_OK):
        return Check("Machine", name, worst, f"{there} cannot be written to", fix)
    return Check("Machine", name, "ok", f"{folder} can be written to")


def _space(name: str, folder: Path, least_gb: float, fix: str) -> Check:
    free = shutil.disk_usage(folder).free / 1e9
    enough = free >= least_gb
    said = f"{free:,.1f} GB free" if enough else f"{free:.2g} GB free, less than {least_gb:g}"
    return Check("Machine", name, "ok" if enough else "warning", said, "" if enough else fix)


def _memory() -> Check:
    free = _free_memory_gb()
    if free is None:
        return Check("Machine", "memory", "ok", "not told by this system")
    if free < _LEAST_MEMORY_GB:
        said = f"{free:.2g} GB free, less than {_LEAST_MEMORY_GB:g}"
        return Check("Machine", "memory", "warning", said, "close programs, or give --workers 1")
    return Check("Machine", "memory", "ok", f"{free:,.1f} GB free")


def _free_memory_gb() -> float | None:
    """Memory that is left to this process, that of its container where it is in one."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6
    except (OSError, ValueError, StopIteration):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return min(free, max(0.0, (most - used) / 1e9))


def _shared_memory() -> list[Check]:
    """Of Linux, where processes that read tiles hand them over in it."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return []
    return [
        _space("shared memory", shared, _LEAST_SHARED_GB, "keep --workers 0, or docker --shm-size")
    ]


def _locks(folder: Path) -> Check:
    from rsaug.storage import alone

    with alone(folder) as first, alone(folder) as second:
        if not first:
            return Check("Machine", "locks", "ok", "another process holds this folder")
        if second:
            said = "folders cannot be held here"
            fix = "never run two commands in one folder of results at once"
            return Check("Machine", "locks", "warning", said, fix)
    return Check("Machine", "locks", "ok", "a folder is held by one run at a time")


def check_variables() -> list[Check]:
    """Those of `VARIABLES` that are set."""
    return [
        Check("Environment", name, *_judged(name, value))
        for name in VARIABLES
        if (value := os.environ.get(name)) is not None
    ]


def _judged(name: str, value: str) -> tuple[State, str, str]:
    """State, value and what to do."""
    if name == "OMP_NUM_THREADS" and not (value.isascii() and value.isdigit() and int(value) > 0):
        return "warning", f"{value!r} is no number of threads", "unset OMP_NUM_THREADS"
    folders = ("RSAUG_CACHE", "XDG_CACHE_HOME", "RSAUG_DATA", "PROJ_DATA", "PROJ_LIB", "GDAL_DATA")
    may_be_made = name in ("RSAUG_CACHE", "XDG_CACHE_HOME")
    wrong = name in folders and value and not may_be_made and not Path(value).is_dir()
    return ("warning", f"{value} is no folder", f"unset {name}") if wrong else ("ok", value, "")

"""Real imagery to look at beside a run: a raster, or a folder of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsaug.errors import InputError
from rsaug.viewer.rasters import Raster, look_at

_MOST_FILES = 20_000
_ENDINGS = (".tif", ".tiff", ".jp2", ".img")


@dataclass(frozen=True)
class Reference:
    """Real imagery.

    Attributes:
        title: Name of its file or folder.
        rasters: What is shown of it.
        left_out: How many files are none that can be shown.
    """

    title: str
    rasters: tuple[Raster, ...]
    left_out: int


def check_reference(path: Path) -> None:
    """Refuse what is there not.

    Raises:
        InputError: if there is no such file or folder.
    """
    if not path.exists():
        raise InputError(f"There is no file or folder {path} for --real.")


def read_reference(path: Path) -> Reference:
    """The rasters in a file or a folder and the folders in it.

    Where some have three bands, those are the imagery and the others, of one band, are not shown.
    Links in the folder are not followed.

    Raises:
        InputError: if none has a place on Earth.
    """
    path = path.resolve()
    found, others = [], 0
    for file in _files(path):
        raster = look_at(file)
        if raster is None:
            others += 1
        else:
            found.append(raster)
    coloured = [raster for raster in found if len(raster.bands) == 3]
    shown = coloured or found
    if not shown:
        raise InputError(
            f"{path} holds no imagery with a place on Earth: GeoTIFF, JPEG 2000 or Erdas Imagine "
            f"with a CRS is needed, and {others} files are none."
        )
    return Reference(path.name, tuple(shown), others + len(found) - len(shown))


def _files(path: Path) -> Iterator[Path]:
    """Regular files with the ending of a raster, in the order of their names."""
    if path.is_file():
        yield path
        return
    count = 0
    for folder, inner, names in os.walk(path, followlinks=False):
        inner.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix.lower() not in _ENDINGS or not stat.S_ISREG(file.lstat().st_mode):
                continue
            count += 1
            if count > _MOST_FILES:
                return
            yield file

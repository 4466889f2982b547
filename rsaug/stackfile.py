"""Control stacks as files: 18 described bands, there and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rsaug.conditions.stack import CHANNEL_NAMES, SLOTS, ControlStack, band_tags
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.raster import open_image, read_all, write_cog
from rsaug.rasterfile import tags_of
from rsaug.storage import AnyPath


def write_stack(
    path: AnyPath | str,
    stack: ControlStack,
    tile: Tile | None,
    tags: Mapping[str, str] | None = None,
    made_by: Mapping[str, str] | None = None,
) -> None:
    """Write a stack as a COG of 18 float32 bands that say what they hold.

    Args:
        path: Target; an existing file is replaced.
        stack: The controls of the tile.
        tile: Where it is; None for a stack without a place.
        tags: Metadata of the file.
        made_by: What made each control, by slot.

    Raises:
        InputError: if the stack does not fit the tile.
        OutputError: if the file cannot be written.
    """
    facts = band_tags(stack.present)
    for fact in facts:
        if made_by is not None and fact["CONTROL"] in made_by:
            fact["MADE_BY"] = made_by[fact["CONTROL"]]
    write_cog(
        path,
        stack.maps,
        tile,
        descriptions=CHANNEL_NAMES,
        band_tags=facts,
        tags=tags,
    )


def read_stack(path: AnyPath | str) -> ControlStack:
    """The stack in a file that `write_stack` wrote.

    Raises:
        InputError: if the file cannot be read or holds no control stack.
    """
    with open_image(path) as src:
        try:
            names = src.descriptions
        except UnicodeDecodeError:
            names = ("text that is not UTF-8",)
        if names != CHANNEL_NAMES:
            raise InputError(
                f"{path} is no control stack: its bands are {list(names)}, not "
                f"{list(CHANNEL_NAMES)}."
            )
        flags = [tags_of(src, band=3 * number + 1).get("GIVEN") for number in range(len(SLOTS))]
        maps = read_all(src, dtype=np.float32)
    if not set(flags) <= {"YES", "NO"}:
        raise InputError(f"{path} does not say which of its controls were given.")
    return ControlStack(maps, tuple(flag == "YES" for flag in flags))

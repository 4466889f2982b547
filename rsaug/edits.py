"""What can be done to a real image, and all that is asked for when it is done."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from rsaug.conditions.stack import SLOTS
from rsaug.errors import InputError
from rsaug.options import check_marks, is_network, listed, split_name

FACTORS = (2, 4)
"""How many times a picture can be enlarged."""

MOST_RESAMPLINGS = 100


@dataclass(frozen=True)
class Restyle:
    """The same place made anew: another season, sensor or look.

    Attributes:
        strength: How much is made anew, from 0, nothing, to 1, all.

    Raises:
        InputError: for a strength outside [0, 1].
    """

    strength: float = 0.6

    command: ClassVar[str] = "restyle"
    reads_maps: ClassVar[bool] = True
    """Whether controls can be read off the image."""

    default_controls: ClassVar[tuple[str, ...]] = ("hed", "road", "seg")

    def __post_init__(self) -> None:
        """Check the number."""
        _check_strength(self.strength)


@dataclass(frozen=True)
class Inpaint:
    """The inside of a mask filled in, so that it goes with what is around it.

    Attributes:
        resamplings: How often each denoising step is done; more of them fit the inside better to
            the outside.

    Raises:
        InputError: for a number below 1 or above `MOST_RESAMPLINGS`.
    """

    resamplings: int = 10

    command: ClassVar[str] = "inpaint"
    reads_maps: ClassVar[bool] = False
    default_controls: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Check the number."""
        if not 1 <= self.resamplings <= MOST_RESAMPLINGS:
            raise InputError(
                f"Each step is done 1 to {MOST_RESAMPLINGS} times, not {self.resamplings}."
            )


@dataclass(frozen=True)
class Upscale:
    """More and smaller pixels, which average to those of the image.

    Attributes:
        factor: How many times the rows and columns; one of `FACTORS`.
        strength: How much detail is made up, from 0 to 1.

    Raises:
        InputError: for another factor, or a strength outside [0, 1].
    """

    factor: int = 2
    strength: float = 0.5

    command: ClassVar[str] = "upscale"
    reads_maps: ClassVar[bool] = True
    default_controls: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.factor not in FACTORS:
            raise InputError(
                f"Images are enlarged {' or '.join(map(str, FACTORS))} times, not {self.factor}."
            )
        _check_strength(self.strength)


Edit = Restyle | Inpaint | Upscale


@dataclass(frozen=True)
class EditOptions:
    """What a run of ``rsaug restyle``, ``inpaint`` or ``upscale`` is asked for.

    Attributes:
        edit: What to do.
        images: The images.
        out: Folder of the results.
        gsd: Side of a pixel in metres, where an image does not say.
        mask: Areas or raster of what to fill in.
        labels: Folder of label files that are carried over, or the one of a single image.
        roads: Lines with OSM tags.
        landcover: Areas with OSM tags or a class.
        buildings: Areas.
        dem: Raster of the ground's heights.
        dsm: Raster of the heights of all that stands there.
        height_range: Heights in metres that are darkest and lightest.
        controls: Names of the maps that the model is given, separated by commas; None for those of
            the layers, and with `Restyle` those that are read off the image besides.
        extractors: What reads a map off the image, by slot.
        date: Date to imitate; None for that of the image.
        seed: Seed of the run.
        sign: File of the certificates that results are signed with.
        sign_key: File of the private key; nothing of it is recorded.
        timestamp_url: Timestamp authority that confirms when they were signed.

    Raises:
        InputError: for a certificate without a key or the other way round.
    """

    edit: Edit
    images: tuple[Path, ...]
    out: Path
    gsd: float | None = None
    mask: str | None = None
    labels: Path | None = None
    roads: str | None = None
    landcover: str | None = None
    buildings: str | None = None
    dem: Path | None = None
    dsm: Path | None = None
    height_range: tuple[float, float] | None = None
    controls: str | None = None
    extractors: Mapping[str, str] = field(default_factory=dict)
    date: dt.date | None = None
    seed: int = 0
    sign: str | None = None
    sign_key: str | None = None
    timestamp_url: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        check_marks(None, self.sign, self.sign_key, self.timestamp_url)

    def chosen_controls(self, from_layers: Sequence[str]) -> tuple[str, ...]:
        """Names of the controls, in the order of the slots.

        Args:
            from_layers: Slots that the layers make.

        Raises:
            InputError: for a name that is no control.
        """
        asked = listed(self.controls)
        for name in asked:
            if name not in SLOTS:
                raise InputError(f"No control is called {name!r}; there are {', '.join(SLOTS)}.")
        wanted = asked or (*from_layers, *self.edit.default_controls)
        return tuple(slot for slot in SLOTS if slot in wanted)

    def files(self) -> dict[str, Path]:
        """Files that are read besides the images, by option."""
        named = ("mask", "roads", "landcover", "buildings", "dem", "dsm")
        given = {name: str(getattr(self, name)) for name in named if getattr(self, name)}
        return {
            name: Path(split_name(value)[1])
            for name, value in given.items()
            if not is_network(value)
        }

    def to_dict(self) -> dict[str, object]:
        """What decides the results besides the edit itself, by names of files and not by paths."""
        files = {name: path.name for name, path in self.files().items()}
        plain: dict[str, object] = {
            "gsd": self.gsd,
            "controls": self.controls,
            "extractors": dict(self.extractors),
            "height_range": self.height_range,
            "date": None if self.date is None else self.date.isoformat(),
            "seed": self.seed,
        }
        return {**files, **plain}


def _check_strength(strength: float) -> None:
    if not (math.isfinite(strength) and 0 <= strength <= 1):
        raise InputError(f"The strength must be 0 to 1, not {strength}.")

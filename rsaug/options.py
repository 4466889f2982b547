"""What a run is asked for, as it is given on the command line and kept in its record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from rsaug.control_uses import Use, read_interval, read_uses
from rsaug.errors import InputError
from rsaug.storage import AnyPath, is_remote, place

MOST_VARIANTS = 10_000
"""More images of a tile than this are a slip."""

MOSAIC = "mosaic:"
"""Before a path that is a mosaic of georeferenced rasters rather than an image of its own."""


@dataclass(frozen=True)
class SceneOptions:
    """Layers, place and grid; None leaves the choice to the data.

    Vector layers are named as `rsaug.sources.open_source` takes them: a file, a layer of a file as
    in ``town.gpkg|layername=roads``, a PostGIS table or live OpenStreetMap.

    Attributes:
        roads: Layer with the roads.
        landcover: Layer with areas of land cover; a raster will do as well.
        landcover_raster: Raster of land cover, below the areas.
        landcover_table: What the raster's numbers mean: a name or a TOML file.
        buildings: Layer with buildings.
        parcels: Layer with parcels, whose borders are drawn as edges.
        dem: Raster of the ground's heights, to which those of buildings are added.
        dsm: Raster of the heights of all that stands there, in place of ``dem`` and of the heights
            of buildings.
        height_range: Heights in metres that are darkest and lightest, "low,high".
        reference: Image whose edges are drawn in place of those of the map.
        road_rules: TOML file with rules for width and class of roads.
        tunnels: Whether roads in tunnels are drawn.
        aoi: Vector file with the area of interest, or "west,south,east,north" in degrees.
        gsd: Side of a pixel in metres.
        tile_size: Side of a tile in pixels.
        crs: Projected CRS.
    """

    roads: str | None = None
    landcover: str | None = None
    landcover_raster: str | None = None
    landcover_table: str | None = None
    buildings: str | None = None
    parcels: str | None = None
    dem: str | None = None
    dsm: str | None = None
    height_range: str | None = None
    reference: str | None = None
    road_rules: str | None = None
    tunnels: bool = False
    aoi: str | None = None
    gsd: float = 0.6
    tile_size: int = 256
    crs: str | None = None

    layers: ClassVar[tuple[str, ...]] = ("roads", "landcover", "buildings", "parcels")
    paths: ClassVar[tuple[str, ...]] = (
        "roads",
        "landcover",
        "landcover_raster",
        "landcover_table",
        "buildings",
        "parcels",
        "dem",
        "dsm",
        "reference",
        "road_rules",
        "aoi",
    )
    """Options that can name a file."""

    def files(self) -> dict[str, Path]:
        """The files to read, by option; not what a server gives, or the name of a table stands for.

        Those in a store or on the web are to be `fetched` first.
        """
        given = {name: getattr(self, name) for name in self.paths}
        return {
            name: Path(split_name(value)[1])
            for name, value in given.items()
            if value is not None and self._is_file(name, value)
        }

    def _is_file(self, name: str, value: str) -> bool:
        if name == "aoi":
            return not is_box(value)
        if name == "landcover_table":
            from rsaug.classes import raster_tables

            return value not in raster_tables()
        return not (name in self.layers and is_network(value))


@dataclass(frozen=True)
class RunOptions(SceneOptions):
    """What every run over tiles is asked for.

    Attributes:
        limit: How many tiles at most.
        all: Make every tile, however many.
        out: Folder of the results, here or in a store; None for `name` in the working directory.

    Raises:
        InputError: for a number that makes no run.
    """

    limit: int | None = None
    all: bool = False
    out: str | None = None

    ending: ClassVar[str] = "run"

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        if self.limit is not None and self.limit < 1:
            raise InputError(f"The limit must be at least 1 tile, not {self.limit}.")
        if self.limit is not None and self.all:
            raise InputError(f"A limit of {self.limit} tiles and all tiles exclude each other.")

    @property
    def name(self) -> str:
        """Name of the data set: that of its first layer without endings, and what is made."""
        first = next((value for name in self.paths if (value := getattr(self, name))), "tiles")
        if "://" in first and is_network(first):
            table = parse_qs(urlsplit(first).query).get("table", ["query"])[0]
            stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in table)
        else:
            stem = "osm" if is_network(first) else Path(split_name(first)[1]).name.split(".")[0]
        return f"{stem}-{self.ending}"

    @property
    def folder(self) -> AnyPath:
        """Folder of the results, here or in a store."""
        return place(self.name if self.out is None else self.out)

    def with_paths(self, move: Callable[[str], str], base: Path) -> Self:
        """The options with every path moved; ``base`` is what they are relative to now."""
        names = [
            name for name in (*self.files(), "out") if isinstance(getattr(self, name, None), str)
        ]
        moved: dict[str, Any] = {}
        for name in names:
            before, path, after = split_name(getattr(self, name))
            moved[name] = before + move(path) + after
        return replace(self, **moved)

    def fetched(self) -> Self:
        """The options with a copy here in place of every file to read that lies elsewhere.

        Raises:
            InputError: if one cannot be fetched.
            MissingExtra: if the library for it is not installed.
        """
        from rsaug.fetching import fetch

        read = replace(self, out=None)
        moved = read.with_paths(lambda path: str(fetch(path)) if is_remote(path) else path, Path())
        return replace(moved, out=self.out)


@dataclass(frozen=True)
class SynthOptions(RunOptions):
    """What a run of ``rsaug synth`` is asked for; None leaves the choice to the data or the model.

    Attributes:
        controls: Names of the control maps that the model is given, separated by commas; None for
            roads, and land cover where there is a layer of it.
        control_strength: How strongly controls are followed, as in ``road=0.8,seg=1.2``.
        control_interval: When they are given, as in ``hed=0-0.5``.
        control_region: Where they hold, each as in ``seg=parks.geojson``.
        prompt: Text for the model.
        negative_prompt: Text that guidance leads away from.
        style: Image whose look is taken over.
        style_strength: How much of it.
        date: Date of acquisition to imitate.
        variants: Images a tile.
        prompts: Layer of areas with a column ``prompt``: texts by place.
        seamless: Whether tiles are parts of one field, and all of the area is made.
        overlap: Pixels that the windows of a field share; None for 64.
        mosaic: Whether images and masks are also put together as one raster each.
        steps: Denoising steps.
        guidance: Classifier-free guidance scale of text and style.
        control_guidance: That of the controls.
        guidance_interval: When guidance is on, as in ``0-0.6``.
        guidance_rescale: Share in which guided predictions are given back their deviation.
        scheduler: Name of a scheduler.
        reuse: How often all of the network is computed.
        grain: How much of the model's grain images are given.
        seed: Seed of the run.
        model: ``default``, a folder or a hub id.
        device: Where the model runs.
        dtype: Number format of its networks.
        compile: Whether they are compiled.
        offload: What of them is brought to the GPU at a time: ``model`` or ``layer``.
        vae_tiling: Whether images are decoded in pieces.
        watermark: Name that is written into the pixels.
        sign: File of the certificates that images are signed with.
        sign_key: File of the private key; no more than its path is ever recorded.
        timestamp_url: Timestamp authority that confirms when they were signed.

    Raises:
        InputError: for a number that makes no run, or where no roads are named.
    """

    controls: str | None = None
    control_strength: str | None = None
    control_interval: str | None = None
    control_region: tuple[str, ...] = ()
    prompt: str | None = None
    negative_prompt: str | None = None
    style: str | None = None
    style_strength: float | None = None
    date: dt.date | None = None
    variants: int = 1
    prompts: str | None = None
    seamless: bool = False
    overlap: int | None = None
    mosaic: bool = False
    steps: int | None = None
    guidance: float | None = None
    control_guidance: float | None = None
    guidance_interval: str | None = None
    guidance_rescale: float | None = None
    scheduler: str | None = None
    reuse: int = 1
    grain: float | None = None
    seed: int = 0
    model: str = "default"
    device: str | None = None
    dtype: str | None = None
    compile: bool = False
    offload: str | None = None
    vae_tiling: bool = False
    watermark: str | None = None
    sign: str | None = None
    sign_key: str | None = None
    timestamp_url: str | None = None

    ending: ClassVar[str] = "synth"
    paths: ClassVar[tuple[str, ...]] = (*SceneOptions.paths, "style", "prompts")

    def __post_init__(self) -> None:
        """Check what can be checked without a file or a model."""
        super().__post_init__()
        if self.overlap is not None and not self.seamless:
            raise InputError("Only windows without seams overlap; give --seamless with --overlap.")
        if self.roads is None:
            raise InputError("No roads are named, and images are made from roads.")
        if self.variants < 1:
            raise InputError(f"The number of variants must be at least 1, not {self.variants}.")
        if self.variants > MOST_VARIANTS:
            raise InputError(
                f"The number of variants must be at most {MOST_VARIANTS}, not {self.variants}."
            )
        # Text that is none is refused before any layer is read.
        for name, use in self.uses().items():
            if use.region is not None and is_network(use.region):
                raise InputError(
                    f"The region of {name} comes from a server; a region is a file, so write its "
                    "areas to one first."
                )
        if self.guidance_interval is not None:
            read_interval(self.guidance_interval)
        check_marks(self.watermark, self.sign, self.sign_key, self.timestamp_url)

    def uses(self) -> dict[str, Use]:
        """How controls are to be used, of those that something is said of."""
        return read_uses(self.control_strength, self.control_interval, self.control_region)

    def files(self) -> dict[str, Path]:
        """The files to read, those of the regions as ``control_region seg``."""
        regions = {name: use.region for name, use in self.uses().items() if use.region}
        named = {f"control_region {name}": Path(split_name(r)[1]) for name, r in regions.items()}
        return {**super().files(), **named}

    def with_paths(self, move: Callable[[str], str], base: Path) -> Self:
        """The same with regions and the model's folder moved, too."""
        moved = super().with_paths(move, base)
        regions = []
        for text in self.control_region:
            name, equals, value = text.partition("=")
            before, path, after = split_name(value)
            regions.append(name + equals + before + move(path) + after)
        moved = replace(moved, control_region=tuple(regions))
        # Not among the files to read: a key has no place in a list of hashes.
        if self.sign is not None and self.sign_key is not None:
            moved = replace(moved, sign=move(self.sign), sign_key=move(self.sign_key))
        if self.model != "default" and (base / self.model).is_dir():
            return replace(moved, model=move(self.model))
        return moved


@dataclass(frozen=True)
class ConditionsOptions(RunOptions):
    """What a run of ``rsaug conditions`` is asked for.

    Attributes:
        controls: Names of control maps, separated by commas; None for all that the layers allow.
        channels: Names of road channels, separated by commas; see
            `rsaug.conditions.road_channels`.
        labels: Class set of a label mask: a name or a TOML file.
        date: Date of acquisition that the metadata say.
        style: Image, folder of images or mosaic that content images are taken from.
        wording: Which wording of the captions.
        seed: Decides which image of a folder a tile is given.
    """

    controls: str | None = None
    channels: str | None = None
    labels: str | None = None
    date: dt.date | None = None
    style: str | None = None
    wording: int = 0
    seed: int = 0

    ending: ClassVar[str] = "conditions"
    paths: ClassVar[tuple[str, ...]] = (*SceneOptions.paths, "labels", "style")

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        super().__post_init__()
        if not any(getattr(self, name) for name in SceneOptions.paths if name != "aoi"):
            raise InputError("No layer is named; give at least one, for instance --roads FILE.")

    def _is_file(self, name: str, value: str) -> bool:
        if name == "labels":
            from rsaug.classes import class_sets

            return value not in class_sets()
        return super()._is_file(name, value)


def check_marks(
    watermark: str | None, sign: str | None, sign_key: str | None, timestamp_url: str | None
) -> None:
    """Check what can be checked of options that mark images, without a file.

    Raises:
        InputError: for a watermark without a name, a certificate without a key or the other way
            round, or a timestamp without either.
    """
    if watermark is not None and not watermark.strip():
        raise InputError("A watermark needs a name; give a text with --watermark.")
    if (sign is None) != (sign_key is None):
        raise InputError(
            "To sign, a certificate and its key are needed; give --sign and --sign-key."
        )
    for path in (sign, sign_key):
        if path is not None and is_remote(path):
            raise InputError(f"{path} is far away; certificates and keys are read here alone.")
    if timestamp_url is not None and sign is None:
        raise InputError("Only signatures are given a time; give --sign with --timestamp-url.")


def listed(names: str | None) -> tuple[str, ...]:
    """Names in a text that separates them by commas."""
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def is_box(aoi: str) -> bool:
    """Whether an area of interest is given as four numbers rather than as a file."""
    return aoi.count(",") == 3


def is_network(spec: str) -> bool:
    """Whether a layer comes from a server of features rather than from a file, near or far."""
    live = spec == "osm" or spec.startswith(("osm:", "osm|"))
    return live or ("://" in spec and not is_remote(spec))


def split_name(value: str) -> tuple[str, str, str]:
    """A path, what comes before it and what follows: ``mosaic:``, the name of a layer after a bar.

    Returns:
        What comes before, the path, what follows; both others may be empty.
    """
    path = value.removeprefix(MOSAIC)
    file, bar, layer = path.partition("|")
    return value[: len(value) - len(path)], file, bar + layer

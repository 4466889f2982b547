"""What `rsaug train` begins with: the model, and the examples of tile folders or packs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rsaug.errors import InputError
from rsaug.jsontext import parse_json

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderDC, AutoencoderKL

    from rsaug.pipelines.pipeline import CRSDiffPipeline
    from rsaug.pipelines.train.pack import Pack
    from rsaug.pipelines.train.validation import Validation


def load_start(start: str | None, autoencoder: Path | None, seed: int) -> Any:
    """The model to train on, or the autoencoder of a new one.

    Raises:
        InputError: if it cannot be loaded, or brings an autoencoder where one is named.
    """
    import torch

    from rsaug.cli.libraries import hush_diffusers
    from rsaug.pipelines.models import DEFAULT_MODEL, load_pipeline
    from rsaug.pipelines.train.base import base_pipeline, is_base, start_folder

    hush_diffusers()
    if start is None:
        return load_autoencoder(autoencoder or DEFAULT_MODEL / "vae")
    if autoencoder is not None:
        raise InputError("--from brings its own autoencoder; leave --autoencoder out.")
    folder = start_folder(start)
    if is_base(folder):
        return base_pipeline(folder, seed)
    pipe: CRSDiffPipeline = load_pipeline(folder, torch.device("cpu"))
    return pipe


def load_autoencoder(folder: Path) -> AutoencoderDC | AutoencoderKL:
    """The autoencoder in a folder.

    Raises:
        InputError: if there is none, or it cannot be loaded.
    """
    from diffusers import AutoencoderDC, AutoencoderKL

    if not folder.is_dir():
        raise InputError(f"There is no autoencoder in {folder}.")
    kinds = {kind.__name__: kind for kind in (AutoencoderDC, AutoencoderKL)}
    try:
        name = parse_json((folder / "config.json").read_text("utf-8"))["_class_name"]
        kind: Any = kinds[name]
        return kind.from_pretrained(folder, use_safetensors=True, low_cpu_mem_usage=False)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"The autoencoder in {folder} cannot be loaded: {error}") from error


def check_sources(
    data: list[Path] | None,
    pack: list[Path] | None,
    tile_size: int | None = None,
    gsd: float | None = None,
) -> None:
    """Check that there are either tile folders or packs, and what is said of their pixels.

    Raises:
        InputError: if that is not so.
    """
    from rsaug.pipelines.train.packfile import open_pack

    if not data and not pack:
        raise InputError("Give tiles to train on: --data with tile folders, or --pack with packs.")
    if data and pack:
        raise InputError("--data and --pack exclude each other; prepare one pack of all the tiles.")
    if pack and not (tile_size is None and gsd is None):
        raise InputError("--tile-size and --gsd are those of the pack; leave them out.")
    if gsd is not None and not 0 < gsd < float("inf"):
        raise InputError(f"--gsd must be above 0, not {gsd:g}.")
    sizes = {str(folder): open_pack(folder).size for folder in pack or ()}
    if len(set(sizes.values())) > 1:
        raise InputError(f"The packs have examples of different sizes: {sizes}.")


def read_sources(
    data: list[Path] | None,
    pack: list[Path] | None,
    tile_size: int | None,
    gsd: float | None,
    *,
    pictures: bool,
) -> tuple[list[Pack], Validation | None]:
    """Examples to train on of each folder or pack, and, for pictures, those to show.

    Raises:
        InputError: if one cannot be read.
    """
    from rsaug.pipelines.extractors.landcover import LandcoverNet
    from rsaug.pipelines.train.pack import read_pack
    from rsaug.pipelines.train.packfile import load_pack

    if pack:
        packs = [load_pack(folder, "train") for folder in pack]
        shown = _first(lambda folder: load_pack(folder, "val", limit=4), pack) if pictures else None
        return packs, shown
    folders, size, look = data or [], tile_size or 256, LandcoverNet.load().classify
    packs = [read_pack(folder, "train", size, gsd, look) for folder in folders]
    if not pictures:
        return packs, None
    return packs, _first(lambda folder: read_pack(folder, "val", size, gsd, look, limit=4), folders)


def _first(read: Callable[[Path], Pack], folders: list[Path]) -> Validation | None:
    """Examples of the split "val" of the first folder that has one."""
    from rsaug.pipelines.train.validation import Validation

    for folder in folders:
        try:
            return Validation(read(folder), "split val")
        except InputError:
            continue
    say('No folder has a split "val"; pictures are of training examples.')
    return None


def draw_weights(packs: list[Pack], share: list[float] | None) -> np.ndarray:
    """How often each example is drawn, (n,), not normalised.

    Raises:
        InputError: for shares that are not one a folder, negative, or all 0.
    """
    import numpy as np

    if not share:
        return np.ones(sum(map(len, packs)))
    if len(share) != len(packs) or min(share) < 0 or not 0 < sum(share) < float("inf"):
        raise InputError(
            f"{len(packs)} folders need as many shares, none negative and not all 0; got {share}."
        )
    parts = [np.full(len(p), s / len(p)) for p, s in zip(packs, share, strict=True)]
    return np.concatenate(parts)


def say(line: str) -> None:
    """Print a line, in the first of several processes only."""
    if os.environ.get("RANK", "0") == "0":
        typer.echo(line)

"""``rsaug train``: models from tiles of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import AutoencoderDC

    from rsaug.pipelines.train.pack import Pack

app = typer.Typer(help="Train models on tiles of your own.", no_args_is_help=True)

_Data = Annotated[
    list[Path],
    typer.Option("--data", help="Tile folder; give it again for further ones.", metavar="DIR"),
]
_Out = Annotated[
    Path, typer.Option("--out", help="Folder of the result; a checkpoint goes beside it.")
]
_Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, ...; the GPU where there is one.")
]
_Seed = Annotated[int, typer.Option("--seed", help="Same seed, same model on the same machine.")]
_DEFAULT = "[dim]Default: what made the default model.[/dim]"
_Steps = Annotated[
    int | None, typer.Option("--steps", help=f"Optimisation steps. {_DEFAULT}", min=1)
]
_Batch = Annotated[int | None, typer.Option("--batch", help=f"Samples a step. {_DEFAULT}", min=1)]


@app.command()
def autoencoder(
    data: _Data,
    out: _Out = Path("autoencoder"),
    lpips: Annotated[
        Path | None,
        typer.Option("--lpips", help="LPIPS weights (safetensors); without them the loss is L1."),
    ] = None,
    steps: _Steps = None,
    batch: _Batch = None,
    seed: _Seed = 0,
    device: _Device = None,
) -> None:
    """Train the autoencoder that a generator works in; stop and start again as you like."""
    import numpy as np

    from rsaug.pipelines.train.autoencoder import AutoencoderRecipe, train_autoencoder
    from rsaug.pipelines.train.folder import read_chips

    if lpips is not None and not lpips.is_file():
        raise InputError(f"There is no LPIPS file {lpips}.")
    where = _pick_device(device)
    recipe = AutoencoderRecipe(seed=seed, **_given(steps=steps, batch=batch))
    chips = np.concatenate([read_chips(folder, "train", 256) for folder in data])
    typer.echo(f"{len(chips)} chips of 256x256 px")
    train_autoencoder(chips, out, lpips, recipe, typer.echo, device=where)


@app.command()
def generator(
    data: _Data,
    out: _Out = Path("generator"),
    autoencoder: Annotated[
        Path | None,
        typer.Option("--autoencoder", help="Autoencoder folder; the default model's by default."),
    ] = None,
    share: Annotated[
        list[float] | None,
        typer.Option("--share", help="Share of the samples from each --data; by size by default."),
    ] = None,
    gsd: Annotated[
        float | None, typer.Option("--gsd", help="Metres a pixel of images without georeference.")
    ] = None,
    steps: _Steps = None,
    batch: _Batch = None,
    seed: _Seed = 0,
    device: _Device = None,
) -> None:
    """Train a generator on the split "train" of tile folders; stop and start again as you like.

    A tile folder holds index.csv (id, split), rgb/<id>.tif and roads.geojson, and if you have them
    landcover.geojson, nir/<id>.tif and captions.csv; or images/ with masks/<id>.png.
    """
    import functools
    import operator

    from rsaug.pipelines.extractors.landcover import LandcoverNet
    from rsaug.pipelines.generate import DEFAULT_MODEL
    from rsaug.pipelines.train.generator import GeneratorRecipe, train_generator
    from rsaug.pipelines.train.pack import read_pack

    where = _pick_device(device)
    vae = _load_autoencoder(autoencoder or DEFAULT_MODEL / "vae")
    look = LandcoverNet.load().classify
    packs = [read_pack(folder, "train", gsd_m=gsd, look=look) for folder in data]
    weights = _weights(packs, share)
    recipe = GeneratorRecipe(seed=seed, **_given(steps=steps, batch=batch))
    typer.echo(f"{sum(map(len, packs))} examples from {len(packs)} folders")
    pack = functools.reduce(operator.add, packs)
    train_generator(pack, weights, vae, out, recipe, typer.echo, device=where)
    typer.echo(f"The model is in {out}; use it with: rsaug synth --model {out}")


def _load_autoencoder(folder: Path) -> AutoencoderDC:
    from diffusers import AutoencoderDC

    if not folder.is_dir():
        raise InputError(f"There is no autoencoder in {folder}.")
    try:
        return AutoencoderDC.from_pretrained(folder, use_safetensors=True, low_cpu_mem_usage=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"The autoencoder in {folder} cannot be loaded: {error}") from error


def _given(**options: int | None) -> dict[str, Any]:
    """What was given on the command line; the rest is the recipe's own."""
    return {name: value for name, value in options.items() if value is not None}


def _weights(packs: list[Pack], share: list[float] | None) -> np.ndarray:
    """How often each example is drawn, (n,), not normalised."""
    import numpy as np

    if not share:
        return np.ones(sum(map(len, packs)))
    if len(share) != len(packs) or min(share) < 0 or sum(share) <= 0:
        raise InputError(
            f"{len(packs)} folders need as many shares, none negative and not all 0; got {share}."
        )
    parts = [np.full(len(p), s / len(p)) for p, s in zip(packs, share, strict=True)]
    return np.concatenate(parts)


def _pick_device(name: str | None) -> torch.device:
    from rsaug.pipelines.generate import pick_device

    return pick_device(name)

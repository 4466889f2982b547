"""Train the road segmenter on real tiles, and measure synthetic tiles with it.

See docs/consistency.md for what is measured and how.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from rsaug.cli.group import Commands
from rsaug.downstream.consistency import ConsistencyResult, compare, evaluate, synthesise
from rsaug.downstream.roadtiles import RoadTiles, read_road_tiles
from rsaug.downstream.segmenter import WEIGHTS_FILE, RoadSegmenter, SegmenterConfig
from rsaug.downstream.training import SegmenterRecipe, train_segmenter
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.settings import Settings

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)

_ARRAYS = ("images", "masks", "places")

Data = Annotated[Path, typer.Option(help="Folder of real tiles with roads, e.g. naip-roads.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default.")]


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the segmenter.")] = Path("runs/segmenter"),
    architecture: Annotated[
        str, typer.Option(help="unet, fpn, linknet, deeplabv3plus, segformer, ...")
    ] = SegmenterConfig.architecture,
    encoder: Annotated[
        str, typer.Option(help="Encoder, as segmentation_models_pytorch calls it.")
    ] = SegmenterConfig.encoder,
    steps: Annotated[int, typer.Option(min=1)] = SegmenterRecipe.steps,
    batch: Annotated[int, typer.Option(min=1)] = SegmenterRecipe.batch,
    seed: int = SegmenterRecipe.seed,
    threads: Threads = None,
) -> None:
    """Train the segmenter on the training split; interrupted, it goes on where it was."""
    if threads:
        torch.set_num_threads(threads)
    tiles = read_road_tiles(data, "train")
    typer.echo(f"{len(tiles)} tiles at {len(set(tiles.places))} places")
    recipe = SegmenterRecipe(steps=steps, batch=batch, seed=seed)
    config = SegmenterConfig(architecture=architecture, encoder=encoder)
    train_segmenter(tiles, out, config, recipe, typer.echo)
    typer.echo(f"saved to {out}")


@app.command()
def measure(
    data: Data,
    segmenter: Annotated[Path, typer.Option(help="From `train`.")] = Path("runs/segmenter"),
    synthetic: Annotated[
        Path | None,
        typer.Option(help="Synthetic tiles of the val masks: .npz with images, masks, places."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Make the tiles now: `default`, a folder or a hub id.")
    ] = None,
    variants: Annotated[int, typer.Option(min=1, help="With --model: tiles per mask.")] = 1,
    prompt: Annotated[str | None, typer.Option(help="With --model.")] = None,
    steps: Annotated[int | None, typer.Option(help="With --model: denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="With --model.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="With --model.")] = None,
    device: Annotated[str | None, typer.Option(help="With --model.")] = None,
    seed: Annotated[int, typer.Option(help="Of the tiles and of the bootstrap.")] = 0,
    threads: Threads = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("runs/consistency"),
) -> None:
    """Score real and synthetic tiles of the val places, and write the report.

    Give either --synthetic or --model, or neither for the real tiles alone.
    """
    if synthetic and model:
        raise InputError("Give either --synthetic or --model, not both.")
    if threads:
        torch.set_num_threads(threads)
    judge = RoadSegmenter.load(segmenter)
    tiles = read_road_tiles(data, "val", image_year_only=True)
    real = evaluate(judge, tiles.images, tiles.masks, tiles.places, seed=seed)
    report: dict[str, object] = {"segmenter_sha256": _sha256(segmenter / WEIGHTS_FILE)}
    out.mkdir(parents=True, exist_ok=True)
    if model:
        generator = load_generator(
            model,
            Settings(prompt=prompt or "", steps=steps, guidance=guidance, scheduler=scheduler),
            device=device,
            tile_size=tiles.masks.shape[1],
        )
        typer.echo(f"making {len(tiles) * variants} tiles")
        made = synthesise(generator, tiles, variants=variants, seed=seed)
        synthetic = out / "synthetic.npz"
        _save_tiles(synthetic, made)
        report["generator"] = {**generator.describe(), "seed": seed, "variants": variants}
    if synthetic is None:
        _write(out, {**report, "real": real.to_dict()}, _real_only(real))
        return
    images, masks, places = _load_tiles(synthetic)
    comparison = compare(real, evaluate(judge, images, masks, places, seed=seed), seed=seed)
    report |= {"synthetic_sha256": _sha256(synthetic), **comparison.to_dict()}
    _write(out, report, comparison.to_text())


def _save_tiles(path: Path, tiles: RoadTiles) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, images=tiles.images, masks=tiles.masks, places=tiles.places)
    write_whole(path, packed.getvalue())


def _load_tiles(
    path: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.str_]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, masks, places = (arrays[name] for name in _ARRAYS)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no .npz file with {', '.join(_ARRAYS)} ({error}).") from error
    return images, masks, places


def _real_only(real: ConsistencyResult) -> str:
    low, high = real.interval
    return (
        f"real: IoU {real.scores.iou:.3f} ({low:.3f} to {high:.3f}), precision "
        f"{real.scores.precision:.3f}, recall {real.scores.recall:.3f}, {real.tiles} tiles"
    )


def _write(out: Path, report: dict[str, object], text: str) -> None:
    content = json.dumps(report, indent=2, allow_nan=False)
    write_whole(out / "consistency.json", f"{content}\n".encode())
    write_whole(out / "consistency.txt", f"{text}\n".encode())
    typer.echo(text)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    app()

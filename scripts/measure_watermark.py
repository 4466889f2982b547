"""What the watermark costs and outlives, on real val tiles and on tiles of a run, as a table."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from rsaug.pipelines.train.folder import read_chips
from rsaug.raster import read_rgb
from rsaug.watermark import find, mark

Pixels = NDArray[np.uint8]
_NAME = "rsaug"
_SIDE = 256


def main(
    data: Annotated[Path, typer.Option(help="Tile folder; its val split is used.")],
    run: Annotated[Path, typer.Option(help="Run of rsaug synth without a watermark.")],
    names: Annotated[int, typer.Option(help="Names looked for that are not there.")] = 200,
) -> None:
    """Print distance, detection and false positives for both sets of tiles."""
    synthetic = [read_rgb(path) for path in sorted((run / "images").glob("*.tif"))]
    for title, images in (
        ("real val tiles", [*read_chips(data, "val", _SIDE).transpose(0, 3, 1, 2)]),
        ("tiles of the run", synthetic),
    ):
        typer.echo(f"{title}: {len(images)}")
        rng = np.random.default_rng(0)
        places = rng.integers(-(10**6), 10**6, (len(images), 2))
        marked = [
            mark(image, _NAME, int(row), int(col))
            for image, (row, col) in zip(images, places, strict=True)
        ]
        for lines in (_distances(images, marked), _detected(marked), _false(images, names)):
            for line in lines:
                typer.echo(f"  {line}")


def _distances(images: list[Pixels], marked: list[Pixels]) -> Iterator[str]:
    pairs = [
        (torch.from_numpy(one).double(), torch.from_numpy(other).double())
        for one, other in zip(images, marked, strict=True)
    ]
    psnr = [10 * np.log10(255**2 / (a - b).pow(2).mean().item()) for a, b in pairs]
    similar = [float(torch.as_tensor(ssim(a[None], b[None], data_range=255.0))) for a, b in pairs]
    moved = [(a - b).abs().mean().item() for a, b in pairs]
    for name, values in (("PSNR (dB)", psnr), ("SSIM", similar), ("mean difference", moved)):
        yield f"{name}: mean {np.mean(values):.4f}, least {np.min(values):.4f}"


def _detected(marked: list[Pixels]) -> Iterator[str]:
    for title, (change, scales) in _changes().items():
        traces = [find(change(image), _NAME, scales) for image in marked]
        scores = [trace.score for trace in traces]
        found = sum(trace.found for trace in traces)
        yield (
            f"{title}: {found} of {len(marked)} found, score {np.median(scores):.1f}, least "
            f"{np.min(scores):.1f}"
        )


def _false(images: list[Pixels], names: int) -> Iterator[str]:
    traces = [find(image, f"name {k}") for image in images for k in range(names)]
    found = sum(trace.found for trace in traces)
    best = max(trace.score for trace in traces)
    yield f"without the name: {found} of {len(traces)} found, highest score {best:.2f}"


def _changes() -> Mapping[str, tuple[Callable[[Pixels], Pixels], tuple[float, ...]]]:
    """What is done to an image, and the scales that are tried."""
    one = (1.0,)
    return {
        "nothing": (lambda image: image, one),
        "JPEG 90": (lambda image: _jpeg(image, 90), one),
        "JPEG 75": (lambda image: _jpeg(image, 75), one),
        "JPEG 50": (lambda image: _jpeg(image, 50), one),
        "JPEG 30": (lambda image: _jpeg(image, 30), one),
        "crop 192": (lambda image: image[:, 31:223, 17:209], one),
        "crop 128": (lambda image: image[:, 61:189, 57:185], one),
        "crop 96": (lambda image: image[:, 61:157, 57:153], one),
        "crop 128, JPEG 75": (lambda image: _jpeg(image[:, 61:189, 57:185], 75), one),
        "size 75 % and back": (lambda image: _resized(_resized(image, 192), _SIDE), one),
        "size 50 % and back": (lambda image: _resized(_resized(image, 128), _SIDE), one),
        "size 50 %, that scale tried": (lambda image: _resized(image, 128), (0.5, 0.75, 1.0, 2.0)),
        "noise of 5": (lambda image: _noisy(image, 5), one),
        "noise of 10": (lambda image: _noisy(image, 10), one),
        "noise of 20": (lambda image: _noisy(image, 20), one),
    }


def _jpeg(image: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(file.getvalue()))).transpose(2, 0, 1)


def _resized(image: Pixels, side: int) -> Pixels:
    picture = Image.fromarray(image.transpose(1, 2, 0))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def _noisy(image: Pixels, deviation: float) -> Pixels:
    rng = np.random.default_rng(int(image.sum()))
    noisy = np.rint(image + rng.normal(0, deviation, image.shape))
    levels: Pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return levels


if __name__ == "__main__":
    typer.run(main)

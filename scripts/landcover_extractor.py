"""Trains the network that reads roads and land cover off an image, and measures it.

The data is a folder laid out as `naip-roads`. Its outlines of land cover are few, so a pixel is not
trained towards a class but towards the set of classes that it can be: the one of an outline, the
road where there is one, one of the two green classes where NDVI says plants, and else any class
that is neither road nor green.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from rsaug.conditions.landcover import CLASSES, PRIORITY, LandAreas, land_areas
from rsaug.grid import Tile
from rsaug.pipelines.extractors.landcover import WEIGHTS, LandcoverConfig, LandcoverNet
from rsaug.pipelines.train.folder import image_path, read_index
from rsaug.pipelines.train.loop import seeded, turn, warmup_cosine
from rsaug.pipelines.train.pack import read_pack
from rsaug.vectors import read_vectors

_SIZE, _UNKNOWN = 256, 255
_ROAD = CLASSES.index("road")
_GREEN = sum(1 << CLASSES.index(name) for name in ("forest", "agriculture"))
_BARE = sum(1 << CLASSES.index(name) for name in ("background", "building", "water", "barren"))
# Weight of the loss where all that is known is a set of classes.
_SET_WEIGHT = 1.0


@dataclass(frozen=True)
class Recipe:
    """How it is trained: optimiser, schedule and augmentation."""

    steps: int = 3000
    batch: int = 8
    crop: int = 192
    warmup: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gain: float = 0.08
    shift: float = 0.06
    most_zoom: float = 1.3
    dice: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Examples:
    """Images and the classes that each pixel can be.

    Attributes:
        rgb: (n, 3, rows, cols) uint8.
        allowed: (n, rows, cols) uint8, bit k set where the pixel can be class k.
        single: (n, rows, cols) uint8, the class of a road or an outline, 255 elsewhere.
        current: (n,) whether the image is of the year that its place was digitized on.
    """

    rgb: Tensor
    allowed: Tensor
    single: Tensor
    current: NDArray[np.bool_]


def read_examples(data: Path, split: str) -> Examples:
    """The digitized tiles of a split."""
    pack = read_pack(data, split, _SIZE)
    index = read_index(data, split)
    single = np.stack(_outlines(data, split))
    single[pack.road > 0] = _ROAD
    allowed = np.where(pack.vegetation > 0, _GREEN, _BARE).astype(np.uint8)
    known = single < len(CLASSES)
    allowed[known] = 1 << single[known]
    years = pd.read_csv(data / "captions.csv").set_index("place")["image_year"]
    return Examples(
        torch.from_numpy(pack.rgb).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(allowed),
        torch.from_numpy(single),
        (index["year"] == index["place"].map(years)).to_numpy(),
    )


def _outlines(data: Path, split: str) -> list[NDArray[np.uint8]]:
    """Class of the outline over each pixel, 255 where there is none, in the order of the index."""
    index = read_index(data, split)
    outlines = read_vectors(data / "landcover.geojson")
    # Outlines of the split's own places only: no label of another split.
    outlines = outlines[outlines["place"].isin(index["place"])]
    of_level = np.array([_UNKNOWN, *(CLASSES.index(name) for name in PRIORITY)], dtype=np.uint8)
    zones: dict[str, LandAreas] = {}
    maps = []
    for tile_id in index["id"]:
        tile = Tile.from_raster(image_path(data, tile_id))
        zone = tile.crs.to_string()
        if zone not in zones:
            zones[zone] = land_areas(outlines, tile.crs)
        maps.append(of_level[zones[zone].levels(tile)])
    return maps


def draw_batch(
    examples: Examples, recipe: Recipe, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Random tiles, turned, mirrored, enlarged and shifted in colour, with both labels."""
    images, allowed, single = [], [], []
    for k in rng.integers(len(examples.rgb), size=recipe.batch):
        quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
        gain = torch.from_numpy(rng.uniform(1 - recipe.gain, 1 + recipe.gain, (3, 1, 1))).float()
        shift = 255 * float(rng.uniform(-recipe.shift, recipe.shift))
        image = (examples.rgb[k].float() * gain + shift).clamp(0, 255)
        labels = torch.stack([examples.allowed[k], examples.single[k]])
        zoom = float(rng.uniform(1, recipe.most_zoom)) if rng.integers(2) else 1.0
        side = round(recipe.crop / zoom)
        top, left = (int(v) for v in rng.integers(_SIZE - side + 1, size=2))
        cut = np.s_[..., top : top + side, left : left + side]
        image = interpolate(image[cut][None], recipe.crop, mode="bilinear", align_corners=False)[0]
        labels = interpolate(labels[cut][None].float(), recipe.crop, mode="nearest")[0].byte()
        images.append(turn(image, quarter, mirror))
        labels = turn(labels, quarter, mirror)
        allowed.append(labels[0])
        single.append(labels[1])
    return torch.stack(images), torch.stack(allowed), torch.stack(single)


def class_weights(examples: Examples) -> Tensor:
    """Weight of each class, (classes,): the fewer pixels, the more; its mean over pixels is 1."""
    count = torch.bincount(examples.single.flatten().int(), minlength=256)[: len(CLASSES)]
    weights = count.clamp(min=1).float() ** -0.5
    return weights * count.sum() / (weights * count).sum()


def set_loss(
    logits: Tensor, allowed: Tensor, single: Tensor, weights: Tensor, dice: float
) -> Tensor:
    """Cross-entropy of the allowed sets, weighted by class, plus a soft Dice loss of the roads.

    The probability of a set is the sum over its classes (partial labels, Cour et al. 2011).
    """
    log_p = logits.log_softmax(1)
    bits = (1 << torch.arange(len(CLASSES))).view(1, -1, 1, 1)
    forbidden = (allowed[:, None].int() & bits) == 0
    nll = -log_p.masked_fill(forbidden, -torch.inf).logsumexp(1)
    # Where nothing more is known, it is known that no road is there; roads are complete.
    share = torch.full((256,), _SET_WEIGHT)
    share[: len(CLASSES)] = weights
    weight = share[single.int()]
    road, is_road = log_p[:, _ROAD].exp(), (single == _ROAD).float()
    overlap = (2 * (road * is_road).sum() + 1) / (road.sum() + is_road.sum() + 1)
    return (nll * weight).sum() / weight.sum() + dice * (1 - overlap)


@torch.inference_mode()
def measure(model: LandcoverNet, examples: Examples) -> dict[str, float]:
    """Road IoU on images of the digitizing year, recall of each class, share of plants found."""
    model.eval()
    chosen = np.flatnonzero(examples.current)
    made = np.stack([model.classify(examples.rgb[k].numpy()) for k in chosen])
    single, allowed = examples.single[chosen].numpy(), examples.allowed[chosen].numpy()
    model.train()
    road, is_road = made == _ROAD, single == _ROAD
    facts = {"tiles": float(len(chosen))}
    facts["road IoU"] = float((road & is_road).sum() / (road | is_road).sum())
    facts["road precision"] = float((road & is_road).sum() / max(1, road.sum()))
    for value, name in enumerate(CLASSES):
        outlined = single == value
        if outlined.any():
            facts[f"{name} recall"] = float((made[outlined] == value).mean())
            facts[f"{name} pixels"] = float(outlined.sum())
    green = np.isin(made, [CLASSES.index("forest"), CLASSES.index("agriculture")])
    plants, bare = allowed == _GREEN, allowed == _BARE
    facts["plants found"] = float(green[plants].mean())
    facts["bare ground taken for plants"] = float(green[bare].mean())
    known = single < len(CLASSES)
    facts["outlined pixels right"] = float((made[known] == single[known]).mean())
    return {name: round(value, 4) for name, value in facts.items()}


def main(
    data: Annotated[Path, typer.Option(help="Tile folder with roads and land cover.")],
    out: Annotated[Path, typer.Option(help="Folder of the weights.")] = WEIGHTS,
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.")] = Recipe.steps,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    every: Annotated[int, typer.Option(help="Steps between measurements.")] = 400,
) -> None:
    """Train on the train split, measure on the val split, save the last weights."""
    recipe = Recipe(steps=steps, seed=seed)
    train, val = read_examples(data, "train"), read_examples(data, "val")
    with seeded(recipe.seed, torch.device("cpu")):
        model = LandcoverNet(LandcoverConfig()).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    weights = class_weights(train)
    began, losses = time.monotonic(), []
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * warmup_cosine(step, recipe.steps, recipe.warmup)
        rng = np.random.default_rng((recipe.seed, step))
        images, allowed, single = draw_batch(train, recipe, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        loss = set_loss(logits.float(), allowed, single, weights, recipe.dice)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        done = step + 1
        if done % every == 0 or done == recipe.steps:
            facts = measure(model, val)
            pace = (time.monotonic() - began) / done
            typer.echo(f"step {done}: loss {np.mean(losses):.4f}, {pace:.2f} s/step, val {facts}")
            losses.clear()
    parameters = sum(p.numel() for p in model.parameters())
    said = {"parameters": parameters, "recipe": asdict(recipe), "val": facts}
    model.save(out, said)


if __name__ == "__main__":
    typer.run(main)
